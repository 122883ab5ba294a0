#include "src/op/dora.h"

#include "tests/op/ops.h"

static const uint32_t SIZES[][2] = {{1, 2}, {3, 62}, {5, 64}, {2, 66}, {7, 130}, {3, 1026}};

struct out {
    struct op_vec factor, norm, y, z, dz;
};

// One input, rows x cols with padding that must not count, through all three.
static struct out run(struct t *t, struct rt_dev *dev, const double *x, uint32_t rows,
                      uint32_t cols, enum rt_type type, bool bias, bool add)
{
    const uint32_t ld = op_stride(cols) + 8;
    const uint64_t n = (uint64_t) rows * cols;
    const double *w = t_pad(t, x, rows, cols, ld, 9.0), *d = t_pad(t, x + n, rows, cols, ld, 9.0);
    const enum rt_type to = add ? RT_F32 : type;
    const struct op_vec b = {bias ? t_vec(t, dev, type, x, cols).buf : NULL, bias ? FIRST : 0};
    struct rt_cmd *cmd;
    struct out o = {t_vec(t, dev, RT_F32, NULL, rows), t_vec(t, dev, RT_F32, NULL, rows),
                    t_vec(t, dev, to, w, (uint64_t) rows * ld),
                    t_vec(t, dev, RT_F32, d, (uint64_t) rows * ld),
                    t_vec(t, dev, type, w, (uint64_t) rows * ld)};
    const struct op_vec m = t_vec(t, dev, RT_F32, x + 2 * n, rows),
                        f = t_vec(t, dev, RT_F32, x + n, cols),
                        g = t_vec(t, dev, RT_F32, x + 3 * n, cols);

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_dora_norm(cmd, &(struct op_dora_norm_args){.w = t_vec(t, dev, type, w, rows * ld),
                                                       .d = o.z,
                                                       .magnitude = m,
                                                       .factor = o.factor,
                                                       .norm = o.norm,
                                                       .n_rows = rows,
                                                       .cols = cols,
                                                       .ldw = ld,
                                                       .ldd = ld,
                                                       .scale = 0.7f}));
    T_OK(op_dora_scale(cmd, &(struct op_dora_scale_args){.z = o.z,
                                                         .factor = f,
                                                         .b = b,
                                                         .y = o.y,
                                                         .n_rows = rows,
                                                         .cols = cols,
                                                         .ldz = ld,
                                                         .ldy = ld,
                                                         .add = add}));
    T_OK(op_dora_back(cmd, &(struct op_dora_back_args){.dy = t_vec(t, dev, type, w, rows * ld),
                                                       .factor = f,
                                                       .norm = g,
                                                       .z = o.z,
                                                       .dz = o.dz,
                                                       .n_rows = rows,
                                                       .cols = cols,
                                                       .ldy = ld,
                                                       .ldz = ld}));
    T_OK(rt_cmd_wait(&cmd));
    return o;
}

static void close_cols(struct t *t, const char *what, struct op_vec got, struct op_vec want,
                       uint32_t rows, uint32_t cols, struct t_tol tol)
{
    const uint32_t ld = op_stride(cols) + 8;
    const double *x = t_read(t, got, (uint64_t) rows * ld),
                 *y = t_read(t, want, (uint64_t) rows * ld);
    for (uint32_t i = 0; i < rows * ld; i++)
        if (i % ld < cols && !(fabs(x[i] - y[i]) <= tol.atol + tol.rtol * fabs(y[i])))
            fail_msg("%s on %s: row %u column %u: %.9g, not %.9g", what, t_name(t), i / ld, i % ld,
                     x[i], y[i]);
}

// Roundings in f32 of a few operations on numbers of 1/2 to 2, sqrt and division at 2.5 to 3 units;
// sums of 1026 squares; then the storage's.
static void check(struct t *t, uint32_t rows, uint32_t cols, enum rt_type type, bool bias, bool add)
{
    const uint64_t n = (uint64_t) rows * cols + cols;
    double *x = t_uniform(t, 5 * n, 0.5, 2.0);
    t_round(x, 5 * n, type);
    const struct t_tol f32 = {1e-6, 1e-6}, stored = {2e-6, 2.0 * t_eps(type) + 1e-6};
    const struct out got = run(t, t_dev(t), x, rows, cols, type, bias, add),
                     want = run(t, t_ref(t), x, rows, cols, type, bias, add);

    t_close_vec(t, "norm", got.norm, want.norm, rows, f32);
    t_close_vec(t, "factor", got.factor, want.factor, rows, f32);
    close_cols(t, "y", got.y, want.y, rows, cols, add ? f32 : stored);
    close_cols(t, "z", got.z, want.z, rows, cols, f32);
    close_cols(t, "dz", got.dz, want.dz, rows, cols, stored);
    t_reset(t);
}

