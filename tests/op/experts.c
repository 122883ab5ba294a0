#include "src/op/experts.h"

#include "src/op/rows.h"
#include "tests/op/ops.h"

// Experts without rows, with less than a tile and with several; sizes around a tile's columns and
// the block of the sum.
static const struct shape {
    uint32_t tokens, experts, top_k, rows, cols; // rows, cols: of a weight
} SHAPES[] = {{1, 1, 1, 2, 2},     {1, 8, 2, 14, 6},    {5, 4, 4, 64, 16},   {40, 3, 2, 66, 18},
              {200, 4, 2, 24, 32}, {150, 9, 3, 62, 70}, {70, 130, 8, 8, 16}, {300, 2, 1, 130, 34}};

static uint32_t rows_of(struct shape s)
{
    return s.tokens * s.top_k;
}

static const uint32_t *picks(struct t *t, struct shape s)
{
    double *logits = t_normal(t, (uint64_t) s.tokens * s.experts, 1.0);
    const uint32_t ld = op_stride(s.experts);
    uint32_t *words = t_alloc(t, op_route_words(s.tokens, s.experts, s.top_k) * sizeof(*words));
    struct rt_dev *dev = t_ref(t);
    struct rt_buf *index = t_zeros(t, dev, RT_U32, op_route_words(s.tokens, s.experts, s.top_k));
    struct rt_cmd *cmd;

    for (uint32_t i = 0; i < s.tokens; i++) // an expert that few go to, one that many do
        for (uint32_t e = 0; e < s.experts; e++)
            logits[(size_t) i * s.experts + e] += e == 1 ? -2.0 : e == 0 ? 1.0 : 0.0;
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_route(
        cmd, &(struct op_route_args){
                 .logits = t_vec(t, dev, RT_F32, t_pad(t, logits, s.tokens, s.experts, ld, 0.0),
                                 (uint64_t) s.tokens * ld),
                 .index = index,
                 .route = t_vec(t, dev, RT_F32, NULL, op_route_floats(s.tokens, s.top_k)),
                 .n_tokens = s.tokens,
                 .n_experts = s.experts,
                 .top_k = s.top_k,
                 .ld = ld}));
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(index, 0, op_route_words(s.tokens, s.experts, s.top_k), RT_U32, words));
    return words;
}

struct problem {
    struct shape s;
    enum op_matmul_form form;
    enum rt_type type, c_type;
    const uint32_t *index;
    const double *a, *b, *w;
    bool apart; // weights in two buffers, not equally far apart
    enum op_matmul_variant variant;
};

static uint32_t a_cols(const struct problem *p)
{
    return p->form == OP_NT ? p->s.cols : p->s.rows;
}

static uint32_t c_cols(const struct problem *p)
{
    return p->form == OP_NT ? p->s.rows : p->s.cols;
}

static struct op_experts experts_on(struct t *t, struct rt_dev *dev, struct shape s,
                                    const uint32_t *index)
{
    return (struct op_experts){
        t_buf_u32(t, dev, index, op_route_words(s.tokens, s.experts, s.top_k)), s.tokens, s.experts,
        s.top_k};
}

// Rows (M, cols) at 0 of a buffer, 777 in the padding.
static struct op_mat mat(struct t *t, struct rt_dev *dev, enum rt_type type, const double *x,
                         uint32_t rows, uint32_t cols)
{
    const uint32_t ld = op_stride(cols) + 8;
    return (struct op_mat){
        t_buf(t, dev, type, t_pad(t, x, rows, cols, ld, 777.0), (uint64_t) rows * ld), 0, ld};
}

// Where weight e lies: E weights, 128 elements' multiples apart.
static uint64_t place_of(const struct problem *p, uint32_t e, uint32_t ld, bool *second)
{
    const uint64_t size = round_up((uint64_t) p->s.rows * ld, 128);
    *second = p->apart && e % 3 == 2;
    return 128 + e * size + (p->apart && e > 3 ? 256 : 0);
}

struct result {
    struct rt_buf *c[2]; // rows, or the weights' gradients
    uint64_t n;
};

