#include "src/op/rms_norm.h"

#include "tests/op/ops.h"

static const uint32_t COLS[] = {2,   14,  28,  56,  252,
                                254, 256, 258, 576, 2050}; // around a pass of the group
static const uint32_t ROWS[] = {1, 63, 64, 65, 131};       // around a block of dw

struct shape {
    uint32_t rows, cols;
    enum rt_type type; // of w, y, dy
    float w_offset;
};

struct inputs {
    const double *x, *w, *dy, *dx0, *dw0; // dense
};

struct results {
    struct op_vec y, rstd, dx, dw;
};

static struct inputs make(struct t *t, struct shape s)
{
    const uint64_t n = (uint64_t) s.rows * s.cols;
    double *x = t_normal(t, n, 3.0);
    for (uint32_t c = 0; c < s.cols; c++) { // a row of zeros: eps alone; and one of large numbers
        x[c] = 0.0;
        x[n - 1 - c] *= s.rows > 1 ? 1e4 : 1.0;
    }
    return (struct inputs){x, t_uniform(t, s.cols, -1.5, 1.5), t_normal(t, n, 1.0),
                           t_normal(t, n, 1.0), t_normal(t, s.cols, 1.0)};
}

static struct results run(struct t *t, struct rt_dev *dev, struct shape s, struct inputs in)
{
    const uint32_t ldx = op_stride(s.cols) + 8, ldy = op_stride(s.cols),
                   lddx = op_stride(s.cols) + 16;
    const struct op_vec x =
        t_vec(t, dev, RT_F32, t_pad(t, in.x, s.rows, s.cols, ldx, 777.0), (uint64_t) s.rows * ldx);
    const struct op_vec w = t_vec(t, dev, s.type, in.w, s.cols);
    const struct results r = {t_vec(t, dev, s.type, NULL, (uint64_t) s.rows * ldy),
                              t_vec(t, dev, RT_F32, NULL, s.rows),
                              t_vec(t, dev, RT_F32, t_pad(t, in.dx0, s.rows, s.cols, lddx, 3.0),
                                    (uint64_t) s.rows * lddx),
                              t_vec(t, dev, RT_F32, in.dw0, s.cols)};
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_rms_norm(cmd, &(struct op_rms_norm_args){.x = x,
                                                     .w = w,
                                                     .y = r.y,
                                                     .rstd = r.rstd,
                                                     .n_rows = s.rows,
                                                     .cols = s.cols,
                                                     .ldx = ldx,
                                                     .ldy = ldy,
                                                     .eps = 1e-5f,
                                                     .w_offset = s.w_offset}));
    T_OK(op_rms_norm_backward(
        cmd, &(struct op_rms_norm_backward_args){
                 .dy = t_vec(t, dev, s.type, t_pad(t, in.dy, s.rows, s.cols, ldy, 777.0),
                             (uint64_t) s.rows * ldy),
                 .x = x,
                 .w = w,
                 .rstd = r.rstd,
                 .dx = r.dx,
                 .dw = r.dw,
                 .scratch = t_output(t, dev, RT_F32, op_rms_norm_scratch(s.rows, s.cols)),
                 .n_rows = s.rows,
                 .cols = s.cols,
                 .ldx = ldx,
                 .ldy = ldy,
                 .lddx = lddx,
                 .w_offset = s.w_offset}));
    T_OK(rt_cmd_wait(&cmd));
    return r;
}

// rstd: a sum of C squares in f32 (each lane adds C / 256 fours, then a tree of 7: (C / 256 + 10) *
// 2^-24, halved by the root), inversesqrt 2 ULP. y: two more products and one rounding to S. dx:
// |g| up to 12 and |xhat| up to 5 beside rstd up to 316 (the row of zeros): relative to rstd * |g|
// a few f32 roundings and the sum over C of terms below 20 divided by C. dw: the sum of up to 131 +
// blocks terms below 20, each addition rounded by 2^-24 of a running sum below 200.
static void check(struct t *t, struct rt_dev *dev, struct shape s)
{
    const struct inputs in = make(t, s);
    const struct results got = run(t, dev, s, in), want = run(t, t_ref(t), s, in);
    const double f32 = 0x1p-24 * (s.cols / 256.0 + 16.0),
                 ty = s.type == RT_F32 ? 0.0 : 2.0 * t_eps(s.type);
    t_close_vec(t, "rstd", got.rstd, want.rstd, s.rows, (struct t_tol){.rtol = f32});
    t_close_vec(t, "y", got.y, want.y, (uint64_t) s.rows * op_stride(s.cols),
                (struct t_tol){.atol = s.type == RT_F16 ? 0x1p-24 : 1e-12, .rtol = f32 + ty});
    t_close_vec(t, "dx", got.dx, want.dx, (uint64_t) s.rows * (op_stride(s.cols) + 16),
                (struct t_tol){.atol = 2e-5, .rtol = 2e-6});
    t_close_vec(t, "dw", got.dw, want.dw, s.cols,
                (struct t_tol){.atol = 2e-5 + 1e-7 * s.rows, .rtol = 2e-6});
    t_reset(t);
}

