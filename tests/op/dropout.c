#include "src/op/dropout.h"

#include "tests/op/flat.h"

static struct rt_buf *run(struct t *t, struct rt_dev *dev, const double *x, uint64_t n,
                          enum rt_type from, enum rt_type to, double p, uint64_t key, bool add)
{
    struct rt_buf *y = add ? t_buf(t, dev, to, x, n) : t_output(t, dev, to, n);
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_dropout(
        cmd, &(struct op_dropout_args){
                 .x = t_buf(t, dev, from, x, n), .y = y, .n = n, .p = p, .key = key, .add = add}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

// A product and a sum in f32, then the storage's rounding; which elements are kept must agree
// wholly: an element is 0 or of the size of x.
static void compare(struct t *t, struct rt_dev *dev, uint32_t n, enum rt_type from, enum rt_type to,
                    bool add)
{
    const double *x = t_normal(t, n, 1.0);
    double *in = t_alloc(t, n * sizeof(*in));
    memcpy(in, x, n * sizeof(*in));
    t_round(in, n, from);
    t_round(in, n, to); // where it is added to
    t_close(t, add ? "added" : "y", run(t, dev, in, n, from, to, 0.3, 0x123456789abcdefu, add),
            run(t, t_ref(t), in, n, from, RT_F32, 0.3, 0x123456789abcdefu, add), n,
            (struct t_tol){.atol = 2e-7, .rtol = 2.0 * t_eps(to) + 3e-7});
    t_reset(t);
}

static void check(struct t *t, struct rt_dev *dev, uint32_t n, enum rt_type from)
{
    for (size_t k = 0; k < COUNT_OF(FLOATS); k++)
        compare(t, dev, n, from, FLOATS[k], false);
    compare(t, dev, n, from, from, true);
}

// What the header's formula keeps of the first 32 at p = 1/2: a mask is the same on every device
// and in every version, because runs are resumed.
static void known_mask(struct t *t)
{
    enum { KEPT = 0x54998e15 };
    double one[32], y[32];
    for (int i = 0; i < 32; i++)
        one[i] = 1.0;
    T_OK(rt_buf_read(run(t, t_dev(t), one, 32, RT_F32, RT_F32, 0.5, 0x123456789abcdefu, false), 0,
                     32, RT_F64, y));
    for (int i = 0; i < 32; i++)
        assert_true(y[i] == (KEPT >> i & 1 ? 2.0 : 0.0));
    t_reset(t);
}

// Shares kept, by key: of N elements within five sigma of 1 - p; two keys agree as often as chance
// has it.
static void shares(struct t *t)
{
    enum { N = 20000 };
    double *one = t_alloc(t, N * sizeof(*one)), *a = t_alloc(t, 2 * N * sizeof(*a)), *b = a + N;
    static const double P[] = {0.0, 0.05, 0.5, 0.9};
    for (int i = 0; i < N; i++)
        one[i] = 1.0;
    for (size_t k = 0; k < COUNT_OF(P); k++) {
        const double p = P[k], sigma = sqrt(N * p * (1.0 - p));
        double kept = 0.0, both = 0.0;
        T_OK(rt_buf_read(run(t, t_dev(t), one, N, RT_F32, RT_F32, p, 1, false), 0, N, RT_F64, a));
        T_OK(rt_buf_read(
            run(t, t_dev(t), one, N, RT_F32, RT_F32, p, 1 + ((uint64_t) 1 << 32), false), 0, N,
            RT_F64, b));
        for (int i = 0; i < N; i++) {
            assert_true(a[i] == 0.0 || fabs(a[i] - 1.0 / (1.0 - p)) < 1e-6 / (1.0 - p));
            kept += a[i] > 0.0;
            both += a[i] > 0.0 && b[i] > 0.0;
        }
        if (!(fabs(kept - N * (1.0 - p)) <= 5.0 * sigma) ||
            !(fabs(both - N * (1.0 - p) * (1.0 - p)) <= 10.0 * sigma))
            fail_msg("p %g on %s: %g of %d kept, %g by both keys", p, t_name(t), kept, N, both);
    }
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_buf *b = t_zeros(t, t_dev(t), RT_F16, 8), *c = t_zeros(t, t_dev(t), RT_F16, 8);
    const struct op_dropout_args good = {.x = b, .y = c, .n = 8, .p = 0.5};
    struct op_dropout_args a = good;

    a.n = 7;
    T_ERR(RT_E_ARG, op_dropout(NULL, &a));
    a.n = 0;
    T_ERR(RT_E_ARG, op_dropout(NULL, &a));
    a = good;
    a.p = 1.0;
    T_ERR(RT_E_ARG, op_dropout(NULL, &a));
    a.p = (double) NAN;
    T_ERR(RT_E_ARG, op_dropout(NULL, &a));
    a = good;
    a.n = 10;
    T_ERR(RT_E_SHAPE, op_dropout(NULL, &a));
    a = good;
    a.y = b;
    T_ERR(RT_E_SHAPE, op_dropout(NULL, &a));
    t_reset(t);
    t_flat(t, check);
    known_mask(t);
    shares(t);
}

int main(void)
{
    return t_each_device(body);
}
