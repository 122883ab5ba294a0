#include "src/op/lerp.h"

#include "tests/op/flat.h"

static struct op_master run(struct t *t, struct rt_dev *dev, enum rt_type type, const double *x,
                            uint32_t n, double alpha)
{
    const struct op_master y = t_master(t, dev, type, x + n, n);
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_lerp(cmd, &(struct op_lerp_args){t_master(t, dev, type, x, n), y, n, alpha}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

// Two products and a sum of numbers below 4, which may cancel: three roundings of 2^-24 * 4.
static void check(struct t *t, struct rt_dev *dev, uint32_t n, enum rt_type type)
{
    const double alpha = n % 4 ? 0.6 : 0.01;
    const double *x = t_uniform(t, 2 * (uint64_t) n, -4.0, 4.0);
    t_close_master(t, "y", run(t, dev, type, x, n, alpha), run(t, t_ref(t), type, x, n, alpha), n,
                   (struct t_tol){.atol = 8e-7});
    t_reset(t);
}

// At the ends y is x, or is left alone, to the bit; between them the numbers are those of a hand.
static void ends(struct t *t, enum rt_type type)
{
    static const double X[] = {3.0, -0.1, 1.0, 2.0};
    const struct {
        double alpha, y[2];
    } rows[] = {{0.0, {1.0, 2.0}}, {1.0, {3.0, (double) -0.1f}}, {0.5, {2.0, (double) 0.95f}}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const double *got = t_read_master(t, run(t, t_dev(t), type, X, 2, rows[i].alpha), 2);
        for (int k = 0; k < 2; k++)
            if (!(fabs(got[k] - rows[i].y[k]) <= (rows[i].alpha == 0.5 ? 1e-7 : 0.0)))
                fail_msg("alpha %g: y[%d] is %.9g, not %.9g", rows[i].alpha, k, got[k],
                         rows[i].y[k]);
    }
    t_reset(t);
}

static void body(struct t *t)
{
    const struct op_vec v = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    const struct op_vec h = t_vec(t, t_dev(t), RT_F16, NULL, 64);
    const struct op_master x = {.w = v};

    T_ERR(RT_E_ARG, op_lerp(NULL, &(struct op_lerp_args){x, x, 0, 0.5}));
    T_ERR(RT_E_ARG, op_lerp(NULL, &(struct op_lerp_args){x, x, 7, 0.5}));
    T_ERR(RT_E_ARG, op_lerp(NULL, &(struct op_lerp_args){x, x, 8, 1.5}));
    T_ERR(RT_E_ARG, op_lerp(NULL, &(struct op_lerp_args){x, x, 8, NAN}));
    T_ERR(RT_E_SHAPE, op_lerp(NULL, &(struct op_lerp_args){x, x, 130, 0.5}));
    T_ERR(RT_E_SHAPE, op_lerp(NULL, &(struct op_lerp_args){{{v.buf, 4}, {0}}, x, 8, 0.5}));
    T_ERR(RT_E_SHAPE, op_lerp(NULL, &(struct op_lerp_args){x, {h, {0}}, 8, 0.5}));
    T_ERR(RT_E_SHAPE, op_lerp(NULL, &(struct op_lerp_args){x, {h, h}, 8, 0.5}));
    t_reset(t);
    for (size_t k = 0; k < COUNT_OF(FLOATS); k++)
        ends(t, FLOATS[k]);
    t_flat(t, check);
}

int main(void)
{
    return t_each_device(body);
}