static struct result run(struct t *t, struct rt_dev *dev, const struct problem *p)
{
    const struct shape s = p->s;
    const bool tn = p->form == OP_TN;
    const uint32_t m = rows_of(s), ldw = op_stride(s.cols), ldc = op_stride(c_cols(p));
    const uint64_t all = 128 + s.experts * round_up((uint64_t) s.rows * ldw, 128) + 256;
    const enum rt_type w_type = tn ? RT_F32 : p->type;
    double *x[2] = {t_alloc(t, all * sizeof(double)), t_alloc(t, all * sizeof(double))};
    struct op_mat *w = t_alloc(t, s.experts * sizeof(*w));
    struct op_mat_out *dw = t_alloc(t, s.experts * sizeof(*dw));
    struct rt_cmd *cmd;
    bool second;

    for (uint32_t e = 0; e < s.experts; e++)
        for (uint32_t i = 0; i < s.rows; i++)
            for (uint32_t j = 0; j < s.cols; j++) {
                const uint64_t at = place_of(p, e, ldw, &second) + (uint64_t) i * ldw + j;
                x[second][at] = p->w[((size_t) e * s.rows + i) * s.cols + j];
            }
    struct rt_buf *buf[2] = {t_buf(t, dev, w_type, x[0], all), t_buf(t, dev, w_type, x[1], all)};
    for (uint32_t e = 0; e < s.experts; e++) {
        const uint64_t at = place_of(p, e, ldw, &second);
        w[e] = (struct op_mat){buf[second], at, ldw};
        dw[e] = (struct op_mat_out){buf[second], at, ldw};
    }
    struct rt_buf *c = t_output(t, dev, p->c_type, (uint64_t) m * ldc);
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_experts_matmul(cmd,
                           &(struct op_experts_matmul_args){
                               .form = p->form,
                               .of = experts_on(t, dev, s, p->index),
                               .w_rows = s.rows,
                               .w_cols = s.cols,
                               .a = mat(t, dev, p->type, p->a, m, a_cols(p)),
                               .b = tn ? mat(t, dev, p->type, p->b, m, s.cols) : (struct op_mat){0},
                               .w = tn ? NULL : w,
                               .c = {tn ? NULL : c, 0, ldc},
                               .dw = tn ? dw : NULL,
                               .variant = dev == t_ref(t) ? OP_MATMUL_AUTO : p->variant}));
    T_OK(rt_cmd_wait(&cmd));
    if (tn)
        return (struct result){{buf[0], buf[1]}, all};
    return (struct result){{c, NULL}, (uint64_t) m * ldc};
}

static double *doubles(struct t *t, const struct rt_buf *b, uint64_t n)
{
    double *x = t_alloc(t, n * sizeof(*x));
    T_OK(rt_buf_read(b, 0, n, RT_F64, x));
    return x;
}

// As in the test of matmul: sums of k products of standard normal numbers, k <= 600: five sigma of
// k / sqrt(2) 2^-24 rms, and one rounding to the type of c. What is beside the columns stays NaN
// (or is zero in 16-bit rows), and what is beside the weights as it was.
static void check_one(struct t *t, struct rt_dev *dev, struct problem p)
{
    const struct shape s = p.s;
    const uint32_t m = rows_of(s), ldc = op_stride(c_cols(&p));
    const double k = p.form == OP_TN ? m : a_cols(&p), atol = 5.0 * (k + 4.0) * 0x1p-24;

    p.index = picks(t, s);
    p.a = t_normal(t, (uint64_t) m * a_cols(&p), 1.0);
    p.b = t_normal(t, (uint64_t) m * s.cols, 1.0);
    p.w = t_normal(t, (uint64_t) s.experts * s.rows * s.cols, 1.0);
    const struct result got = run(t, dev, &p), want = run(t, t_ref(t), &p);
    for (int i = 0; i < 2 && got.c[i]; i++) {
        const double *x = doubles(t, got.c[i], got.n), *y = doubles(t, want.c[i], want.n);
        for (uint64_t j = 0; j < got.n; j++) {
            const bool pad = p.form != OP_TN && j % ldc >= c_cols(&p);
            if (pad ? !isnan(x[j])
                    : !(fabs(x[j] - y[j]) <= atol + 2.0 * t_eps(p.c_type) * fabs(y[j])))
                fail_msg(
                    "%s, %s: form %d, %u tokens, %u of %u experts, weights (%u, %u): element %llu: "
                    "expected %.9g, found %.9g",
                    t_name(t), op_matmul_variant_name(p.variant), (int) p.form, s.tokens, s.top_k,
                    s.experts, s.rows, s.cols, (unsigned long long) j, y[j], x[j]);
        }
    }
    t_reset(t);
}

