// src/base/log.h -- the log: whole lines, one sink for the process (stderr unless replaced).
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

// Receives each line without its newline. Called under a lock, from any thread; must not log
// itself.
typedef void log_sink_fn(void *user, enum log_level level, const char *line);

// Replace the sink; NULL restores stderr, where lines read "anydpo: error: ...". Set once, before
// threads start (tests set it more often, single-threaded).
void log_set_sink(log_sink_fn *sink, void *user);

// Lines above this level are dropped. Default LOG_INFO.
void log_set_level(enum log_level level);

// Until it is called with NULL, the lines of this thread go to *lines instead of the sink (a thread
// that works on one of many rows does not know whether its message is the first one).
// log_replay sends them to the sink, in order, and empties *lines. Lines that do not fit into
// memory are lost.
struct str;
void log_capture(struct str *lines);
void log_replay(struct str *lines);

void log_write_v(enum log_level level, const char *fmt, va_list ap);
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif // BASE_LOG_H