// The oracle's gradients against differences of sum(y * dy) in x and in w.
static double loss(struct t *t, const double *x, void *ctx)
{
    const struct shape s = {3, 10, RT_F32, 1.0f};
    struct inputs in = *(struct inputs *) ctx;
    double sum = 0.0;
    in.x = x;
    in.w = x + 30;
    const double *y = t_read(t, run(t, t_ref(t), s, in).y, 3 * 16);
    for (uint32_t i = 0; i < 30; i++)
        sum += y[i / 10 * 16 + i % 10] * (double) (float) in.dy[i];
    return sum;
}

static void differences(struct t *t)
{
    const struct shape s = {3, 10, RT_F32, 1.0f};
    double *x = t_uniform(t, 40, -2.0, 2.0), grad[40], zero[30] = {0};
    struct inputs in = {x, x + 30, t_normal(t, 30, 1.0), zero, zero};
    struct results r;

    t_grid(x, 40);
    r = run(t, t_ref(t), s, in);
    const double *dx = t_read(t, r.dx, 3 * 32), *dw = t_read(t, r.dw, 10);
    for (uint32_t i = 0; i < 40; i++)
        grad[i] = i < 30 ? dx[i / 10 * 32 + i % 10] : dw[i - 30];
    t_differences(t, "rms_norm", loss, &in, x, 40, grad, 1e-5);
    t_reset(t);
}

// A row alone has the bits that it has among others.
static void independent(struct t *t)
{
    const struct shape all = {65, 576, RT_BF16, 0.0f}, one = {1, 576, RT_BF16, 0.0f};
    struct inputs in = make(t, all);
    const double *y = t_read(t, run(t, t_dev(t), all, in).y, 65 * 576);
    in.x += 17 * 576;
    const double *y1 = t_read(t, run(t, t_dev(t), one, in).y, 576);
    assert_memory_equal(y + 17 * 576, y1, 576 * sizeof(*y));
    t_reset(t);
}

static void errors(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    const struct op_rms_norm_args good = {.x = x,
                                          .w = x,
                                          .y = x,
                                          .rstd = x,
                                          .n_rows = 8,
                                          .cols = 8,
                                          .ldx = 8,
                                          .ldy = 8,
                                          .eps = 1e-5f};
    const struct op_rms_norm_backward_args back = {.dy = x,
                                                   .x = x,
                                                   .w = x,
                                                   .rstd = x,
                                                   .dx = x,
                                                   .dw = x,
                                                   .scratch = x.buf,
                                                   .n_rows = 8,
                                                   .cols = 8,
                                                   .ldx = 8,
                                                   .ldy = 8,
                                                   .lddx = 8};
    struct op_rms_norm_args a;
    struct op_rms_norm_backward_args b;
#define BAD(code, change) (a = good, change, T_ERR(code, op_rms_norm(NULL, &a)))
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.cols = 9);
    BAD(RT_E_ARG, a.ldx = 4);
    BAD(RT_E_ARG, a.ldy = 10);
    BAD(RT_E_ARG, a.eps = 0.0f);
    BAD(RT_E_ARG, a.w_offset = NAN);
    BAD(RT_E_SHAPE, a.n_rows = 17);
    BAD(RT_E_SHAPE, a.w.buf = NULL);
    BAD(RT_E_SHAPE, a.rstd.first = 512);
    BAD(RT_E_SHAPE, a.y.first = 4);
#undef BAD
#define BAD(code, change) (b = back, change, T_ERR(code, op_rms_norm_backward(NULL, &b)))
    BAD(RT_E_ARG, b.n_rows = 0);
    BAD(RT_E_ARG, b.lddx = 12);
    BAD(RT_E_ARG, b.w_offset = INFINITY);
    BAD(RT_E_SHAPE, b.dx.buf = NULL);
    BAD(RT_E_SHAPE, b.dw.first = 100);
    BAD(RT_E_SHAPE, b.scratch = NULL);
    BAD(RT_E_SHAPE, b.n_rows = 17);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_dev *small = t_small_range(t);

    errors(t);
    differences(t);
    independent(t);
    for (size_t i = 0; i < COUNT_OF(COLS); i++)
        for (size_t k = 0; k < 3; k++)
            check(t, t_dev(t),
                  (struct shape){ROWS[(i + k) % COUNT_OF(ROWS)], COLS[i], FLOATS[k],
                                 k == 1 ? 1.0f : 0.0f});
    check(t, small, (struct shape){1000, 576, RT_F16, 0.0f}); // 1 MiB holds 384 rows of 592 floats
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