// In every variant that the device has.
static void check(struct t *t, struct rt_dev *dev, struct problem p)
{
    for (int v = OP_MATMUL_TILE; v < OP_MATMUL_VARIANTS; v++) {
        p.variant = (enum op_matmul_variant) v;
        if (op_experts_has(dev, p.variant, p.type))
            check_one(t, dev, p);
    }
}

static void products(struct t *t, struct rt_dev *dev)
{
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++)
        for (int form = OP_NT; form <= OP_TN; form++)
            for (size_t k = 0; k < (i == 3 ? 3 : 1); k++) {
                const enum rt_type type = FLOATS[(i + k) % 3];
                check(t, dev,
                      (struct problem){.s = SHAPES[i],
                                       .form = (enum op_matmul_form) form,
                                       .type = type,
                                       .c_type = form == OP_TN || i % 4 == 1 ? RT_F32 : type,
                                       .apart = i % 2 == 1});
            }
}

// The product is what a gather, one product for each row, says: against the definition, on the
// host, so that the oracle is not its own judge.
static void definition(struct t *t)
{
    struct problem p = {.s = {11, 3, 2, 4, 6}, .form = OP_NT, .type = RT_F32, .c_type = RT_F32};
    const uint32_t m = rows_of(p.s);

    p.index = picks(t, p.s);
    p.a = t_normal(t, (uint64_t) m * 6, 1.0);
    p.w = t_normal(t, 3 * 24, 1.0);
    const double *c = doubles(t, run(t, t_ref(t), &p).c[0], (uint64_t) m * 8);
    for (uint32_t slot = 0; slot < m; slot++) {
        const uint32_t r = p.index[ROUTE_PLACE(m) + slot], e = p.index[ROUTE_IDS(m) + slot];
        for (uint32_t i = 0; i < 4; i++) {
            double sum = 0.0;
            for (uint32_t j = 0; j < 6; j++)
                sum += (double) (float) p.a[r * 6 + j] * (double) (float) p.w[(e * 4 + i) * 6 + j];
            assert_true(fabs(c[r * 8 + i] - sum) < 1e-12);
        }
    }
    t_reset(t);
}

// ---- Sums ---------------------------------------------------------------------------------------

static struct op_vec sum(struct t *t, struct rt_dev *dev, struct shape s, enum rt_type type,
                         const uint32_t *index, const double *x, const double *y0)
{
    const uint32_t ldx = op_stride(s.cols) + 8, ldy = op_stride(s.cols), m = rows_of(s);
    const struct op_vec y =
        t_vec(t, dev, RT_F32, y0 ? t_pad(t, y0, s.tokens, s.cols, ldy, 3.0) : NULL,
              (uint64_t) s.tokens * ldy);
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_experts_sum(
        cmd, &(struct op_experts_sum_args){
                 .of = experts_on(t, dev, s, index),
                 .x = t_vec(t, dev, type, t_pad(t, x, m, s.cols, ldx, 777.0), (uint64_t) m * ldx),
                 .y = y,
                 .cols = s.cols,
                 .ldx = ldx,
                 .ldy = ldy,
                 .add = y0 != NULL}));
    T_OK(rt_cmd_wait(&cmd));
    return y;
}

// Up to nine numbers of some units: 9 * 16 * 2^-24.
static void check_sum(struct t *t, struct rt_dev *dev, struct shape s, enum rt_type type, bool add)
{
    const uint32_t *index = picks(t, s);
    const double *x = t_normal(t, (uint64_t) rows_of(s) * s.cols, 1.0),
                 *y0 = add ? t_normal(t, (uint64_t) s.tokens * s.cols, 2.0) : NULL;
    t_close_vec(t, "sum", sum(t, dev, s, type, index, x, y0),
                sum(t, t_ref(t), s, type, index, x, y0), (uint64_t) s.tokens * op_stride(s.cols),
                (struct t_tol){.atol = 1e-5, .rtol = 1e-6});
    t_reset(t);
}

// ---- Activations --------------------------------------------------------------------------------

struct acted {
    struct op_vec a, dg, du, dw;
};

