#include "src/base/err.h"

#include <stdarg.h>

static const char *const NAMES[RT_E_COUNT] = {
    "ok",     "arg",       "shape",  "nomem",   "devmem",  "unsupported", "io",
    "format", "not_found", "device", "compile", "numeric", "usage",       "interrupted",
};

const char *rt_err_name(enum rt_err err)
{
    return (unsigned) err < RT_E_COUNT ? NAMES[err] : "unknown";
}

enum rt_err rt_fail(enum rt_err code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_write_v(LOG_ERROR, fmt, ap);
    va_end(ap);
    return code;
}
