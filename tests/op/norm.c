#include "src/op/norm.h"

#include "tests/op/ops.h"

static const uint32_t COLS[] = {2,   14,  28,  56,  252,
                                254, 256, 258, 576, 2050}; // around a pass of the group
static const uint32_t ROWS[] = {1, 63, 64, 65, 131};       // around a block of dw

struct shape {
    uint32_t rows, cols;
    enum rt_type type; // of w, y, dy
    float w_offset;
    enum op_norm_kind kind;
    bool bias; // with b
    bool post; // a norm behind a sublayer: x and dx are stored, the result is added to a stream
};

struct inputs {
    const double *x, *w, *b, *dy, *y0, *dx0, *dw0, *db0; // dense
};

struct results {
    struct op_vec y, stats, dx, dw, db;
};

static struct inputs make(struct t *t, struct shape s)
{
    const uint64_t n = (uint64_t) s.rows * s.cols;
    double *x = t_normal(t, n, 3.0);
    for (uint32_t c = 0; c < s.cols; c++) { // a row of zeros: eps alone; and one of large numbers
        x[c] = 0.0;
        x[n - 1 - c] *= s.rows > 1 ? 1e4 : 1.0;
    }
    if (s.post) // what is stored in halves
        for (uint64_t i = 0; i < n; i++)
            x[i] = fmax(-6e4, fmin(6e4, x[i]));
    return (struct inputs){x,
                           t_uniform(t, s.cols, -1.5, 1.5),
                           t_uniform(t, s.cols, -1.5, 1.5),
                           t_normal(t, n, 1.0),
                           t_normal(t, n, 1.0),
                           t_normal(t, n, 1.0),
                           t_normal(t, s.cols, 1.0),
                           t_normal(t, s.cols, 1.0)};
}

static struct op_vec rows_of(struct t *t, struct rt_dev *dev, struct shape s, enum rt_type type,
                             const double *x, uint32_t ld, double pad)
{
    return t_vec(t, dev, type, x ? t_pad(t, x, s.rows, s.cols, ld, pad) : NULL,
                 (uint64_t) s.rows * ld);
}

static struct results run(struct t *t, struct rt_dev *dev, struct shape s, struct inputs in)
{
    const uint32_t ldx = op_stride(s.cols) + 8, ldy = op_stride(s.cols),
                   lddx = op_stride(s.cols) + 16;
    const struct op_vec x = rows_of(t, dev, s, s.post ? s.type : RT_F32, in.x, ldx, 777.0);
    const struct op_vec w = t_vec(t, dev, s.type, in.w, s.cols), none = {0};
    const struct results r = {
        rows_of(t, dev, s, s.post ? RT_F32 : s.type, s.post ? in.y0 : NULL, ldy, 3.0),
        t_vec(t, dev, RT_F32, NULL, (uint64_t) s.rows * op_norm_stats(s.kind)),
        rows_of(t, dev, s, s.post ? s.type : RT_F32, s.post ? NULL : in.dx0, lddx, 3.0),
        t_vec(t, dev, RT_F32, in.dw0, s.cols), t_vec(t, dev, RT_F32, in.db0, s.cols)};
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_norm(cmd,
                 &(struct op_norm_args){.kind = s.kind,
                                        .x = x,
                                        .w = w,
                                        .b = s.bias ? t_vec(t, dev, s.type, in.b, s.cols) : none,
                                        .y = r.y,
                                        .stats = r.stats,
                                        .n_rows = s.rows,
                                        .cols = s.cols,
                                        .ldx = ldx,
                                        .ldy = ldy,
                                        .eps = 1e-5f,
                                        .w_offset = s.w_offset,
                                        .add = s.post}));
    T_OK(op_norm_backward(cmd,
                          &(struct op_norm_backward_args){
                              .kind = s.kind,
                              .dy = rows_of(t, dev, s, s.post ? RT_F32 : s.type, in.dy, ldy, 777.0),
                              .x = x,
                              .w = w,
                              .stats = r.stats,
                              .dx = r.dx,
                              .dw = r.dw,
                              .db = s.bias ? r.db : none,
                              .scratch = t_output(t, dev, RT_F32, op_norm_scratch(s.rows, s.cols)),
                              .n_rows = s.rows,
                              .cols = s.cols,
                              .ldx = ldx,
                              .ldy = ldy,
                              .lddx = lddx,
                              .w_offset = s.w_offset,
                              .add = !s.post}));
    T_OK(rt_cmd_wait(&cmd));
    return r;
}

