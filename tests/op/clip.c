#include "src/op/clip.h"

#include "tests/op/ops.h"

static const uint32_t SIZES[] = {1, 2, 63, 64, 65, 129, 8209};

// {max_norm, scale}: norms are about 1 to 100, times scale before it is taken back.
static const double ROWS[][2] = {{1.0, 1.0},   {0.1, 1.0},      {0.3, 65536.0},
                                 {1e9, 512.0}, {0.0, 0x1p-3},   {0.7, 1000.0},
                                 {1.0, 0.037}, {1e-8, 65536.0}, {3e38, 1.0}};

static double run(struct t *t, struct rt_dev *dev, const double *x, uint32_t n, const double *row)
{
    struct rt_buf *mult = t_output(t, dev, RT_F32, 1), *part = t_buf(t, dev, RT_F32, x, n);
    struct rt_cmd *cmd;
    double got;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_clip(cmd, &(struct op_clip_args){part, n, mult, row[0], row[1]}));
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(mult, 0, 1, RT_F64, &got));
    return got;
}

// The nearest float to the f64 formula, as the host made it when it computed it by itself. Pairs of
// floats have about 44 bits here: a tie that is missed by so little is not in this table.
static void check(struct t *t, uint32_t n, double size)
{
    for (size_t k = 0; k < COUNT_OF(ROWS); k++) {
        const double scale = ROWS[k][1], most = 1.0 / scale;
        double *x = t_uniform(t, n, 0.0, size * scale * scale), sum = 0.0;

        t_round(x, n, RT_F32);
        for (uint32_t i = 0; i < n; i++)
            sum += x[i];
        const double norm = sqrt(sum) / scale;
        const double clip = ROWS[k][0] > 0.0 ? fmin(1.0, ROWS[k][0] / (norm + 1e-6)) : 1.0;
        const double got = run(t, t_dev(t), x, n, ROWS[k]), want = (double) (float) (clip * most);
        if (!(got == want))
            fail_msg("%s: %u parts, size %g, max_norm %g, scale %g: %.9g, expected %.9g", t_name(t),
                     n, size, ROWS[k][0], scale, got, want);
        t_reset(t);
    }
}

// The sum alone leaves the range of a float: 3e38 parts. Norms without squares of their own: 0.
static void ends(struct t *t)
{
    const double huge[4] = {3e38, 3e38, 2e38, 1.0}, zero[2] = {0.0, 0.0}, row[2] = {0.5, 1.0};
    const double want = 0.5 / sqrt(8e38);

    assert_true(fabs(run(t, t_dev(t), huge, 4, row) - want) <= 1e-6 * want);
    assert_true(run(t, t_dev(t), zero, 2, row) == 1.0);
    assert_true(run(t, t_ref(t), huge, 4, row) > 0.0);
    t_reset(t);
}

static void errors(struct t *t)
{
    struct rt_buf *x = t_zeros(t, t_dev(t), RT_F32, 64), *h = t_zeros(t, t_dev(t), RT_F16, 64);
    const struct op_clip_args good = {x, 64, x, 1.0, 1.0};
    struct op_clip_args a;
#define BAD(code, change) (a = good, change, T_ERR(code, op_clip(NULL, &a)))
    BAD(RT_E_ARG, a.n = 0);
    BAD(RT_E_ARG, a.n = (uint64_t) 1 << 32);
    BAD(RT_E_ARG, a.max_norm = -1.0);
    BAD(RT_E_ARG, a.max_norm = 1e39);
    BAD(RT_E_ARG, a.scale = 0.0);
    BAD(RT_E_ARG, a.scale = (double) NAN);
    BAD(RT_E_ARG, a.scale = 1e-60);
    BAD(RT_E_SHAPE, a.n = 65);
    BAD(RT_E_SHAPE, a.part = h);
    BAD(RT_E_SHAPE, a.mult = NULL);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    errors(t);
    ends(t);
    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        check(t, SIZES[i], 0.3);
        check(t, SIZES[i], 1e4);
        check(t, SIZES[i], 1e-6);
    }
}

int main(void)
{
    return t_each_device(body);
}
