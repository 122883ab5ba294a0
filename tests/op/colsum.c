#include "src/op/colsum.h"

#include "tests/op/ops.h"

static const uint32_t COLS[] = {2, 14, 28, 252, 254, 256, 258, 1030};
static const uint32_t ROWS[] = {1, 63, 64, 65, 131, 300};

enum { AT = 37 }; // where y begins behind FIRST: any number will do

static struct op_vec run(struct t *t, struct rt_dev *dev, uint32_t rows, uint32_t cols,
                         enum rt_type type, const double *x, const double *y0)
{
    const uint32_t ld = op_stride(cols) + 8;
    const struct op_vec y = t_vec(t, dev, RT_F32, y0, AT + cols);
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_colsum(
        cmd, &(struct op_colsum_args){
                 .x = t_vec(t, dev, type, t_pad(t, x, rows, cols, ld, 777.0), (uint64_t) rows * ld),
                 .y = {y.buf, y.first + AT},
                 .scratch = t_output(t, dev, RT_F32, op_colsum_scratch(rows, cols)),
                 .n_rows = rows,
                 .cols = cols,
                 .ld = ld}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

// Up to 300 terms below 6, each addition rounded by 2^-24 of a running sum below 100.
static void check(struct t *t, struct rt_dev *dev, uint32_t rows, uint32_t cols, enum rt_type type)
{
    const double *x = t_normal(t, (uint64_t) rows * cols, 1.0), *y0 = t_normal(t, AT + cols, 1.0);
    t_close_vec(t, "y", run(t, dev, rows, cols, type, x, y0),
                run(t, t_ref(t), rows, cols, type, x, y0), AT + cols,
                (struct t_tol){.atol = 1e-6 + 2e-7 * rows, .rtol = 1e-6});
    t_reset(t);
}

static void oracle(struct t *t)
{
    double x[65 * 2], y0[AT + 2] = {0};
    for (uint32_t i = 0; i < 65; i++) {
        x[2 * i] = i;
        x[2 * i + 1] = 1.0;
    }
    y0[AT] = 7.0;
    const double *y = t_read(t, run(t, t_ref(t), 65, 2, RT_F32, x, y0), AT + 2);
    assert_true(fabs(y[AT] - (7.0 + 64 * 65 / 2)) < 1e-9 && fabs(y[AT + 1] - 65.0) < 1e-9);
    t_reset(t);
}

static void errors(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    const struct op_colsum_args good = {x, x, x.buf, 8, 8, 8};
    struct op_colsum_args a;
#define BAD(code, change) (a = good, change, T_ERR(code, op_colsum(NULL, &a)))
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.cols = 5);
    BAD(RT_E_ARG, a.ld = 12);
    BAD(RT_E_SHAPE, a.n_rows = 17);
    BAD(RT_E_SHAPE, a.y.buf = NULL);
    BAD(RT_E_SHAPE, a.y.first = 250);
    BAD(RT_E_SHAPE, a.scratch = NULL);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_dev *small = t_small_range(t);

    errors(t);
    oracle(t);
    for (size_t i = 0; i < COUNT_OF(COLS); i++)
        for (size_t k = 0; k < 3; k++)
            check(t, t_dev(t), ROWS[(i + k) % COUNT_OF(ROWS)], COLS[i], FLOATS[k]);
    check(t, small, 300, 1536, RT_F32); // 1 MiB holds 128 rows of 1544 floats
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