// rstd: a sum of C squares in f32 (each lane adds C / 256 fours, then a tree of 7: (C / 256 + 10) *
// 2^-24, halved by the root), inversesqrt 2 ULP. y: two more products and one rounding to S. dx:
// |g| up to 12 and |xhat| up to 5 beside rstd up to 316 (the row of zeros): relative to rstd * |g|
// a few f32 roundings and the sum over C of terms below 20 divided by C. dw: the sum of up to 131 +
// blocks terms below 20, each addition rounded by 2^-24 of a running sum below 200. LayerNorm: a
// mean is off by a few 2^-24 of the largest |x| (5e4 in the last row, 12 elsewhere), and so is x -
// mean: 1e-6 of the deviation, whose ratio to rstd^-1 is below 5. Two columns can lie close
// together, so that their difference loses more; `flat` says by how much.
static void check(struct t *t, struct rt_dev *dev, struct shape s)
{
    const struct inputs in = make(t, s);
    const struct results got = run(t, dev, s, in), want = run(t, t_ref(t), s, in);
    const double flat = s.kind == OP_NORM_LAYER ? (s.cols < 14 ? 300.0 : 4.0) : 1.0;
    const double f32 = 0x1p-24 * (s.cols / 256.0 + 16.0) * flat,
                 ty = s.type == RT_F32 || s.post ? 0.0 : 2.0 * t_eps(s.type),
                 tx = s.type == RT_F32 || !s.post ? 0.0 : 2.0 * t_eps(s.type);
    const double cancels = (s.kind == OP_NORM_LAYER || s.post ? 1e-5 : 1e-12) * flat;
    t_close_vec(t, "stats", got.stats, want.stats, (uint64_t) s.rows * op_norm_stats(s.kind),
                (struct t_tol){.atol = s.kind == OP_NORM_LAYER ? 2e-3 : 0.0, .rtol = f32});
    t_close_vec(t, "y", got.y, want.y, (uint64_t) s.rows * op_stride(s.cols),
                (struct t_tol){.atol = s.type == RT_F16 && !s.post ? 0x1p-24 + cancels : cancels,
                               .rtol = f32 + ty});
    t_close_vec(t, "dx", got.dx, want.dx, (uint64_t) s.rows * (op_stride(s.cols) + 16),
                (struct t_tol){.atol = 2e-5 * flat, .rtol = 2e-6 * flat + tx});
    t_close_vec(t, "dw", got.dw, want.dw, s.cols,
                (struct t_tol){.atol = (2e-5 + 1e-7 * s.rows) * flat, .rtol = 2e-6});
    if (s.bias)
        t_close_vec(t, "db", got.db, want.db, s.cols,
                    (struct t_tol){.atol = 2e-5 + 1e-7 * s.rows, .rtol = 2e-6});
    t_reset(t);
}

// The oracle's gradients against differences of sum(y * dy) in x and in w.
struct fixed {
    struct shape s;
    struct inputs in;
};

static double loss(struct t *t, const double *x, void *ctx)
{
    const struct fixed *f = ctx;
    struct inputs in = f->in;
    double sum = 0.0;
    in.x = x;
    in.w = x + 30;
    in.b = x + 40;
    const double *y = t_read(t, run(t, t_ref(t), f->s, in).y, 3 * 16);
    for (uint32_t i = 0; i < 30; i++)
        sum += y[i / 10 * 16 + i % 10] * (double) (float) in.dy[i];
    return sum;
}

static void differences(struct t *t, struct shape s)
{
    double *x = t_uniform(t, 50, -2.0, 2.0), grad[50], zero[30] = {0};
    struct fixed f = {s, {x, x + 30, x + 40, t_normal(t, 30, 1.0), zero, zero, zero, zero}};
    struct results r;

    t_grid(x, 50);
    r = run(t, t_ref(t), s, f.in);
    const double *dx = t_read(t, r.dx, 3 * 32), *dw = t_read(t, r.dw, 10),
                 *db = t_read(t, r.db, 10);
    for (uint32_t i = 0; i < 50; i++)
        grad[i] = i < 30 ? dx[i / 10 * 32 + i % 10] : i < 40 ? dw[i - 30] : db[i - 40];
    t_differences(t, "norm", loss, &f, x, s.bias ? 50 : 40, grad, 1e-5);
    t_reset(t);
}