// A magnitude that is the norm to the bit gives a factor of exactly 1; by hand, |(3, 4)| = 5.
static void exact(struct t *t)
{
    const double w[16] = {3.0, 4.0, 7.0, 7.0, 7.0, 7.0, 7.0, 7.0, 0.1, 0.7};
    double x[2], zero[16] = {0};
    struct op_vec m = t_vec(t, t_dev(t), RT_F32, zero, 2), f = t_vec(t, t_dev(t), RT_F32, NULL, 2),
                  n = t_vec(t, t_dev(t), RT_F32, NULL, 2);
    struct op_dora_norm_args a = {.w = t_vec(t, t_dev(t), RT_F32, w, 16),
                                  .d = t_vec(t, t_dev(t), RT_F32, zero, 16),
                                  .magnitude = m,
                                  .factor = f,
                                  .norm = n,
                                  .n_rows = 2,
                                  .cols = 2,
                                  .ldw = 8,
                                  .ldd = 8,
                                  .scale = 1.0f};
    for (int again = 0; again < 2; again++) {
        struct rt_cmd *cmd;
        T_OK(rt_cmd_create(t_dev(t), &cmd));
        T_OK(op_dora_norm(cmd, &a));
        T_OK(rt_cmd_wait(&cmd));
        if (!again)
            a.magnitude = t_vec(t, t_dev(t), RT_F32, t_read(t, n, 2), 2);
    }
    T_OK(rt_buf_read(n.buf, n.first, 1, RT_F64, x));
    assert_true(fabs(x[0] - 5.0) <= 2e-6);
    T_OK(rt_buf_read(f.buf, f.first, 2, RT_F64, x));
    assert_true(x[0] == 1.0 && x[1] == 1.0);
    a.cols = 3;
    T_ERR(RT_E_ARG, op_dora_norm(NULL, &a));
    a.cols = 2;
    a.ldw = 4;
    T_ERR(RT_E_ARG, op_dora_norm(NULL, &a));
    a.ldw = 800;
    T_ERR(RT_E_SHAPE, op_dora_norm(NULL, &a));
    a.ldw = 8;
    a.scale = NAN;
    T_ERR(RT_E_ARG, op_dora_norm(NULL, &a));
    T_ERR(RT_E_ARG, op_dora_scale(NULL, &(struct op_dora_scale_args){.n_rows = 0}));
    T_ERR(RT_E_ARG, op_dora_back(NULL, &(struct op_dora_back_args){.n_rows = 0}));
    t_reset(t);
}

// By hand, without rounding: y = 2 * 1.5 + 1, and back from dy = 4 with norm 8: dz = 2 * 4, and the
// magnitude's share 4 * 1.5 / 8.
static void by_hand(struct t *t)
{
    static const double DY[8] = {4.0, 4.0}, Z[8] = {1.5, 1.5}, ONE[2] = {1.0, 1.0},
                        FACTOR[2] = {2.0, 2.0}, NORM[2] = {8.0, 8.0};
    struct rt_dev *dev = t_dev(t);
    const struct op_vec z = t_vec(t, dev, RT_F32, Z, 8), f = t_vec(t, dev, RT_F32, FACTOR, 2),
                        y = t_vec(t, dev, RT_F32, NULL, 8), dz = t_vec(t, dev, RT_F32, NULL, 8);
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_dora_scale(cmd, &(struct op_dora_scale_args){.z = z,
                                                         .factor = f,
                                                         .b = t_vec(t, dev, RT_F32, ONE, 2),
                                                         .y = y,
                                                         .n_rows = 1,
                                                         .cols = 2,
                                                         .ldz = 8,
                                                         .ldy = 8}));
    T_OK(op_dora_back(cmd, &(struct op_dora_back_args){.dy = t_vec(t, dev, RT_F32, DY, 8),
                                                       .factor = f,
                                                       .norm = t_vec(t, dev, RT_F32, NORM, 2),
                                                       .z = z,
                                                       .dz = dz,
                                                       .n_rows = 1,
                                                       .cols = 2,
                                                       .ldy = 8,
                                                       .ldz = 8}));
    T_OK(rt_cmd_wait(&cmd));
    for (int c = 0; c < 2; c++) {
        assert_true(t_read(t, y, 2)[c] == 4.0);
        assert_true(t_read(t, dz, 2)[c] == 8.0);
        assert_true(t_read(t, z, 2)[c] == 0.75);
    }
    t_reset(t);
}

static void body(struct t *t)
{
    exact(t);
    by_hand(t);
    for (size_t i = 0; i < COUNT_OF(SIZES); i++)
        for (size_t k = 0; k < COUNT_OF(FLOATS); k++) {
            check(t, SIZES[i][0], SIZES[i][1], FLOATS[k], false, false);
            check(t, SIZES[i][0], SIZES[i][1], FLOATS[k], true, k % 2 == 1);
        }
}

int main(void)
{
    return t_each_device(body);
}
