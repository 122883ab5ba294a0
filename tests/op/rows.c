#include "src/op/rows.h"

#include "tests/op/ops.h"

// Columns around one and two groups of four-column lanes, odd numbers of pairs, and a long row.
static const uint32_t COLS[] = {2, 14, 28, 56, 252, 254, 256, 258, 576, 1030};

struct shape {
    uint32_t table, rows, cols;
};

// ids: some rows often, some once, some never; the last row of the table too.
static uint32_t *make_ids(struct t *t, struct shape s)
{
    const double *u = t_uniform(t, s.rows, 0.0, 1.0);
    uint32_t *ids = t_alloc(t, s.rows * sizeof(*ids));
    for (uint32_t i = 0; i < s.rows; i++)
        ids[i] = (uint32_t) (u[i] * u[i] * s.table);
    ids[s.rows / 2] = s.table - 1;
    return ids;
}

static struct op_vec gather(struct t *t, struct rt_dev *dev, struct shape s, enum rt_type tx,
                            enum rt_type ty, const double *x, const uint32_t *ids, const double *y0)
{
    const uint32_t ldx = op_stride(s.cols) + 8, ldy = op_stride(s.cols);
    const struct op_vec y = t_vec(t, dev, ty, y0 ? t_pad(t, y0, s.rows, s.cols, ldy, 3.0) : NULL,
                                  (uint64_t) s.rows * ldy);
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_rows_gather(cmd, &(struct op_rows_gather_args){
                                 .x = t_vec(t, dev, tx, t_pad(t, x, s.table, s.cols, ldx, 777.0),
                                            (uint64_t) s.table * ldx),
                                 .ids = t_buf_u32(t, dev, ids, s.rows),
                                 .y = y,
                                 .n_table = s.table,
                                 .n_rows = s.rows,
                                 .cols = s.cols,
                                 .ldx = ldx,
                                 .ldy = ldy,
                                 .scale = 1.5f,
                                 .add = y0 != NULL}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

// One multiplication in f32, then one rounding to y's type: 2^-24 + eps(y); both may round the
// other way than the float64 product rounded once does.
static void check_gather(struct t *t, struct rt_dev *dev, struct shape s, enum rt_type tx,
                         enum rt_type ty)
{
    const double *x = t_normal(t, (uint64_t) s.table * s.cols, 2.0);
    const uint32_t *ids = make_ids(t, s);
    const double *y0 = t_normal(t, (uint64_t) s.rows * s.cols, 2.0);
    for (int add = 0; add < 1 + (ty == RT_F32); add++) {
        const struct op_vec got = gather(t, dev, s, tx, ty, x, ids, add ? y0 : NULL),
                            want = gather(t, t_ref(t), s, tx, ty, x, ids, add ? y0 : NULL);
        // The sum may cancel: one more rounding of numbers below 16.
        t_close_vec(t, "y", got, want, (uint64_t) s.rows * op_stride(s.cols),
                    (struct t_tol){.atol = add ? 2e-6 : 1e-7, .rtol = 0x1p-23 + 2.0 * t_eps(ty)});
    }
    t_reset(t);
}

static struct op_vec scatter(struct t *t, struct rt_dev *dev, struct shape s, enum rt_type type,
                             const double *dy, const double *dx0, const uint32_t *ids)
{
    const uint32_t ldx = op_stride(s.cols) + 8, ldy = op_stride(s.cols);
    uint32_t *index = t_alloc(t, op_scatter_words(s.rows) * sizeof(*index));
    const uint32_t unique = op_scatter_index(ids, s.rows, index);
    const struct op_vec dx =
        t_vec(t, dev, RT_F32, t_pad(t, dx0, s.table, s.cols, ldx, 3.0), (uint64_t) s.table * ldx);
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_rows_scatter_add(cmd,
                             &(struct op_rows_scatter_args){
                                 .dy = t_vec(t, dev, type, t_pad(t, dy, s.rows, s.cols, ldy, 777.0),
                                             (uint64_t) s.rows * ldy),
                                 .index = t_buf_u32(t, dev, index, op_scatter_words(s.rows)),
                                 .dx = dx,
                                 .n_table = s.table,
                                 .n_rows = s.rows,
                                 .n_unique = unique,
                                 .cols = s.cols,
                                 .ldx = ldx,
                                 .ldy = ldy,
                                 .scale = -0.25f}));
    T_OK(rt_cmd_wait(&cmd));
    return dx;
}

// Up to `rows` terms of at most 8 are added in f32: each addition rounds by 2^-24 of the running
// sum, which is below 2 * sqrt(rows) * 4 here; 2^-24 * rows * |sum| is never reached, half of it
// bounds it well.
static void check_scatter(struct t *t, struct rt_dev *dev, struct shape s, enum rt_type type)
{
    const double *dy = t_uniform(t, (uint64_t) s.rows * s.cols, -2.0, 2.0);
    const double *dx0 = t_normal(t, (uint64_t) s.table * s.cols, 1.0);
    const uint32_t *ids = make_ids(t, s);
    const struct op_vec got = scatter(t, dev, s, type, dy, dx0, ids);
    const struct op_vec want = scatter(t, t_ref(t), s, type, dy, dx0, ids);
    t_close_vec(t, "dx", got, want, (uint64_t) s.table * (op_stride(s.cols) + 8),
                (struct t_tol){.atol = 1e-6 + 0x1p-24 * s.rows, .rtol = 1e-6});
    t_reset(t);
}

static void check_index(struct t *t)
{
    static const uint32_t IDS[] = {7, 3, 7, 0, 9, 3, 7};
    static const uint32_t WANT[] = {0, 3, 7, 9, 0, 0, 0, 0, 1, 3, 6,
                                    7, 0, 0, 0, 3, 1, 5, 0, 2, 6, 4};
    uint32_t out[22], many[1000], *big = t_alloc(t, 3001 * sizeof(*big));

    assert_int_equal(op_scatter_index(IDS, 7, out), 4);
    assert_memory_equal(out, WANT, sizeof(out));
    for (uint32_t i = 0; i < 1000; i++)
        many[i] = i * 7919u % 101u;
    assert_int_equal(op_scatter_index(many, 1000, big), 101);
    for (uint32_t i = 1; i < 1000; i++) { // sorted by id, then by position, and each position once
        const uint32_t a = big[2001 + i - 1], b = big[2001 + i];
        assert_true(many[a] < many[b] || (many[a] == many[b] && a < b));
    }
    assert_int_equal(op_scatter_index(IDS, 1, out), 1);
    t_reset(t);
}

static void gather_errors(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F16, NULL, 64),
                        y = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    const uint32_t ids[8] = {0};
    const struct op_rows_gather_args good = {.x = x,
                                             .ids = t_buf_u32(t, t_dev(t), ids, 8),
                                             .y = y,
                                             .n_table = 8,
                                             .n_rows = 8,
                                             .cols = 8,
                                             .ldx = 8,
                                             .ldy = 8,
                                             .scale = 1.0f};
    struct op_rows_gather_args a;
#define BAD(code, change) (a = good, change, T_ERR(code, op_rows_gather(NULL, &a)))
    BAD(RT_E_ARG, a.n_table = 0);
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.cols = 7);
    BAD(RT_E_ARG, a.ldx = 12);
    BAD(RT_E_ARG, a.cols = 10);
    BAD(RT_E_ARG, a.scale = NAN);
    BAD(RT_E_SHAPE, a.n_table = 17); // the guard has room for 8 more rows
    BAD(RT_E_SHAPE, a.n_rows = 9);
    BAD(RT_E_SHAPE, a.x.buf = NULL);
    BAD(RT_E_SHAPE, a.x.first = 64);
    BAD(RT_E_SHAPE, a.ids = a.y.buf);
    BAD(RT_E_SHAPE, (a.add = true, a.y = x));