// A row alone has the bits that it has among others.
static void independent(struct t *t)
{
    const struct shape all = {.rows = 65, .cols = 576, .type = RT_BF16},
                       one = {.rows = 1, .cols = 576, .type = RT_BF16};
    struct inputs in = make(t, all);
    const double *y = t_read(t, run(t, t_dev(t), all, in).y, 65 * 576);
    in.x += 17 * 576;
    const double *y1 = t_read(t, run(t, t_dev(t), one, in).y, 576);
    assert_memory_equal(y + 17 * 576, y1, 576 * sizeof(*y));
    t_reset(t);
}

static void errors(struct t *t)
{
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, 64),
                        half = t_vec(t, t_dev(t), RT_F16, NULL, 64);
    const struct op_norm_args good = {.x = x,
                                      .w = x,
                                      .y = x,
                                      .stats = x,
                                      .n_rows = 8,
                                      .cols = 8,
                                      .ldx = 8,
                                      .ldy = 8,
                                      .eps = 1e-5f};
    const struct op_norm_backward_args back = {.dy = x,
                                               .x = x,
                                               .w = x,
                                               .stats = x,
                                               .dx = x,
                                               .dw = x,
                                               .scratch = x.buf,
                                               .n_rows = 8,
                                               .cols = 8,
                                               .ldx = 8,
                                               .ldy = 8,
                                               .lddx = 8};
    struct op_norm_args a;
    struct op_norm_backward_args b;
#define BAD(code, change) (a = good, change, T_ERR(code, op_norm(NULL, &a)))
    BAD(RT_E_ARG, a.kind = (enum op_norm_kind) 2);
    BAD(RT_E_ARG, a.n_rows = 0);
    BAD(RT_E_ARG, a.cols = 9);
    BAD(RT_E_SHAPE, a.b = ((struct op_vec){x.buf, 512}));
    BAD(RT_E_SHAPE, (a.add = true, a.y = half));
    BAD(RT_E_ARG, a.ldx = 4);
    BAD(RT_E_ARG, a.ldy = 10);
    BAD(RT_E_ARG, a.eps = 0.0f);
    BAD(RT_E_ARG, a.w_offset = NAN);
    BAD(RT_E_SHAPE, a.n_rows = 17);
    BAD(RT_E_SHAPE, a.w.buf = NULL);
    BAD(RT_E_SHAPE, a.stats.first = 512);
    BAD(RT_E_SHAPE, a.y.first = 4);
#undef BAD
#define BAD(code, change) (b = back, change, T_ERR(code, op_norm_backward(NULL, &b)))
    BAD(RT_E_ARG, b.n_rows = 0);
    BAD(RT_E_ARG, b.lddx = 12);
    BAD(RT_E_SHAPE, (b.add = true, b.dx = half));
    BAD(RT_E_SHAPE, (b.dw.buf = NULL, b.db = x, b.scratch = NULL));
    BAD(RT_E_ARG, b.w_offset = INFINITY);
    BAD(RT_E_SHAPE, b.dx.buf = NULL);
    BAD(RT_E_SHAPE, b.dw.first = 100);
    BAD(RT_E_SHAPE, b.scratch = NULL);
    BAD(RT_E_SHAPE, b.n_rows = 17);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    // As a norm before a sublayer, behind one, and of the families: offset, layer, layer with bias.
    static const struct shape KINDS[] = {{.kind = OP_NORM_RMS},
                                         {.kind = OP_NORM_RMS, .w_offset = 1.0f},
                                         {.kind = OP_NORM_LAYER, .bias = true},
                                         {.kind = OP_NORM_RMS, .post = true, .w_offset = 1.0f},
                                         {.kind = OP_NORM_LAYER, .post = true}};
    struct rt_dev *small = t_small_range(t);

    errors(t);
    independent(t);
    for (size_t j = 0; j < COUNT_OF(KINDS); j++) {
        struct shape s = KINDS[j];
        s.rows = 3;
        s.cols = 10;
        differences(t, s);
        for (size_t i = j > 0; i<COUNT_OF(COLS); i += j> 0 ? 2 : 1)
            for (size_t k = 0; k < 3; k++) {
                s.rows = ROWS[(i + k) % COUNT_OF(ROWS)];
                s.cols = COLS[i];
                s.type = FLOATS[k];
                check(t, t_dev(t), s);
            }
    }
    check(t, small,
          (struct shape){.rows = 1000, .cols = 576, .type = RT_F16}); // 1 MiB holds 384 rows
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
