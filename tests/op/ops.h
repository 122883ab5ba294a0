// tests/op/ops.h -- tensors with padded rows inside longer buffers, for the tests of ops.
#ifndef TESTS_OP_OPS_H
#define TESTS_OP_OPS_H

#include <math.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/op/master.h"
#include "tests/t.h"

// Where the tensors of these tests begin in their buffers; what lies before them must stay as it
// is.
enum { FIRST = 128 };

static const enum rt_type FLOATS[] = {RT_F32, RT_F16, RT_BF16};

// x (rows, cols), dense -> (rows, ld) with `pad` in the padding.
static inline double *t_pad(struct t *t, const double *x, uint32_t rows, uint32_t cols, uint32_t ld,
                            double pad)
{
    double *y = t_alloc(t, (size_t) rows * ld * sizeof(*y));
    for (size_t i = 0; i < (size_t) rows * ld; i++)
        y[i] = i % ld < cols ? x[i / ld * cols + i % ld] : pad;
    return y;
}

// A tensor of n elements at FIRST, with 5 before it and a guard of NaN behind it. x NULL: filled
// with NaN.
static inline struct op_vec t_vec(struct t *t, struct rt_dev *dev, enum rt_type type,
                                  const double *x, uint64_t n)
{
    struct op_vec v = {t_output(t, dev, type, FIRST + n), FIRST};
    double *all = t_alloc(t, (FIRST + n) * sizeof(*all));
    for (uint64_t i = 0; i < FIRST + n; i++)
        all[i] = i < FIRST ? 5.0 : x ? x[i - FIRST] : (double) NAN;
    t_round(all, FIRST + n, type);
    T_OK(rt_buf_write((struct rt_buf *) (uintptr_t) v.buf, 0, FIRST + n, RT_F64, all));
    return v;
}

// Compare tensors made by t_vec, what lies before them and the guard included.
static inline void t_close_vec(struct t *t, const char *what, struct op_vec got, struct op_vec want,
                               uint64_t n, struct t_tol tol)
{
    t_close(t, what, (struct rt_buf *) (uintptr_t) got.buf, (struct rt_buf *) (uintptr_t) want.buf,
            FIRST + n, tol);
}

// n elements of a tensor, as double.
static inline double *t_read(struct t *t, struct op_vec v, uint64_t n)
{
    double *x = t_alloc(t, n * sizeof(*x));
    T_OK(rt_buf_read(v.buf, v.first, n, RT_F64, x));
    return x;
}

// Masters of n elements that hold x, rounded to f32 on host:f64 too; as t_vec otherwise.
static inline struct op_master t_master(struct t *t, struct rt_dev *dev, enum rt_type type,
                                        const double *x, uint64_t n)
{
    struct op_master m = {.w = t_vec(t, dev, type, x, n)};
    uint16_t *w, *low;

    if (type == RT_F32)
        return m;
    m.low = t_vec(t, dev, type, x, n);
    w = t_alloc(t, n * sizeof(*w));
    low = t_alloc(t, n * sizeof(*low));
    for (uint64_t i = 0; i < n; i++) {
        const struct op_split s = op_split(type, (float) x[i]);
        w[i] = s.w;
        low[i] = s.low;
    }
    T_OK(rt_buf_write((struct rt_buf *) (uintptr_t) m.w.buf, FIRST, n, type, w));
    T_OK(rt_buf_write((struct rt_buf *) (uintptr_t) m.low.buf, FIRST, n, type, low));
    return m;
}

// n masters as double; what the 16-bit words are is checked on the way: the masters, rounded as
// they have to be.
static inline double *t_read_master(struct t *t, struct op_master m, uint64_t n)
{
    const enum rt_type type = rt_buf_type(m.w.buf);
    double *x = t_read(t, m.w, n);
    uint16_t *w, *low;

    if (type == RT_F32)
        return x;
    w = t_alloc(t, n * sizeof(*w));
    low = t_alloc(t, n * sizeof(*low));
    T_OK(rt_buf_read(m.w.buf, FIRST, n, type, w));
    T_OK(rt_buf_read(m.low.buf, FIRST, n, type, low));
    for (uint64_t i = 0; i < n; i++) {
        const float f = op_join(type, (struct op_split){w[i], low[i]});
        x[i] = (double) f;
        if (op_split(type, f).w != w[i])
            fail_msg("element %llu: %a is kept as %04x", (unsigned long long) i, (double) f, w[i]);
    }
    return x;
}

// Compare masters with what an oracle has, which may be of another type; what lies before and
// behind them is unharmed.
static inline void t_close_master(struct t *t, const char *what, struct op_master got,
                                  struct op_master want, uint64_t n, struct t_tol tol)
{
    const double *x = t_read_master(t, got, n), *y = t_read_master(t, want, n);
    const struct op_vec *const parts[] = {&got.w, &got.low};

    for (uint64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= tol.atol + tol.rtol * fabs(y[i])))
            fail_msg("%s %llu: %.9g, not %.9g", what, (unsigned long long) i, x[i], y[i]);
    for (size_t k = 0; k < COUNT_OF(parts) && parts[k]->buf; k++) {
        double around[2];
        T_OK(rt_buf_read(parts[k]->buf, FIRST - 1, 1, RT_F64, &around[0]));
        T_OK(rt_buf_read(parts[k]->buf, FIRST + n, 1, RT_F64, &around[1]));
        if (!(around[0] == 5.0 && isnan(around[1])))
            fail_msg("%s: written beside the masters", what);
    }
}

// The device under test once more, with bindings of at most 1 MiB. The caller closes it.
static inline struct rt_dev *t_small_range(struct t *t)
{
    struct rt_dev *dev;
    T_OK(rt_dev_open(&(struct rt_dev_desc){.name = t_name(t),
                                           .kernels = op_kernels(),
                                           .clamp = {.range_bytes = 1u << 20}},
                     &dev));
    return dev;
}

// Compare a gradient with central differences of `loss` on host:f64, in every one of the n inputs
// x. x and the step are multiples of 2^-12 below 8, so that x + step is exact in f32. The error of
// a central difference is step^2 / 6 times the third derivative: 2^-20 / 6 here, and `rtol` says
// how large that is beside |grad| + 1.
typedef double t_loss(struct t *t, const double *x, void *ctx);

static inline void t_grid(double *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        x[i] = floor(x[i] * 0x1p12) * 0x1p-12;
}

static inline void t_differences(struct t *t, const char *what, t_loss *loss, void *ctx,
                                 const double *x, uint64_t n, const double *grad, double rtol)
{
    const double h = 0x1p-10;
    double *y = t_alloc(t, n * sizeof(*y));
    memcpy(y, x, n * sizeof(*y));
    for (uint64_t i = 0; i < n; i++) {
        y[i] = x[i] + h;
        const double up = loss(t, y, ctx);
        y[i] = x[i] - h;
        const double fd = (up - loss(t, y, ctx)) / (2.0 * h);
        y[i] = x[i];
        if (!(fabs(fd - grad[i]) <= rtol * (1.0 + fabs(grad[i]))))
            fail_msg("%s: input %llu: differences give %.9g, the gradient says %.9g", what,
                     (unsigned long long) i, fd, grad[i]);
    }
}

#endif // TESTS_OP_OPS_H
