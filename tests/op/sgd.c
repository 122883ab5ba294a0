#include "src/op/sgd.h"

#include "tests/op/flat.h"

// x: grad, p, each n.
static struct op_master run(struct t *t, struct rt_dev *dev, const double *x, uint32_t n,
                            enum rt_type type)
{
    const struct op_master p = t_master(t, dev, type, x + n, n);
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_sgd(cmd, &(struct op_sgd_args){t_vec(t, dev, RT_F32, x, n), mult_of(t, dev, 0.5), p, n,
                                           0.1f, 0.25f}));
    T_OK(rt_cmd_wait(&cmd));
    return p;
}

// p up to 4, a gradient of 2 + 0.4 times 0.25: five roundings of at most 4 * 2^-24.
static void check(struct t *t, struct rt_dev *dev, uint32_t n, enum rt_type type)
{
    const double *x = t_uniform(t, 2 * (uint64_t) n, -4.0, 4.0);

    t_close_master(t, "p", run(t, dev, x, n, type), run(t, t_ref(t), x, n, type), n,
                   (struct t_tol){.atol = 20.0 * 0x1p-24});
    t_reset(t);
}

// torch.optim.SGD(lr=0.5, weight_decay=0.25) by hand: p = 2, g = 1 (halved): 2 - 0.5 * (0.5 + 0.5);
// then p = 1.5: 1.5 - 0.5 * (0.5 + 0.375). All numbers are exact.
static void oracle(struct t *t)
{
    static const double WANT[] = {1.5, 1.0625};
    const double p0[2] = {2.0, 2.0}, g[2] = {1.0, 1.0};
    const struct op_master p = t_master(t, t_ref(t), RT_F32, p0, 2);
    struct rt_cmd *cmd;

    for (int i = 0; i < 2; i++) {
        T_OK(rt_cmd_create(t_ref(t), &cmd));
        T_OK(op_sgd(cmd, &(struct op_sgd_args){t_vec(t, t_ref(t), RT_F32, g, 2),
                                               mult_of(t, t_ref(t), 0.5), p, 2, 0.25f, 0.5f}));
        T_OK(rt_cmd_wait(&cmd));
        assert_true(t_read(t, p.w, 2)[0] == WANT[i] && t_read(t, p.w, 2)[1] == WANT[i]);
    }
    t_reset(t);
}

static void errors(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    const struct op_vec h = t_vec(t, t_dev(t), RT_F16, NULL, 64);
    const struct op_sgd_args good = {x, mult_of(t, t_dev(t), 1.0), {h, h}, 64, 0.0f, 0.1f};
    struct op_sgd_args a;
#define BAD(code, change) (a = good, change, T_ERR(code, op_sgd(NULL, &a)))
    BAD(RT_E_ARG, a.n = 0);
    BAD(RT_E_ARG, a.n = 3);
    BAD(RT_E_ARG, a.weight_decay = INFINITY);
    BAD(RT_E_ARG, a.lr = NAN);
    BAD(RT_E_SHAPE, a.n = 130);
    BAD(RT_E_SHAPE, a.mult = NULL);
    BAD(RT_E_SHAPE, a.grad.buf = NULL);
    BAD(RT_E_SHAPE, a.p.w.first = 2);
    BAD(RT_E_SHAPE, a.p.low.first = 2);
    BAD(RT_E_SHAPE, a.p.low.buf = NULL);
    BAD(RT_E_SHAPE, a.p.low = x);
    BAD(RT_E_SHAPE, a.p.w = x);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    errors(t);
    oracle(t);
    t_flat(t, check);
}

int main(void)
{
    return t_each_device(body);
}
