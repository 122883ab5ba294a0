// src/base/err.h -- the project's one error type and the two macros that jump.
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "src/base/log.h"

// Result of every fallible function; 0 is success. The place that detects an error logs it once
// (rt_fail, RT_REQUIRE); callers only pass the code on. main() maps it to the exit status.
enum rt_err {
    RT_OK = 0,
    RT_E_ARG,         // a documented precondition does not hold: a bug of the caller
    RT_E_SHAPE,       // a buffer or tensor has another shape or type than promised
    RT_E_NOMEM,       // host memory is exhausted
    RT_E_DEVMEM,      // device memory is exhausted
    RT_E_UNSUPPORTED, // switched off at build time, or not implemented for this input
    RT_E_IO,          // the operating system refused a file operation
    RT_E_FORMAT,      // a file or text is damaged or not what it claims to be
    RT_E_NOT_FOUND,   // a file, tensor, device, key or name does not exist
    RT_E_DEVICE,      // a device call failed, or the device was lost
    RT_E_COMPILE,     // a kernel does not compile
    RT_E_NUMERIC,     // NaN or Inf where there must be a number
    RT_E_USAGE,       // the user's command line or recipe is wrong: exit status 2
    RT_E_INTERRUPTED, // SIGINT or SIGTERM was honoured
    RT_E_COUNT
};

#define RT_NODISCARD __attribute__((warn_unused_result))
#define RT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

// Stable lower-case word for a code, e.g. "not_found"; never NULL.
const char *rt_err_name(enum rt_err err);

// Log one error line and return `code`, so that detection reads RT_TRY(rt_fail(CODE, "...", ...)).
// The text names the object, what was expected and what was found.
RT_NODISCARD enum rt_err rt_fail(enum rt_err code, const char *fmt, ...) RT_PRINTF(2, 3);

// Precondition, checked in all builds. Needs a local `enum rt_err err` and a label `done:`.
#define RT_REQUIRE(cond, code)                                                                     \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            err = rt_fail((code), "%s: requirement failed: %s", __func__, #cond);                  \
            goto done;                                                                             \
        }                                                                                          \
    } while (0)

// Chain a fallible call: on error keep the code and jump to `done:`.
#define RT_TRY(call)                                                                               \
    do {                                                                                           \
        err = (call);                                                                              \
        if (err != RT_OK)                                                                          \
            goto done;                                                                             \
    } while (0)

#endif // BASE_ERR_H
