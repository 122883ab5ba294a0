#include "src/op/rope.h"

#include "tests/op/ops.h"

enum { POSITIONS = 97 };

struct shape {
    uint32_t rows, heads, dim, rot;
    enum rt_type type;
    bool pairs;
};

// D of 2, 14 and 30 have an odd D/2; then partial rotation; 1 to 131 rows, rows around a group of
// pairs.
static const struct shape SHAPES[] = {
    {1, 1, 2, 0, 0, false},    {63, 3, 14, 0, 0, false},  {64, 1, 30, 0, 0, false},
    {65, 2, 64, 0, 0, false},  {131, 9, 64, 0, 0, false}, {7, 2, 128, 0, 0, false},
    {33, 3, 80, 32, 0, false}, {33, 5, 10, 6, 0, false},  {5, 1, 126, 0, 0, false},
    {5, 1, 130, 0, 0, false},  {9, 8, 6, 0, 0, false},    {9, 17, 128, 0, 0, false},
};

static struct op_vec run(struct t *t, struct rt_dev *dev, struct shape s, const double *x,
                         bool inverse)
{
    const uint32_t cols = s.heads * s.dim, ldx = op_stride(cols) + 8, ldy = op_stride(cols);
    const uint32_t half = (s.rot ? s.rot : s.dim) / 2;
    const struct op_vec y = t_vec(t, dev, s.type, NULL, (uint64_t) s.rows * ldy);
    double *c = t_alloc(t, POSITIONS * half * sizeof(*c)),
           *sn = t_alloc(t, POSITIONS * half * sizeof(*sn));
    uint32_t *pos = t_alloc(t, s.rows * sizeof(*pos));
    struct rt_cmd *cmd;

    for (uint32_t i = 0; i < POSITIONS * half; i++) {
        const double angle = (i / half) * pow(10000.0, -(double) (i % half) / half);
        c[i] = cos(angle);
        sn[i] = sin(angle);
    }
    for (uint32_t i = 0; i < s.rows; i++)
        pos[i] = i * 31 % POSITIONS;
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_rope(cmd, &(struct op_rope_args){
                          .x = t_vec(t, dev, s.type, t_pad(t, x, s.rows, cols, ldx, 777.0),
                                     (uint64_t) s.rows * ldx),
                          .cos_table = t_buf(t, dev, RT_F32, c, (uint64_t) POSITIONS * half),
                          .sin_table = t_buf(t, dev, RT_F32, sn, (uint64_t) POSITIONS * half),
                          .pos = t_buf_u32(t, dev, pos, s.rows),
                          .y = y,
                          .n_rows = s.rows,
                          .n_heads = s.heads,
                          .head_dim = s.dim,
                          .rot_dim = s.rot,
                          .n_pos = POSITIONS,
                          .ldx = ldx,
                          .ldy = ldy,
                          .inverse = inverse,
                          .pairs = s.pairs}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

// Two products and a sum of numbers below 8 in f32 (3 * 2^-24 * 16, which may cancel), one rounding
// to S.
static void check(struct t *t, struct rt_dev *dev, struct shape s)
{
    const uint32_t n = s.rows * op_stride(s.heads * s.dim);
    const double *x = t_uniform(t, (uint64_t) s.rows * s.heads * s.dim, -8.0, 8.0);
    for (int inverse = 0; inverse < 2; inverse++)
        t_close_vec(
            t, "y", run(t, dev, s, x, inverse), run(t, t_ref(t), s, x, inverse), n,
            (struct t_tol){.atol = 3e-6, .rtol = s.type == RT_F32 ? 0.0 : 2.0 * t_eps(s.type)});
    t_reset(t);
}

// The oracle turns back what it turned, and turns (1, 0) at position p, j = 0 to (cos p, sin p),
// whose place is the other half's first, or the next.
static void oracle(struct t *t, bool pairs)
{
    const struct shape s = {5, 2, 8, 0, RT_F32, pairs};
    double x[80], back[80];
    const double *y, *z;

    for (uint32_t i = 0; i < 80; i++)
        x[i] = i % 8 == 0;
    y = t_read(t, run(t, t_ref(t), s, x, false), 80);
    for (uint32_t i = 0; i < 10; i++) {
        const double p = i / 2 * 31 % POSITIONS;
        assert_true(fabs(y[i * 8] - cos(p)) < 1e-7 &&
                    fabs(y[i * 8 + (pairs ? 1 : 4)] - sin(p)) < 1e-7); // tables are f32
    }
    memcpy(back, y, sizeof(back));
    z = t_read(t, run(t, t_ref(t), s, back, true), 80);
    for (uint32_t i = 0; i < 80; i++)
        assert_true(fabs(z[i] - x[i]) < 3e-7);
    t_reset(t);
}

static void errors(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, 64);
    const uint32_t pos[8] = {0};
    const struct op_rope_args good = {.x = x,
                                      .cos_table = x.buf,
                                      .sin_table = x.buf,
                                      .pos = t_buf_u32(t, t_dev(t), pos, 8),
                                      .y = x,
                                      .n_rows = 8,
                                      .n_heads = 2,
                                      .head_dim = 4,
                                      .n_pos = 2,
                                      .ldx = 8,
                                      .ldy = 8};
    struct op_rope_args a;
#define BAD(code, change) (a = good, change, T_ERR(code, op_rope(NULL, &a)))
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.n_heads = 0);
    BAD(RT_E_ARG, a.head_dim = 3);
    BAD(RT_E_ARG, a.rot_dim = 6);
    BAD(RT_E_ARG, a.rot_dim = 3);
    BAD(RT_E_ARG, a.n_pos = 0);
    BAD(RT_E_ARG, a.n_heads = 3);
    BAD(RT_E_ARG, a.ldy = 9);
    BAD(RT_E_SHAPE, a.x.buf = NULL);
    BAD(RT_E_SHAPE, a.y.first = 1);
    BAD(RT_E_SHAPE, a.n_pos = 1000);
    BAD(RT_E_SHAPE, a.pos = x.buf);
    BAD(RT_E_SHAPE, a.n_rows = 9);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_dev *small = t_small_range(t);
    struct shape s = {1000, 9, 64, 0, RT_F32, false}; // 1 MiB holds 448 rows of 584 floats

    errors(t);
    oracle(t, false);
    oracle(t, true);
    check(t, small, s);
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++)
        for (size_t k = 0; k < 6; k++) {
            s = SHAPES[i];
            s.type = FLOATS[k % 3];
            s.pairs = k >= 3;
            check(t, t_dev(t), s);
        }
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