// in: g, u, da (rows, cols) dense, then w (rows).
static struct acted act(struct t *t, struct rt_dev *dev, enum op_act kind, uint32_t rows,
                        uint32_t cols, enum rt_type type, const double *in)
{
    const uint32_t ld = op_stride(cols) + 8;
    const uint64_t n = (uint64_t) rows * ld, dense = (uint64_t) rows * cols;
    struct op_vec x[3];
    struct rt_cmd *cmd;

    for (int i = 0; i < 3; i++)
        x[i] = t_vec(t, dev, type, t_pad(t, in + (uint64_t) i * dense, rows, cols, ld, 777.0), n);
    const struct op_vec w = t_vec(t, dev, RT_F32, in + 3 * dense, rows);
    const struct acted r = {t_vec(t, dev, type, NULL, n), t_vec(t, dev, type, NULL, n),
                            t_vec(t, dev, type, NULL, n), t_vec(t, dev, RT_F32, NULL, rows)};
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_experts_act(cmd,
                        &(struct op_experts_act_args){x[0], x[1], w, r.a, rows, cols, ld, kind}));
    T_OK(op_experts_act_backward(cmd, &(struct op_experts_act_backward_args){x[0], x[1], w, x[2],
                                                                             r.dg, r.du, r.dw, rows,
                                                                             cols, ld, kind}));
    T_OK(rt_cmd_wait(&cmd));
    return r;
}

// The bounds of act's test, w <= 1; dw sums up to 1536 such terms of some tens.
static void check_act(struct t *t, struct rt_dev *dev, enum op_act kind, uint32_t rows,
                      uint32_t cols, enum rt_type type)
{
    const uint32_t dense = rows * cols;
    const uint64_t n = (uint64_t) rows * (op_stride(cols) + 8);
    double *in = t_uniform(t, 3 * (uint64_t) dense + rows, -4.0, 4.0);
    const struct t_tol tol = {.atol = type == RT_F16 ? 1e-4 : 5e-5,
                              .rtol = 1e-5 + 2.0 * t_eps(type)};

    for (uint32_t m = 0; m < rows; m++)
        in[3 * (uint64_t) dense + m] = (m % 7) / 7.0; // 0 among them
    const struct acted got = act(t, dev, kind, rows, cols, type, in),
                       want = act(t, t_ref(t), kind, rows, cols, type, in);
    t_close_vec(t, "a", got.a, want.a, n, tol);
    t_close_vec(t, "dg", got.dg, want.dg, n, tol);
    t_close_vec(t, "du", got.du, want.du, n, tol);
    t_close_vec(t, "dw", got.dw, want.dw, rows,
                (struct t_tol){.atol = 1e-5 * (cols + 10.0), .rtol = 1e-5});
    t_reset(t);
}

static double loss(struct t *t, const double *x, void *ctx)
{
    const double *da = ctx;
    double in[3 * 30 + 3], total = 0.0;
    memcpy(in, x, 60 * sizeof(*in));
    memcpy(in + 60, da, 30 * sizeof(*in));
    memcpy(in + 90, x + 60, 3 * sizeof(*in));
    const double *a = t_read(t, act(t, t_ref(t), OP_ACT_SILU, 3, 10, RT_F32, in).a, 72);
    for (uint32_t i = 0; i < 30; i++)
        total += a[i / 10 * 24 + i % 10] * (double) (float) da[i];
    return total;
}

static void differences(struct t *t)
{
    double *x = t_uniform(t, 63, -4.0, 4.0), *da = t_normal(t, 30, 1.0), in[93], grad[63];

    t_grid(x, 63);
    memcpy(in, x, 60 * sizeof(*in));
    memcpy(in + 60, da, 30 * sizeof(*in));
    memcpy(in + 90, x + 60, 3 * sizeof(*in));
    const struct acted r = act(t, t_ref(t), OP_ACT_SILU, 3, 10, RT_F32, in);
    const double *dg = t_read(t, r.dg, 72), *du = t_read(t, r.du, 72), *dw = t_read(t, r.dw, 3);
    for (uint32_t i = 0; i < 60; i++)
        grad[i] = (i < 30 ? dg : du)[i % 30 / 10 * 24 + i % 10];
    memcpy(grad + 60, dw, 3 * sizeof(*grad));
    t_differences(t, "experts_act", loss, da, x, 63, grad, 1e-5);
    t_reset(t);
}