#undef BAD
    t_reset(t);
}

static void scatter_errors(struct t *t)
{
    const struct op_vec dy = t_vec(t, t_dev(t), RT_F16, NULL, 64),
                        dx = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    const uint32_t index[25] = {0};
    const struct op_rows_scatter_args good = {.dy = dy,
                                              .index = t_buf_u32(t, t_dev(t), index, 25),
                                              .dx = dx,
                                              .n_table = 8,
                                              .n_rows = 8,
                                              .n_unique = 1,
                                              .cols = 8,
                                              .ldx = 8,
                                              .ldy = 8,
                                              .scale = 1.0f};
    struct op_rows_scatter_args a;
#define BAD(code, change) (a = good, change, T_ERR(code, op_rows_scatter_add(NULL, &a)))
    BAD(RT_E_ARG, a.n_table = 0);
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.n_unique = 0);
    BAD(RT_E_ARG, a.n_unique = 9);
    BAD(RT_E_ARG, a.ldy = 4);
    BAD(RT_E_ARG, a.scale = INFINITY);
    BAD(RT_E_SHAPE, a.n_table = 17);
    BAD(RT_E_SHAPE, a.n_rows = 9);
    BAD(RT_E_SHAPE, a.dy.buf = NULL);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_dev *small = t_small_range(t);

    gather_errors(t);
    scatter_errors(t);
    check_index(t);
    for (size_t i = 0; i < COUNT_OF(COLS); i++)
        for (size_t k = 0; k < 3; k++) {
            const struct shape s = {67, i % 2 ? 131 : 1, COLS[i]};
            check_gather(t, t_dev(t), s, FLOATS[k], RT_F32);
            check_gather(t, t_dev(t), s, FLOATS[k], FLOATS[k]);
            check_scatter(t, t_dev(t), s, FLOATS[k]);
        }
    // 1 MiB holds 448 rows of 576 floats: table and rows are cut, with rests.
    check_gather(t, small, (struct shape){1001, 1400, 576}, RT_F32, RT_F32);
    check_gather(t, small, (struct shape){1901, 700, 576}, RT_F16, RT_F32);
    check_scatter(t, small, (struct shape){1001, 1400, 576}, RT_F32);
    check_scatter(t, small, (struct shape){701, 1900, 576}, RT_BF16);
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
