#include "src/op/segment.h"

#include "tests/op/ops.h"

// Segments of 0, 1, and around a group and two of them, in one row; COUNT of them, from row 3 on.
static const uint32_t LENGTHS[] = {1, 0, 63, 64, 65, 127, 128, 129, 0, 1000, 2};
enum { COUNT = COUNT_OF(LENGTHS), LD = 8, COLUMN = 5, STARTS_FIRST = 7, Y_FIRST = 3 };

static uint32_t make_starts(uint32_t *starts)
{
    uint32_t n = 3;
    memset(starts, 0, STARTS_FIRST * sizeof(*starts));
    for (uint32_t s = 0; s < COUNT; s++) {
        starts[STARTS_FIRST + s] = n;
        n += LENGTHS[s];
    }
    starts[STARTS_FIRST + COUNT] = n;
    return n + 2; // two rows of no segment
}

static struct rt_buf *sum(struct t *t, struct rt_dev *dev, const double *x, uint32_t n,
                          const uint32_t *starts, bool mean)
{
    double before[Y_FIRST + COUNT];
    struct rt_buf *y = t_output(t, dev, RT_F32, Y_FIRST + COUNT);
    struct rt_cmd *cmd;

    for (uint32_t i = 0; i < Y_FIRST + COUNT; i++)
        before[i] = i < Y_FIRST ? 5.0 : (double) NAN;
    T_OK(rt_buf_write(y, 0, Y_FIRST + COUNT, RT_F64, before));
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_segment_sum(cmd, &(struct op_segment_sum_args){
                                 .x = t_buf(t, dev, RT_F32, x, (uint64_t) n * LD),
                                 .starts = t_buf_u32(t, dev, starts, STARTS_FIRST + COUNT + 1),
                                 .y = y,
                                 .n_rows = n,
                                 .n_segs = COUNT,
                                 .ld = LD,
                                 .column = COLUMN,
                                 .starts_first = STARTS_FIRST,
                                 .y_first = Y_FIRST,
                                 .mean = mean}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

static struct rt_buf *spread(struct t *t, struct rt_dev *dev, const double *dy, uint32_t n,
                             const uint32_t *starts, bool mean)
{
    double *before = t_alloc(t, n * sizeof(*before));
    struct rt_buf *dx = t_output(t, dev, RT_F32, n);
    struct rt_cmd *cmd;

    for (uint32_t i = 0; i < n; i++)
        before[i] = i < 3 || i >= n - 2 ? 5.0 : (double) NAN;
    T_OK(rt_buf_write(dx, 0, n, RT_F64, before));
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_segment_spread(cmd, &(struct op_segment_spread_args){
                                    .dy = t_buf(t, dev, RT_F32, dy, Y_FIRST + COUNT),
                                    .starts = t_buf_u32(t, dev, starts, STARTS_FIRST + COUNT + 1),
                                    .dx = dx,
                                    .n_rows = n,
                                    .n_segs = COUNT,
                                    .starts_first = STARTS_FIRST,
                                    .dy_first = Y_FIRST,
                                    .mean = mean,
                                    .scale = 3.0f}));
    T_OK(rt_cmd_wait(&cmd));
    return dx;
}

// A lane adds up to 16 terms of one sign, then a tree of 6: 22 roundings of 2^-24. spread: a
// product, a division of 2.5 ULP.
static void check(struct t *t, bool mean)
{
    uint32_t starts[STARTS_FIRST + COUNT + 1];
    const uint32_t n = make_starts(starts);
    const double *x = t_uniform(t, (uint64_t) n * LD, -20.0, 0.0),
                 *dy = t_normal(t, Y_FIRST + COUNT, 1.0);

    t_close(t, "sum", sum(t, t_dev(t), x, n, starts, mean), sum(t, t_ref(t), x, n, starts, mean),
            Y_FIRST + COUNT, (struct t_tol){.rtol = 25.0 * 0x1p-24});
    t_close(t, "spread", spread(t, t_dev(t), dy, n, starts, mean),
            spread(t, t_ref(t), dy, n, starts, mean), n, (struct t_tol){.rtol = 8.0 * 0x1p-24});
    t_reset(t);
}

// The oracle against sums written out, and equal segments have equal bits wherever they lie.
static void plain(struct t *t)
{
    uint32_t starts[STARTS_FIRST + COUNT + 1];
    const uint32_t n = make_starts(starts);
    double *x = t_uniform(t, (uint64_t) n * LD, -20.0, 0.0), want = 0.0, *y;
    const uint32_t a = starts[STARTS_FIRST + 2],
                   b = starts[STARTS_FIRST + 9]; // of 63 and of 1000 rows

    for (uint32_t i = 0; i < 1000; i++) {
        x[(b + i) * LD + COLUMN] = i < 63 ? x[(a + i) * LD + COLUMN] : 0.0; // zeros add nothing
        want += (double) (float) x[(b + i) * LD + COLUMN];
    }
    y = t_alloc(t, (Y_FIRST + COUNT) * sizeof(*y));
    T_OK(rt_buf_read(sum(t, t_ref(t), x, n, starts, false), 0, Y_FIRST + COUNT, RT_F64, y));
    assert_true(fabs(y[Y_FIRST + 9] - want) < 1e-9 && y[Y_FIRST + 1] == 0.0 && y[0] == 5.0);
    T_OK(rt_buf_read(sum(t, t_ref(t), x, n, starts, true), 0, Y_FIRST + COUNT, RT_F64, y));
    assert_true(fabs(y[Y_FIRST + 9] - want / 1000.0) < 1e-9 && y[Y_FIRST + 1] == 0.0);
    T_OK(rt_buf_read(sum(t, t_dev(t), x, n, starts, false), 0, Y_FIRST + COUNT, RT_F64, y));
    assert_true(y[Y_FIRST + 2] == y[Y_FIRST + 9]);
    t_reset(t);
}

static void errors(struct t *t)
{
    struct rt_buf *f = t_zeros(t, t_dev(t), RT_F32, 64),
                  *u = t_buf_u32(t, t_dev(t), (uint32_t[3]){0}, 3);
    const struct op_segment_sum_args good = {
        .x = f, .starts = u, .y = f, .n_rows = 8, .n_segs = 2, .ld = 8};
    const struct op_segment_spread_args back = {
        .dy = f, .starts = u, .dx = f, .n_rows = 8, .n_segs = 2, .scale = 1.0f};
    struct op_segment_sum_args a;
    struct op_segment_spread_args b;
#define BAD(code, change) (a = good, change, T_ERR(code, op_segment_sum(NULL, &a)))
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.n_segs = 0);
    BAD(RT_E_ARG, a.column = 8);
    BAD(RT_E_SHAPE, a.n_rows = 9);
    BAD(RT_E_SHAPE, a.starts_first = 1);
    BAD(RT_E_SHAPE, a.y_first = 63);
    BAD(RT_E_SHAPE, a.starts = f);
#undef BAD
#define BAD(code, change) (b = back, change, T_ERR(code, op_segment_spread(NULL, &b)))
    BAD(RT_E_ARG, b.n_segs = 0);
    BAD(RT_E_ARG, b.n_rows = 0);
    BAD(RT_E_ARG, b.scale = NAN);
    BAD(RT_E_SHAPE, b.dy_first = 63);
    BAD(RT_E_SHAPE, b.starts_first = 1);
    BAD(RT_E_SHAPE, b.n_rows = 65);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    errors(t);
    plain(t);
    check(t, false);
    check(t, true);
}

int main(void)
{
    return t_each_device(body);
}
