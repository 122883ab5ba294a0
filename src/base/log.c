#include "src/base/log.h"

#include <pthread.h>
#include <stdio.h>

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

void log_write_v(enum log_level level, const char *fmt, va_list ap)
{
    char line[2048]; // longer lines are cut: a message must work when memory is gone
    pthread_mutex_lock(&g_log.lock);
    if (level <= g_log.max) {
        vsnprintf(line, sizeof(line), fmt, ap);
        if (g_log.sink)
            g_log.sink(g_log.user, level, line);
        else
            to_stderr(level, line);
    }
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
