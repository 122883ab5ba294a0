// tests/t.h -- running one test body on every declared device, and comparing with an oracle.
//
// The oracle of an op is its host kernel: record the op once on a host:f64 device (t_ref) and once
// on the device under test, from the same inputs (rounded to the storage type first), and compare.
#ifndef TESTS_T_H
#define TESTS_T_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/rt.h"

struct t; // one device under test

// Run `body` once per device of $ANYDPO_TEST_DEVICES (comma separated; "host" if unset). A device
// that is declared and not there is a failure. Returns main's exit status.
int t_each_device(void (*body)(struct t *));

struct rt_dev *t_dev(struct t *t);
struct rt_dev *t_ref(struct t *t);     // a host:f64 device, opened on first use
const char *t_name(const struct t *t); // what the device was declared as
bool t_on_host(const struct t *t); // the device under test is the host: its result is the oracle's

// A driver compiles each kernel anew for each specialisation, which takes far longer than to run
// it. So a table of cases is shared out over `days` days: case `at` is one of today's, by
// os_clock(). On the host, and with ANYDPO_TEST_FULL=1, each is. What is left for
// other days is counted, and printed at the end of the device's run.
bool t_due(struct t *t, size_t at, size_t days);

// Memory, buffers and inputs live until t_reset or the end of the body. All fail the test on error.
void *t_alloc(struct t *t, size_t bytes);                         // zeroed
double *t_uniform(struct t *t, uint64_t n, double lo, double hi); // seeded, the same on every run
double *t_normal(struct t *t, uint64_t n, double sigma);
struct rt_buf *t_buf(struct t *t, struct rt_dev *dev, enum rt_type type, const double *x,
                     uint64_t n); // x rounded to type
struct rt_buf *t_buf_u32(struct t *t, struct rt_dev *dev, const uint32_t *x, uint64_t n);
struct rt_buf *t_output(struct t *t, struct rt_dev *dev, enum rt_type type,
                        uint64_t n); // NaN, with T_GUARD more elements behind
struct rt_buf *t_zeros(struct t *t, struct rt_dev *dev, enum rt_type type, uint64_t n);
void t_round(double *x, uint64_t n, enum rt_type type); // to what the storage type can hold
void t_reset(struct t *t);

enum { T_GUARD = 64 };

// |got - want| <= atol + rtol * |want|, element by element.
struct t_tol {
    double atol, rtol;
};

// Read n elements of `got` and compare with those of `want` (a buffer of t_ref, or of any device),
// which may be of another type. NaN fails, and so does a written guard. A failure prints the worst
// element.
void t_close(struct t *t, const char *what, struct rt_buf *got, struct rt_buf *want, uint64_t n,
             struct t_tol tol);
void t_close_to(struct t *t, const char *what, struct rt_buf *got, const double *want, uint64_t n,
                struct t_tol tol);

// Unit roundoff of a storage type: 2^-24, 2^-11, 2^-8 (f64: 2^-53). What one rounding adds to rtol.
double t_eps(enum rt_type type);

#define T_OK(call) t_ok((call), #call, __FILE__, __LINE__)
#define T_ERR(want, call) t_err((want), (call), #call, __FILE__, __LINE__)
void t_ok(enum rt_err err, const char *call, const char *file, int line);
void t_err(enum rt_err want, enum rt_err got, const char *call, const char *file,
           int line); // silences the log line

// Text of the error lines logged since the last call, for checking what a message names.
const char *t_logged(void);

#endif // TESTS_T_H
