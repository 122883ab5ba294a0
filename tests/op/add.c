#include "src/op/add.h"

#include "tests/op/flat.h"

static struct op_vec run(struct t *t, struct rt_dev *dev, const double *x, uint32_t n,
                         enum rt_type type)
{
    const struct op_vec y = t_vec(t, dev, RT_F32, x + n, n);
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_axpy(cmd, &(struct op_axpy_args){t_vec(t, dev, type, x, n), y, n, -0.75f}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

// A product and a sum of numbers below 8, which may cancel: two roundings of 2^-24 * 8.
static void check(struct t *t, struct rt_dev *dev, uint32_t n, enum rt_type type)
{
    const double *x = t_uniform(t, 2 * (uint64_t) n, -4.0, 4.0);
    t_close_vec(t, "y", run(t, dev, x, n, type), run(t, t_ref(t), x, n, type), n,
                (struct t_tol){.atol = 1e-6});
    t_reset(t);
}

static void body(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, 64);

    T_ERR(RT_E_ARG, op_axpy(NULL, &(struct op_axpy_args){x, x, 0, 1.0f}));
    T_ERR(RT_E_ARG, op_axpy(NULL, &(struct op_axpy_args){x, x, 7, 1.0f}));
    T_ERR(RT_E_ARG, op_axpy(NULL, &(struct op_axpy_args){x, x, 8, NAN}));
    T_ERR(RT_E_SHAPE, op_axpy(NULL, &(struct op_axpy_args){x, x, 130, 1.0f}));
    T_ERR(RT_E_SHAPE, op_axpy(NULL, &(struct op_axpy_args){{x.buf, 4}, x, 8, 1.0f}));
    t_reset(t);
    t_flat(t, check);
}

int main(void)
{
    return t_each_device(body);
}
