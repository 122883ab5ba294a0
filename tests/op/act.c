#include "src/op/act.h"

#include "tests/op/ops.h"

static const uint32_t COLS[] = {2, 14, 28, 56, 252, 254, 256, 258, 1536};
static const uint32_t ROWS[] = {1, 7, 64, 131};

struct results {
    struct op_vec a, dg, du;
};

// What a run computes.
struct kind {
    enum op_act act;
    bool gated;
};
static const struct kind KINDS[] = {{OP_ACT_SILU, true},       {OP_ACT_GELU_TANH, true},
                                    {OP_ACT_GELU_TANH, false}, {OP_ACT_GELU, true},
                                    {OP_ACT_GELU, false},      {OP_ACT_SILU, false}};

// in: g, u, da, each (rows, cols) dense. Without a gate du stays NaN.
static struct results run(struct t *t, struct rt_dev *dev, struct kind kind, uint32_t rows,
                          uint32_t cols, enum rt_type type, const double *in)
{
    const uint32_t ld = op_stride(cols) + 8;
    const uint64_t n = (uint64_t) rows * ld, dense = (uint64_t) rows * cols;
    const struct op_vec g = t_vec(t, dev, type, t_pad(t, in, rows, cols, ld, 777.0), n);
    const struct op_vec u =
        !kind.gated ? (struct op_vec){0}
                    : t_vec(t, dev, type, t_pad(t, in + dense, rows, cols, ld, 777.0), n);
    const struct op_vec da =
        t_vec(t, dev, type, t_pad(t, in + 2 * dense, rows, cols, ld, 777.0), n);
    const struct results r = {t_vec(t, dev, type, NULL, n), t_vec(t, dev, type, NULL, n),
                              t_vec(t, dev, type, NULL, n)};
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_act(cmd, &(struct op_act_args){g, u, r.a, rows, cols, ld, kind.act}));
    T_OK(op_act_backward(
        cmd, &(struct op_act_backward_args){g, u, da, r.dg, r.du, rows, cols, ld, kind.act}));
    T_OK(rt_cmd_wait(&cmd));
    return r;
}

// sigmoid: exp 3 + 2|z| ULP of 2^-23, division 2.5 ULP, so (8 + 2|z|) * 2^-23 with |z| <= 90 where
// it is not negligible: at z = -90, s is 1e-39, below the smallest normal f32: flushed or not, z *
// s * u is below 1e-34. For the bulk |z| < 16, 40 * 2^-23 = 5e-6. The derivative 1 + z (1 - s) has
// a zero near -1.28: absolute error 3e-6 times |da * u| <= 16. f16 may flush results below 2^-14,
// or round them to a multiple of 2^-24. The gelus: the exponent 2v or z^2/2 is right to a few
// 2^-24 of itself, up to 90, so their tails are right to 1e-5 of themselves, and where the exponent
// is below -87 they are 0, off by 1e-35; gelu's tail polynomial adds 5e-8 relative, and the same in
// the whole where 1 - tail cancels nothing.
static void check(struct t *t, struct rt_dev *dev, struct kind kind, uint32_t rows, uint32_t cols,
                  enum rt_type type)
{
    static const double HARD[] = {-1e4,  1e4,  -100.0, 100.0, 0.0,  -1.2785, 30.0,
                                  -30.0, -5.0, 5.0,    -13.0, 13.0, 1e-3};
    const uint32_t n = rows * (op_stride(cols) + 8), dense = rows * cols;
    double *in = t_uniform(t, 3 * (uint64_t) dense, -4.0, 4.0);
    const struct t_tol tol = {.atol = type == RT_F16 ? 1e-4 : 5e-5,
                              .rtol = 1e-5 + 2.0 * t_eps(type)};
    const struct t_tol forward = {.atol = type == RT_F16 ? 0x1p-14 : 1e-30,
                                  .rtol = 3e-5 + 2.0 * t_eps(type)};

