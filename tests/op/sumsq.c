#include "src/op/sumsq.h"

#include "tests/op/ops.h"

static const uint32_t SIZES[] = {1, 2, 63, 64, 65, 16383, 16384, 16385, 100003};

enum { PART_FIRST = 3 };

static struct rt_buf *run(struct t *t, struct rt_dev *dev, const double *x, uint32_t n)
{
    const uint64_t parts = op_sumsq_parts(n);
    struct rt_buf *part = t_output(t, dev, RT_F32, PART_FIRST + parts);
    struct rt_cmd *cmd;

    T_OK(rt_buf_write(part, 0, PART_FIRST, RT_F64, (double[PART_FIRST]){5.0, 5.0, 5.0}));
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_sumsq(cmd, &(struct op_sumsq_args){t_vec(t, dev, RT_F32, x, n), n, part, PART_FIRST}));
    T_OK(rt_cmd_wait(&cmd));
    return part;
}

// A lane adds 256 squares, then a tree of 6: at most 263 roundings of 2^-24, all terms of one sign.
static void check(struct t *t, struct rt_dev *dev, uint32_t n)
{
    const double *x = t_normal(t, n, 3e4); // as large as the gradient under a loss scale of 65536
    t_close(t, "parts", run(t, dev, x, n), run(t, t_ref(t), x, n), PART_FIRST + op_sumsq_parts(n),
            (struct t_tol){.rtol = 263.0 * 0x1p-24});
    t_reset(t);
}

// The host looks for Inf and NaN in the parts, so they must get there.
static void overflow(struct t *t)
{
    double x[4] = {1.0, (double) INFINITY, 2.0, 3.0}, part;
    T_OK(rt_buf_read(run(t, t_dev(t), x, 4), PART_FIRST, 1, RT_F64, &part));
    assert_true(isinf(part));
    x[1] = (double) NAN;
    T_OK(rt_buf_read(run(t, t_dev(t), x, 4), PART_FIRST, 1, RT_F64, &part));
    assert_true(isnan(part));
    x[1] = 3.0;
    T_OK(rt_buf_read(run(t, t_ref(t), x, 4), PART_FIRST, 1, RT_F64, &part));
    assert_true(part == 23.0);
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_dev *small = t_small_range(t);
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    struct rt_buf *part = t_zeros(t, t_dev(t), RT_F32, 1);

    T_ERR(RT_E_ARG, op_sumsq(NULL, &(struct op_sumsq_args){x, 0, part, 0}));
    T_ERR(RT_E_ARG, op_sumsq(NULL, &(struct op_sumsq_args){x, UINT64_MAX, part, 0}));
    T_ERR(RT_E_SHAPE,
          op_sumsq(NULL, &(struct op_sumsq_args){x, 129, part, 0})); // 64 and the guard are 128
    T_ERR(RT_E_SHAPE, op_sumsq(NULL, &(struct op_sumsq_args){x, 64, part, 1}));
    T_ERR(RT_E_SHAPE, op_sumsq(NULL, &(struct op_sumsq_args){{x.buf, 1}, 4, part, 0}));
    t_reset(t);
    overflow(t);
    for (size_t i = 0; i < COUNT_OF(SIZES); i++)
        check(t, t_dev(t), SIZES[i]);
    check(t, small, 600001); // 1 MiB holds 16 blocks
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
