#include "src/base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "src/base/str.h"

// The log sink is the one mutable global of the program (style.md, State).
static struct {
    pthread_mutex_t lock;
    log_sink_fn *sink;
    void *user;
    enum log_level max;
} g_log = {.lock = PTHREAD_MUTEX_INITIALIZER, .max = LOG_INFO};

static void to_stderr(enum log_level level, const char *line)
{
    static const char *const PREFIX[] = {"error: ", "warning: ", "", "debug: "};
    fprintf(stderr, "anydpo: %s%s\n", PREFIX[level], line);
}

void log_set_sink(log_sink_fn *sink, void *user)
{
    pthread_mutex_lock(&g_log.lock);
    g_log.sink = sink;
    g_log.user = user;
    pthread_mutex_unlock(&g_log.lock);
}

void log_set_level(enum log_level level)
{
    pthread_mutex_lock(&g_log.lock);
    g_log.max = level;
    pthread_mutex_unlock(&g_log.lock);
}

// Where this thread's lines go; part of the log.
static _Thread_local struct str *g_captured;

void log_capture(struct str *lines)
{
    g_captured = lines;
}

// Under the lock.
static void hand_out(enum log_level level, const char *line)
{
    if (level > g_log.max)
        return;
    if (g_log.sink)
        g_log.sink(g_log.user, level, line);
    else
        to_stderr(level, line);
}

void log_replay(struct str *lines)
{
    pthread_mutex_lock(&g_log.lock);
    for (size_t at = 0; at < lines->len; at += strlen(lines->data + at) + 1)
        hand_out((enum log_level)(lines->data[at] - '0'), lines->data + at + 1);
    pthread_mutex_unlock(&g_log.lock);
    str_free(lines);
}

void log_write_v(enum log_level level, const char *fmt, va_list ap)
{
    char line[2048]; // longer lines are cut: a message must work when memory is gone
    struct str *captured = g_captured;

    line[0] = (char) ('0' + level);
    vsnprintf(line + 1, sizeof(line) - 1, fmt, ap);
    if (captured) {
        g_captured = NULL; // a failure to keep the line is not kept either
        if (str_append(captured, line, strlen(line) + 1) != RT_OK)
            captured->len = 0;
        g_captured = captured;
        return;
    }
    pthread_mutex_lock(&g_log.lock);
    hand_out(level, line + 1);
    pthread_mutex_unlock(&g_log.lock);
}

#define LOG_FN(name, level)                                                                        \
    void name(const char *fmt, ...)                                                                \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        log_write_v(level, fmt, ap);                                                               \
        va_end(ap);                                                                                \
    }

LOG_FN(log_warn, LOG_WARN)
LOG_FN(log_info, LOG_INFO)
LOG_FN(log_debug, LOG_DEBUG)