static void errors(struct t *t)
{
    struct rt_dev *dev = t_dev(t);
    struct rt_buf *buf = t_zeros(t, dev, RT_F32, 512), *half = t_zeros(t, dev, RT_F16, 512),
                  *index = t_zeros(t, dev, RT_U32, 256);
    const struct op_mat w[2] = {{buf, 0, 8}, {buf, 128, 8}},
                        crooked[2] = {{buf, 0, 8}, {buf, 64, 8}};
    const struct op_mat_out dw[2] = {{buf, 0, 8}, {buf, 128, 8}};
    const struct op_experts_matmul_args good = {.form = OP_NT,
                                                .of = {index, 4, 2, 2},
                                                .w_rows = 8,
                                                .w_cols = 8,
                                                .a = {buf, 0, 8},
                                                .w = w,
                                                .c = {buf, 0, 8}};
    struct op_experts_matmul_args a;
#define BAD(code, change) (a = good, change, T_ERR(code, op_experts_matmul(NULL, &a)))
    BAD(RT_E_ARG, a.of.top_k = 3);
    BAD(RT_E_ARG, a.w_rows = 7);
    BAD(RT_E_ARG, a.w = NULL);
    BAD(RT_E_ARG, a.a.first = 8);
    BAD(RT_E_ARG, a.form = OP_TN);
    BAD(RT_E_UNSUPPORTED, a.variant = OP_MATMUL_REGISTER);
    BAD(RT_E_SHAPE, a.w = crooked);
    BAD(RT_E_SHAPE, a.a.buf = half);
    BAD(RT_E_SHAPE, a.of.n_tokens = 40);
    BAD(RT_E_SHAPE, (a.form = OP_TN, a.dw = dw, a.b = (struct op_mat){half, 0, 8}));
#undef BAD
    const struct op_vec x = {buf, 0};
    struct op_experts_sum_args s = {{index, 4, 2, 2}, x, x, 8, 8, 8, false};
    s.cols = 3;
    T_ERR(RT_E_ARG, op_experts_sum(NULL, &s));
    s.cols = 8;
    s.y.buf = half;
    T_ERR(RT_E_SHAPE, op_experts_sum(NULL, &s));
    struct op_experts_act_args c = {x, x, x, x, 8, 8, 8, OP_ACT_COUNT};
    T_ERR(RT_E_ARG, op_experts_act(NULL, &c));
    c.act = OP_ACT_SILU;
    c.w.buf = half;
    T_ERR(RT_E_SHAPE, op_experts_act(NULL, &c));
    t_reset(t);
}

static void body(struct t *t)
{
    static const struct shape MANY = {900, 5, 3, 288, 288};
    static const struct problem BLOCKS[] = {
        {.s = {300, 2, 2, 34, 802}, .form = OP_NT, .type = RT_F16, .c_type = RT_F16},
        {.s = {300, 2, 2, 802, 34}, .form = OP_NN, .type = RT_BF16, .c_type = RT_BF16},
        {.s = {300, 2, 2, 802, 34}, .form = OP_NN, .type = RT_F32, .c_type = RT_F32},
        {.s = {900, 2, 2, 18, 34}, .form = OP_TN, .type = RT_BF16, .c_type = RT_F32},
        {.s = {900, 2, 2, 18, 34}, .form = OP_TN, .type = RT_F32, .c_type = RT_F32}};
    struct rt_dev *small = t_small_range(t);

    errors(t);
    definition(t);
    differences(t);
    products(t, t_dev(t));
    // More columns, and more rows of an expert, than a block of the wide variants.
    for (size_t i = 0; i < COUNT_OF(BLOCKS); i++)
        if (op_experts_has(t_dev(t), OP_MATMUL_WIDE, BLOCKS[i].type))
            check(t, t_dev(t), BLOCKS[i]);
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++)
        check_sum(t, t_dev(t), SHAPES[i], FLOATS[i % 3], i % 2 == 0);
    check_act(t, t_dev(t), OP_ACT_SILU, 131, 56, RT_F32);
    check_act(t, t_dev(t), OP_ACT_SILU, 7, 258, RT_BF16);
    check_act(t, t_dev(t), OP_ACT_GELU, 64, 14, RT_F16);
    // 1 MiB holds 896 rows of 288 floats: rows in windows, three experts at once.
    for (int form = OP_NT; form <= OP_TN && !t_on_host(t); form++)
        check(t, small,
              (struct problem){
                  .s = MANY, .form = (enum op_matmul_form) form, .type = RT_F32, .c_type = RT_F32});
    check_sum(t, small, MANY, RT_F32, false);
    check_act(t, small, OP_ACT_SILU, 900, 288, RT_F32);
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
