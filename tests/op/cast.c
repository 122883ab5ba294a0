#include "src/op/cast.h"

#include "tests/op/flat.h"

static const struct t_tol EXACT = {0.0, 0.0};

static struct rt_buf *run(struct t *t, struct rt_dev *dev, const double *x, uint64_t n,
                          enum rt_type from, enum rt_type to)
{
    struct rt_buf *y = t_output(t, dev, to, n);
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_cast(cmd, &(struct op_cast_args){.x = t_buf(t, dev, from, x, n), .y = y, .n = n}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

// One rounding, to nearest even, on integers: bit for bit the same everywhere.
static void compare(struct t *t, struct rt_dev *dev, const double *x, uint64_t n, enum rt_type from,
                    enum rt_type to)
{
    double *want = t_alloc(t, n * sizeof(*want));
    memcpy(want, x, n * sizeof(*want));
    t_round(want, n, from);
    t_round(want, n, to);
    t_close_to(t, "y", run(t, dev, x, n, from, to), want, n, EXACT);
}

static void check(struct t *t, struct rt_dev *dev, uint32_t n, enum rt_type from)
{
    const double *x = t_normal(t, n, 100.0);
    for (size_t k = 0; k < COUNT_OF(FLOATS); k++)
        compare(t, dev, x, n, from, FLOATS[k]);
    t_reset(t);
}

// Every half, and the floats at and beside the middle of it and the next: ties, subnormals, the
// step to Inf.
static void every_half(struct t *t, enum rt_type half)
{
    enum { N = 0x8000 * 8 };
    double *x = t_alloc(t, N * sizeof(*x));
    uint32_t n = 0;

    for (uint32_t h = 0; h < (half == RT_F16 ? 0x7c00u : 0x7f80u); h++) {
        const float a = half == RT_F16 ? f16_to_f32((uint16_t) h) : bf16_to_f32((uint16_t) h);
        const uint32_t step = half == RT_F16 ? 0x2000u : 0x10000u;
        const float middle = h < 0x400u && half == RT_F16 ? ((float) h + 0.5f) * 0x1p-24f
                                                          : f32_from_bits(f32_bits(a) + step / 2);
        for (int sign = -1; sign <= 1; sign += 2) {
            x[n++] = sign * (double) a;
            x[n++] = sign * (double) middle;
            x[n++] = sign * (double) f32_from_bits(f32_bits(middle) - 1);
            x[n++] = sign * (double) f32_from_bits(f32_bits(middle) + 1);
        }
    }
    compare(t, t_dev(t), x, n, RT_F32, half);
    compare(t, t_dev(t), x, n, half, RT_F32);
    t_reset(t);
}

// Inf stays Inf, NaN stays NaN, between any types.
static void specials(struct t *t)
{
    const double x[4] = {(double) INFINITY, (double) -INFINITY, (double) NAN, 1.0};
    for (size_t i = 0; i < 9; i++) {
        double y[4];
        T_OK(rt_buf_read(run(t, t_dev(t), x, 4, FLOATS[i / 3], FLOATS[i % 3]), 0, 4, RT_F64, y));
        assert_true(y[0] == x[0] && y[1] == x[1] && isnan(y[2]) && y[3] == 1.0);
    }
    t_reset(t);
}

// NaN whose bits would carry into the sign if they were rounded.
static void full_nan(struct t *t, enum rt_type half)
{
    const float x[2] = {f32_from_bits(0x7fffffffu), f32_from_bits(0xff800001u)};
    struct rt_buf *from = t_zeros(t, t_dev(t), RT_F32, 2), *to = t_zeros(t, t_dev(t), half, 2);
    struct rt_cmd *cmd;
    double y[2];

    T_OK(rt_buf_write(from, 0, 2, RT_F32, x));
    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(op_cast(cmd, &(struct op_cast_args){.x = from, .y = to, .n = 2}));
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(to, 0, 2, RT_F64, y));
    assert_true(isnan(y[0]) && isnan(y[1]));
    t_reset(t);
}

// Times a number, rounded once.
static void scaled(struct t *t, enum rt_type to)
{
    enum { N = 4098 };
    double *x = t_normal(t, N, 1.0), *want = t_alloc(t, N * sizeof(*want));
    struct rt_buf *y = t_output(t, t_dev(t), to, N);
    struct rt_cmd *cmd;

    t_round(x, N, RT_F32);
    for (uint32_t i = 0; i < N; i++)
        want[i] = x[i] * 0.75;
    t_round(want, N, RT_F32);
    t_round(want, N, to);
    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(op_cast(cmd, &(struct op_cast_args){
                          .x = t_buf(t, t_dev(t), RT_F32, x, N), .y = y, .n = N, .scale = 0.75f}));
    T_OK(rt_cmd_wait(&cmd));
    // The host rounds once where devices round to f32 first: a unit in the last place apart at
    // most.
    const double ulp = to == RT_F16 ? 0x1p-10 : to == RT_BF16 ? 0x1p-7 : 0x1p-23;
    t_close_to(t, "scaled", y, want, N, (struct t_tol){1e-7, ulp});
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_buf *b = t_zeros(t, t_dev(t), RT_F16, 8);

    T_ERR(RT_E_ARG, op_cast(NULL, &(struct op_cast_args){.x = b, .y = b, .n = 0}));
    T_ERR(RT_E_ARG, op_cast(NULL, &(struct op_cast_args){.x = b, .y = b, .n = 7}));
    T_ERR(RT_E_SHAPE, op_cast(NULL, &(struct op_cast_args){.x = b, .y = b, .n = 10}));
    T_ERR(RT_E_SHAPE, op_cast(NULL, &(struct op_cast_args){.x = b, .y = NULL, .n = 8}));
    T_ERR(RT_E_ARG,
          op_cast(NULL, &(struct op_cast_args){.x = b, .y = b, .n = 8, .scale = (float) NAN}));
    t_reset(t);
    t_flat(t, check);
    every_half(t, RT_F16);
    every_half(t, RT_BF16);
    specials(t);
    for (size_t i = 0; i < COUNT_OF(FLOATS); i++)
        scaled(t, FLOATS[i]);
    full_nan(t, RT_F16);
    full_nan(t, RT_BF16);
}

int main(void)
{
    return t_each_device(body);
}