    for (uint32_t i = 0; i < dense; i++)
        in[i] = i % 5 == 0 ? HARD[i / 5 % COUNT_OF(HARD)] : 3.0 * in[i];
    const struct results got = run(t, dev, kind, rows, cols, type, in),
                         want = run(t, t_ref(t), kind, rows, cols, type, in);
    t_close_vec(t, "a", got.a, want.a, n, forward);
    t_close_vec(t, "dg", got.dg, want.dg, n, tol);
    if (kind.gated)
        t_close_vec(t, "du", got.du, want.du, n, forward);
    t_reset(t);
}

struct fixed {
    struct kind kind;
    double da[30];
};

static double loss(struct t *t, const double *x, void *ctx)
{
    const struct fixed *f = ctx;
    double in[90] = {0}, sum = 0.0;
    memcpy(in, x, (f->kind.gated ? 60 : 30) * sizeof(*in)); // g, and u where there is one
    memcpy(in + 60, f->da, 30 * sizeof(*in));
    const double *a = t_read(t, run(t, t_ref(t), f->kind, 3, 10, RT_F32, in).a, 72);
    for (uint32_t i = 0; i < 30; i++)
        sum += a[i / 10 * 24 + i % 10] * (double) (float) in[60 + i];
    return sum;
}

static void differences(struct t *t, struct kind kind)
{
    double *in = t_uniform(t, 90, -4.0, 4.0), grad[60];
    struct fixed f = {.kind = kind};
    struct results r;

    t_grid(in, 90);
    memcpy(f.da, in + 60, sizeof(f.da));
    r = run(t, t_ref(t), kind, 3, 10, RT_F32, in);
    const double *dg = t_read(t, r.dg, 72), *du = t_read(t, r.du, 72);
    for (uint32_t i = 0; i < 60; i++)
        grad[i] = (i < 30 ? dg : du)[i % 30 / 10 * 24 + i % 10];
    t_differences(t, "act", loss, &f, in, kind.gated ? 60 : 30, grad, 1e-5);
    t_reset(t);
}

static void errors(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F16, NULL, 64);
    const struct op_act_args good = {x, x, x, 8, 8, 8, OP_ACT_SILU};
    const struct op_act_backward_args back = {x, x, x, x, x, 8, 8, 8, OP_ACT_SILU};
    struct op_act_args a;
    struct op_act_backward_args b;
#define BAD(code, change) (a = good, change, T_ERR(code, op_act(NULL, &a)))
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.cols = 5);
    BAD(RT_E_ARG, a.ld = 12);
    BAD(RT_E_ARG, a.act = OP_ACT_COUNT);
    BAD(RT_E_SHAPE, a.n_rows = 17);
    BAD(RT_E_SHAPE, a.a.buf = NULL);
#undef BAD
#define BAD(code, change) (b = back, change, T_ERR(code, op_act_backward(NULL, &b)))
    BAD(RT_E_ARG, b.n_rows = 0);
    BAD(RT_E_ARG, b.act = OP_ACT_COUNT);
    BAD(RT_E_SHAPE, b.du.buf = NULL);
    BAD(RT_E_SHAPE, b.da.first = 8);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_dev *small = t_small_range(t);

    errors(t);
    for (size_t j = 0; j < COUNT_OF(KINDS); j++) {
        differences(t, KINDS[j]);
        for (size_t i = 0; i < COUNT_OF(COLS); i++) // a kernel each, on a CPU: one a day and type
            for (size_t k = 0; k < 3; k++)
                if (t_due(t, i + 3 * k + j, COUNT_OF(COLS)))
                    check(t, t_dev(t), KINDS[j], ROWS[(i + k) % COUNT_OF(ROWS)], COLS[i],
                          FLOATS[k]);
    }
    check(t, small, KINDS[0], 300, 1536, RT_F32); // 1 MiB holds 128 rows of 1544 floats
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
