#include "src/op/adamw.h"

#include "tests/op/flat.h"

static struct op_adamw_step step_of(double lr, double decay, int t)
{
    return (struct op_adamw_step){.decay = (float) (1.0 - lr * decay),
                                  .beta1 = 0.9f,
                                  .one_minus_beta1 = (float) (1.0 - 0.9),
                                  .beta2 = 0.999f,
                                  .one_minus_beta2 = (float) (1.0 - 0.999),
                                  .step_size = (float) (lr / (1.0 - pow(0.9, t))),
                                  .inv_sqrt_bc2 = (float) (1.0 / sqrt(1.0 - pow(0.999, t))),
                                  .eps = 1e-8f};
}

struct state {
    struct op_vec m, v;
    struct op_master p;
};

// x: grad, p, m, v, each n.
static struct state run(struct t *t, struct rt_dev *dev, const double *x, uint32_t n,
                        enum rt_type type)
{
    const struct op_vec grad = t_vec(t, dev, RT_F32, x, n);
    struct state s = {t_vec(t, dev, RT_F32, x + 2 * n, n), t_vec(t, dev, RT_F32, x + 3 * n, n),
                      t_master(t, dev, type, x + n, n)};
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_adamw(cmd, &(struct op_adamw_args){grad, mult_of(t, dev, 0.5), s.m, s.v, s.p, n,
                                               step_of(0.01, 0.1, 7)}));
    T_OK(rt_cmd_wait(&cmd));
    return s;
}

// m, v: two products and a sum of numbers up to 8 and 16. p: m is off by 3 * 2^-24 * 8, in units of
// sqrt(v) >= 1 where m is not zero; Vulkan's sqrt and division are off by about 7 ULP of a ratio up
// to 10, times step_size = 0.02. In f16's subnormal range a master is off by 2^-41 more.
static void check(struct t *t, struct rt_dev *dev, uint32_t n, enum rt_type type)
{
    double *x = t_uniform(t, 4 * (uint64_t) n, -4.0, 4.0);
    struct state got, want;

    for (uint32_t i = 0; i < n; i++)
        x[3 * n + i] = 1.0 + fabs(x[3 * n + i]);
    x[0] = x[2 * n] = x[3 * n] = 0.0; // never trained: 0 / (0 + eps)
    x[1] = 2e-8; // where eps outweighs sqrt(v), and its square root would outweigh all
    x[2 * n + 1] = x[3 * n + 1] = 0.0;
    got = run(t, dev, x, n, type);
    want = run(t, t_ref(t), x, n, type);
    t_close_vec(t, "m", got.m, want.m, n, (struct t_tol){.atol = 1e-6});
    t_close_vec(t, "v", got.v, want.v, n, (struct t_tol){.rtol = 4.0 * 0x1p-24});
    t_close_master(t, "p", got.p, want.p, n, (struct t_tol){.atol = 5e-7, .rtol = 2.0 * 0x1p-24});
    t_reset(t);
}

// Masters are f32 numbers whatever they are stored as: after a step they are those of f32 weights,
// to the bit.
static void same_as_f32(struct t *t, enum rt_type type)
{
    enum { N = 4098 };
    const double *x = t_uniform(t, 4 * N, 0.5, 4.0);
    const struct state s = run(t, t_dev(t), x, N, type), f = run(t, t_dev(t), x, N, RT_F32);

    assert_memory_equal(t_read_master(t, s.p, N), t_read_master(t, f.p, N), N * sizeof(*x));
    t_reset(t);
}

// torch 2's AdamW(lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01), two steps by hand: p =
// 1, g = 0.5, then -1.
//   step 1: p = 0.999, m = 0.05, v = 2.5e-4; p -= 0.1 * 0.5 / (0.5 + 1e-8)
//   step 2: p *= 0.999; m = 0.045 - 0.1 = -0.055, v = 2.4975e-4 + 1e-3 = 1.24975e-3;
//           p -= 0.1 * (-0.055 / 0.19) / (sqrt(1.24975e-3 / 1.999e-3) + 1e-8)
static void oracle(struct t *t)
{
    const double first = 0.999 - 0.1 * 0.5 / (0.5 + 1e-8);
    const double second =
        first * 0.999 + 0.1 * (0.055 / 0.19) / (sqrt(1.24975e-3 / 1.999e-3) + 1e-8);
    const double ones[2] = {1.0, 1.0}, zeros[2] = {0.0, 0.0};
    const struct op_master p = t_master(t, t_ref(t), RT_F32, ones, 2);
    const struct op_vec m = t_vec(t, t_ref(t), RT_F32, zeros, 2);
    const struct op_vec v = t_vec(t, t_ref(t), RT_F32, zeros, 2);
    struct rt_cmd *cmd;

    for (int i = 1; i <= 2; i++) {
        const double g[2] = {i == 1 ? 1.0 : -2.0, 0.0}; // mult halves it
        T_OK(rt_cmd_create(t_ref(t), &cmd));
        T_OK(op_adamw(cmd, &(struct op_adamw_args){t_vec(t, t_ref(t), RT_F32, g, 2),
                                                   mult_of(t, t_ref(t), 0.5), m, v, p, 2,
                                                   step_of(0.1, 0.01, i)}));
        T_OK(rt_cmd_wait(&cmd));
        assert_true(fabs(t_read(t, p.w, 2)[0] - (i == 1 ? first : second)) <
                    1e-6); // the step's numbers are f32
        assert_true(fabs(t_read(t, p.w, 2)[1] - pow(0.999, i)) < 1e-6);
    }
    t_reset(t);
}

static void errors(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    const struct op_vec h = t_vec(t, t_dev(t), RT_F16, NULL, 64);
    const struct op_vec b = t_vec(t, t_dev(t), RT_BF16, NULL, 64);
    const struct op_adamw_args good = {x,  mult_of(t, t_dev(t), 1.0), x, x, {h, h},
                                       64, step_of(0.1, 0.0, 1)};
    struct op_adamw_args a;
#define BAD(code, change) (a = good, change, T_ERR(code, op_adamw(NULL, &a)))
    BAD(RT_E_ARG, a.n = 0);
    BAD(RT_E_ARG, a.n = 3);
    BAD(RT_E_ARG, a.step.step_size = INFINITY);
    BAD(RT_E_ARG, a.step.eps = -1.0f);
    BAD(RT_E_SHAPE, a.n = 130);
    BAD(RT_E_SHAPE, a.mult = NULL);
    BAD(RT_E_SHAPE, a.grad.buf = NULL);
    BAD(RT_E_SHAPE, a.v.first = 2);
    BAD(RT_E_SHAPE, a.p.w.first = 2);
    BAD(RT_E_SHAPE, a.p.low.buf = NULL);
    BAD(RT_E_SHAPE, a.p.low = b);
    BAD(RT_E_SHAPE, a.p.w = x);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    errors(t);
    oracle(t);
    t_flat(t, check);
    same_as_f32(t, RT_F16);
    same_as_f32(t, RT_BF16);
}

int main(void)
{
    return t_each_device(body);
}
