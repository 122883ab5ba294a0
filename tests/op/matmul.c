#include "src/op/matmul.h"

#include <math.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/op/matmul_kernels.h"
#include "src/op/op.h"
#include "tests/t.h"

static const enum rt_type TYPES[] = {RT_F32, RT_F16, RT_BF16};
static const enum op_matmul_form FORMS[] = {OP_NT, OP_NN, OP_TN};
static const char *const FORM_NAME[] = {"NT", "NN", "TN"};

// Around the tiles of every variant (rows 1, 6, 8, 12, 16, 64, 128; columns 16, 32, 64; k 8, 16),
// one more and one less, primes, and the shapes of a small model.
static const struct size {
    uint32_t m, n, k;
} SIZES[] = {
    {1, 1, 1},     {1, 2, 3},      {2, 1, 8},       {3, 5, 7},      {5, 14, 28},     {6, 16, 15},
    {7, 17, 16},   {8, 31, 17},    {9, 32, 31},     {11, 33, 32},   {12, 63, 33},    {13, 64, 64},
    {1, 65, 129},  {15, 96, 56},   {16, 97, 65},    {17, 127, 10},  {25, 128, 40},   {64, 64, 64},
    {65, 130, 48}, {127, 29, 9},   {128, 128, 128}, {129, 66, 5},   {131, 137, 139}, {1, 576, 192},
    {2, 192, 576}, {70, 192, 576}, {40, 40, 2100},  {4, 600, 4200}, {131, 16, 1100}, {16, 130, 777},
};

// One product and how its parts lie: strides wider than the columns, tensors in the middle of
// buffers.
struct problem {
    struct size size;
    enum op_matmul_form form;
    enum rt_type type, c_type;
    enum op_matmul_variant variant;
    bool accumulate, bias, tight; // tight: strides op_stride(cols), else 8 more
    double *a, *b, *c, *bias_x;   // as stored: rows x ld; c is what C holds before
    uint32_t lda, ldb, ldc, rows_a, rows_b;
};

enum { A_FIRST = 136, B_FIRST = 8, C_FIRST = 72, BIAS_FIRST = 6 };

static double *padded(struct t *t, uint32_t rows, uint32_t cols, uint32_t ld, double sigma)
{
    double *x = t_normal(t, (uint64_t) rows * ld, sigma);
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = cols; j < ld; j++)
            x[(uint64_t) i * ld + j] = (double) NAN; // must not reach the result
    return x;
}

static struct problem problem(struct t *t, struct size s, enum op_matmul_form form,
                              enum rt_type type, enum rt_type c_type,
                              enum op_matmul_variant variant, uint32_t seed)
{
    struct problem p = {
        .size = s, .form = form, .type = type, .c_type = c_type, .variant = variant};
    const uint32_t cols_a = form == OP_TN ? s.m : s.k, cols_b = form == OP_NT ? s.k : s.n;
    const uint32_t wider = seed % 2 ? 8 : 0;

    p.rows_a = form == OP_TN ? s.k : s.m;
    p.rows_b = form == OP_NT ? s.n : s.k;
    p.lda = op_stride(cols_a) + wider;
    p.ldb = op_stride(cols_b) + wider;
    p.ldc = op_stride(s.n) + wider;
    p.accumulate = c_type == RT_F32 && seed % 3 == 1;
    p.bias = seed % 4 == 2 || seed % 4 == 1;
    p.a = padded(t, p.rows_a, cols_a, p.lda, 1.0);
    p.b = padded(t, p.rows_b, cols_b, p.ldb, 1.0);
    p.c = t_normal(t, (uint64_t) s.m * p.ldc, 3.0);
    p.bias_x = t_normal(t, s.n + BIAS_FIRST, 3.0);
    return p;
}

// A buffer that holds NaN, then x from element `first`.
static struct rt_buf *placed(struct t *t, struct rt_dev *dev, enum rt_type type, const double *x,
                             uint64_t n, uint64_t first)
{
    double *y = t_alloc(t, (n + first) * sizeof(*y));
    for (uint64_t i = 0; i < first; i++)
        y[i] = (double) NAN;
    memcpy(y + first, x, n * sizeof(*y));
    return t_buf(t, dev, type, y, n + first);
}

static struct op_matmul_args args_on(struct t *t, struct rt_dev *dev, const struct problem *p)
{
    const struct size s = p->size;
    const uint64_t nc = (uint64_t) s.m * p->ldc;
    const uint64_t scratch = op_matmul_scratch(dev, p->form, p->type, s.m, s.n, s.k);
    struct rt_buf *c = t_output(t, dev, p->c_type, C_FIRST + nc);

    if (p->accumulate) {
        double *y = t_alloc(t, nc * sizeof(*y));
        memcpy(y, p->c, nc * sizeof(*y));
        for (uint32_t i = 0; i < s.m; i++)
            for (uint32_t j = s.n; j < p->ldc; j++)
                y[(uint64_t) i * p->ldc + j] = (double) NAN;
        t_round(y, nc, RT_F32);
        T_OK(rt_buf_write(c, C_FIRST, nc, RT_F64, y));
    }
    return (struct op_matmul_args){
        .form = p->form,
        .m = s.m,
        .n = s.n,
        .k = s.k,
        .a = {placed(t, dev, p->type, p->a, (uint64_t) p->rows_a * p->lda, A_FIRST), A_FIRST,
              p->lda},
        .b = {placed(t, dev, p->type, p->b, (uint64_t) p->rows_b * p->ldb, B_FIRST), B_FIRST,
              p->ldb},
        .c = {c, C_FIRST, p->ldc},
        .bias = p->bias ? t_buf(t, dev, p->type, p->bias_x, s.n + BIAS_FIRST) : NULL,
        .bias_first = BIAS_FIRST,
        .accumulate = p->accumulate,
        .scratch = scratch ? t_zeros(t, dev, RT_F32, scratch) : NULL,
        .variant = rt_dev_plan(dev)->caps.api[0] == 'h' ? OP_MATMUL_TILE : p->variant};
}

static struct op_matmul_args run(struct t *t, struct rt_dev *dev, const struct problem *p)
{
    struct op_matmul_args a = args_on(t, dev, p);
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_matmul(cmd, &a));
    T_OK(rt_cmd_wait(&cmd));
    return a;
}

// The rows of C without their padding; the padding is checked: untouched (NaN) but for the zero
// beside an odd 16-bit row.
static double *result(struct t *t, const struct op_matmul_args *a, const char *what)
{
    const uint64_t all = rt_buf_count(a->c.buf);
    const bool halves = rt_buf_type(a->c.buf) != RT_F32;
    double *x = t_alloc(t, all * sizeof(*x)), *y = t_alloc(t, (uint64_t) a->m * a->n * sizeof(*y));

    T_OK(rt_buf_read(a->c.buf, 0, all, RT_F64, x));
    for (uint64_t i = 0; i < all; i++) {
        const uint64_t row = i < a->c.first ? a->m : (i - a->c.first) / a->c.ld;
        const uint64_t col = i < a->c.first ? 0 : (i - a->c.first) % a->c.ld;
        if (row < a->m && col < a->n)
            y[row * a->n + col] = x[i];
        else if (row < a->m && col == a->n && halves && a->n % 2)
            assert_true(x[i] == 0.0);
        else if (!isnan(x[i]))
            fail_msg("%s: element %llu outside of C was written: %g", what, (unsigned long long) i,
                     x[i]);
    }
    return y;
}

// Bounds. f32: sum of k products of standard normal numbers, each addition rounds the partial sum
// (about sqrt(l) after l terms) by 2^-24: sqrt(sum l) 2^-24 ~ k / sqrt(2) 2^-24 rms, five sigma and
// the longest walk: 6 k 2^-24, plus the last roundings of values of size sqrt(k) (bias and C: a few
// more). Inputs are rounded to the storage type before both sides see them, so storage adds one
// rounding of C on each side. bf16_dot adds pairs before rounding and flushes subnormals: no more
// than that.
static void compare(struct t *t, const struct problem *p, const double *got, const double *want)
{
    const double k = p->size.k, atol = 0x1p-24 * (6.0 * k + 4.0 * sqrt(k) + 40.0);
    const double rtol = p->c_type == RT_F32 ? 0.0 : 2.01 * t_eps(p->c_type);
    const double tiny = p->c_type == RT_F16 ? 0x1p-24 : 0.0;
    for (uint64_t i = 0; i < (uint64_t) p->size.m * p->size.n; i++)
        if (!(fabs(got[i] - want[i]) <= atol + tiny + rtol * fabs(want[i])))
            fail_msg(
                "%s %s %s->%s %s %u x %u x %u%s%s: element %llu: got %.9g, want %.9g, bound %.3g",
                t_name(t), op_matmul_variant_name(p->variant), rt_type_name(p->type),
                rt_type_name(p->c_type), FORM_NAME[p->form], p->size.m, p->size.n, p->size.k,
                p->accumulate ? " +=" : "", p->bias ? " bias" : "", (unsigned long long) i, got[i],
                want[i], atol + rtol * fabs(want[i]));
}

static void matches(struct t *t, const struct problem *p)
{
    const struct op_matmul_args got = run(t, t_dev(t), p), want = run(t, t_ref(t), p);
    compare(t, p, result(t, &got, "got"), result(t, &want, "want"));
    t_reset(t);
}

static void all_shapes(struct t *t, enum op_matmul_variant v, size_t type, size_t form)
{
    uint32_t seed = (uint32_t) ((type * COUNT_OF(FORMS) + form) * COUNT_OF(SIZES));
    for (size_t s = 0; s < COUNT_OF(SIZES); s++, seed++) {
        const enum rt_type c = seed % 5 < 2 ? RT_F32 : TYPES[type];
        const struct problem p = problem(t, SIZES[s], FORMS[form], TYPES[type], c, v, seed);
        matches(t, &p);
    }
}

// A row of C has the same bits alone, among few and among many, and a second run gives the same
// bits.
static void rows_stand_alone(struct t *t, enum op_matmul_variant v, enum rt_type type,
                             enum op_matmul_form form, struct size all)
{
    static const uint32_t M[] = {150, 150, 1, 5, 8, 13, 40, 65};
    struct problem p = problem(t, all, form, type, RT_F32, v, 0);
    struct op_matmul_args a = args_on(t, t_dev(t), &p);
    double *first = NULL;

    for (size_t i = 0; i < COUNT_OF(M); i++) {
        const uint32_t row = (150 - M[i]) / 8 * 8; // columns of A in TN: a multiple of 8
        struct op_matmul_args part = a;
        struct rt_cmd *cmd;
        double *y;
        part.m = M[i];
        part.a.first += form == OP_TN ? row : (uint64_t) row * p.lda;
        part.c.buf = t_output(t, t_dev(t), RT_F32, C_FIRST + (uint64_t) all.m * p.ldc);
        T_OK(rt_cmd_create(t_dev(t), &cmd));
        T_OK(op_matmul(cmd, &part));
        T_OK(rt_cmd_wait(&cmd));
        y = result(t, &part, "rows");
        first = first ? first : y;
        for (uint64_t j = 0; j < (uint64_t) M[i] * all.n; j++)
            if (memcmp(&y[j], &first[(uint64_t) row * all.n + j], sizeof(*y)) != 0)
                fail_msg("%s %s %s %s: row %u of %u differs from the same row of 150", t_name(t),
                         op_matmul_variant_name(v), FORM_NAME[form], rt_type_name(type),
                         (unsigned) (j / all.n), M[i]);
    }
    t_reset(t);
}

// Halves at the ends of their range, times one: subnormals, the largest, Inf, exactly.
static void halves_are_exact(struct t *t, enum op_matmul_variant v)
{
    static const double X[] = {0x1p-24,  -0x3p-24, 0x3ffp-24, 0x1p-14, 65504.0,
                               -65504.0, 1.0,      -0.5,      INFINITY};
    double a[9 * 8] = {0}, one[24], want[9 * 24];
    struct op_matmul_args p = {.form = OP_NN, .m = 9, .n = 24, .k = 1, .variant = v};
    struct rt_cmd *cmd;

    for (int i = 0; i < 9 * 24; i++)
        want[i] = X[i / 24];
    for (int i = 0; i < 24; i++)
        one[i] = 1.0;
    for (int i = 0; i < 9; i++)
        a[i * 8] = X[i];
    p.a = (struct op_mat){t_buf(t, t_dev(t), RT_F16, a, 72), 0, 8};
    p.b = (struct op_mat){t_buf(t, t_dev(t), RT_F16, one, 24), 0, 24};
    for (int type = RT_F32; type <= RT_F16; type++) {
        p.c = (struct op_mat_out){t_output(t, t_dev(t), (enum rt_type) type, 9 * 24), 0, 24};
        T_OK(rt_cmd_create(t_dev(t), &cmd));
        T_OK(op_matmul(cmd, &p));
        T_OK(rt_cmd_wait(&cmd));
        assert_memory_equal(result(t, &p, "halves"), want, sizeof(want));
    }
    t_reset(t);
}

// Central differences of L = sum C .* G on host:f64: dA is G B, dB is G^T A (in the forms that say
// so). The function is bilinear, so the differences are exact but for rounding: 1e-16 * |L| / h, h
// = 1e-3.
static void oracle_is_consistent(struct t *t)
{
    const struct size s = {5, 6, 7};
    const struct problem p = problem(t, s, OP_NT, RT_F32, RT_F32, OP_MATMUL_TILE, 0);
    double *g = t_normal(t, 5 * 8, 1.0), h = 1e-3;
    struct rt_buf *gb = t_buf(t, t_ref(t), RT_F32, g, 5 * 8);
    struct rt_cmd *cmd;
    struct op_matmul_args f = args_on(t, t_ref(t), &p);
    struct rt_buf *da = t_output(t, t_ref(t), RT_F32, 5 * 8),
                  *db = t_output(t, t_ref(t), RT_F32, 6 * 8);
    double got_a[40], got_b[48];

    T_OK(rt_cmd_create(t_ref(t), &cmd));
    T_OK(op_matmul(
        cmd,
        &(struct op_matmul_args){
            .form = OP_NN, .m = 5, .n = 7, .k = 6, .a = {gb, 0, 8}, .b = f.b, .c = {da, 0, 8}}));
    T_OK(op_matmul(
        cmd,
        &(struct op_matmul_args){
            .form = OP_TN, .m = 6, .n = 7, .k = 5, .a = {gb, 0, 8}, .b = f.a, .c = {db, 0, 8}}));
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(da, 0, 40, RT_F64, got_a));
    T_OK(rt_buf_read(db, 0, 48, RT_F64, got_b));
    t_round(g, 40, RT_F32);
    for (uint32_t at = 0; at < 5 * 7 + 6 * 7; at++) {
        const bool is_a = at < 35;
        const uint32_t i = is_a ? at / 7 : (at - 35) / 7, j = is_a ? at % 7 : (at - 35) % 7;
        const struct op_mat x = is_a ? f.a : f.b;
        const uint64_t where = x.first + (uint64_t) i * x.ld + j;
        double x0, lossy[2] = {0, 0}, y[30], *c;
        T_OK(rt_buf_read(x.buf, where, 1, RT_F64, &x0));
        for (int side = 0; side < 3; side++) { // the third puts it back
            const double xs = side == 0 ? x0 + h : side == 1 ? x0 - h : x0;
            T_OK(rt_buf_write((struct rt_buf *) (uintptr_t) x.buf, where, 1, RT_F64, &xs));
            T_OK(rt_cmd_create(t_ref(t), &cmd));
            T_OK(op_matmul(cmd, &f));
            T_OK(rt_cmd_wait(&cmd));
            c = result(t, &f, "oracle");
            memcpy(y, c, sizeof(y));
            for (int q = 0; side < 2 && q < 30; q++)
                lossy[side] += y[q] * g[q / 6 * 8 + q % 6];
        }
        const double want = (lossy[0] - lossy[1]) / (2 * h),
                     got = is_a ? got_a[i * 8 + j] : got_b[i * 8 + j];
        if (!(fabs(got - want) <= 1e-10))
            fail_msg("oracle: d%s[%u][%u]: got %.12g, differences give %.12g", is_a ? "A" : "B", i,
                     j, got, want);
    }
    t_reset(t);
}

// (1 2; 3 4) (5 6; 7 8) by hand.
static void oracle_by_hand(struct t *t)
{
    static const double A[16] = {1, 2, 0, 0, 0, 0, 0, 0, 3, 4},
                        B[16] = {5, 6, 0, 0, 0, 0, 0, 0, 7, 8};
    static const double WANT[3][4] = {{17, 23, 39, 53}, {19, 22, 43, 50}, {26, 30, 38, 44}};
    for (size_t f = 0; f < COUNT_OF(FORMS); f++) {
        struct op_matmul_args a = {.form = FORMS[f], .m = 2, .n = 2, .k = 2};
        struct rt_cmd *cmd;
        a.a = (struct op_mat){t_buf(t, t_ref(t), RT_F32, A, 16), 0, 8};
        a.b = (struct op_mat){t_buf(t, t_ref(t), RT_F32, B, 16), 0, 8};
        a.c = (struct op_mat_out){t_output(t, t_ref(t), RT_F32, 16), 0, 8};
        T_OK(rt_cmd_create(t_ref(t), &cmd));
        T_OK(op_matmul(cmd, &a));
        T_OK(rt_cmd_wait(&cmd));
        assert_memory_equal(result(t, &a, "hand"), WANT[f], sizeof(WANT[f]));
    }
    t_reset(t);
}

static void errors(struct t *t)
{
    struct rt_dev *dev = t_dev(t);
    const struct problem p =
        problem(t, (struct size){4, 6, 10}, OP_NT, RT_F16, RT_F16, OP_MATMUL_AUTO, 2);
    const struct op_matmul_args good = args_on(t, dev, &p);
    struct op_matmul_args a = good;
    a.m = 0;
    T_ERR(RT_E_ARG, op_matmul(NULL, &a));
    a = good;
    a.k = UINT32_MAX;
    T_ERR(RT_E_ARG, op_matmul(NULL, &a));
    a = good;
    a.a.first += 4;
    T_ERR(RT_E_ARG, op_matmul(NULL, &a));
    a = good;
    a.b.ld = 8;
    T_ERR(RT_E_ARG, op_matmul(NULL, &a));
    a = good;
    a.accumulate = true;
    T_ERR(RT_E_ARG, op_matmul(NULL, &a));
    a = good;
    a.bias_first = 1;
    T_ERR(RT_E_ARG, op_matmul(NULL, &a));
    a = good;
    a.variant = OP_MATMUL_VARIANTS;
    T_ERR(RT_E_ARG, op_matmul(NULL, &a));
    a = good;
    a.m = 400;
    T_ERR(RT_E_SHAPE, op_matmul(NULL, &a));
    a = good;
    a.bias_first = 8;
    T_ERR(RT_E_SHAPE, op_matmul(NULL, &a));
    a = good;
    a.b.buf = t_zeros(t, dev, RT_BF16, 1000);
    T_ERR(RT_E_SHAPE, op_matmul(NULL, &a));
    a = good;
    a.c.buf = t_zeros(t, dev, RT_BF16, 1000);
    T_ERR(RT_E_SHAPE, op_matmul(NULL, &a));
    for (int v = OP_MATMUL_TILE; v < OP_MATMUL_VARIANTS; v++)
        if (!op_matmul_has(dev, (enum op_matmul_variant) v, RT_F16)) {
            a = good;
            a.variant = (enum op_matmul_variant) v;
            T_ERR(RT_E_UNSUPPORTED, op_matmul(NULL, &a));
        }
    t_reset(t);
}

// Operands beyond the binding range, the smallest shared memory: the same results, from slices.
// With 16-bit C and k in slices the sum goes through scratch.
static void clamped(struct t *t, struct rt_dev *dev, enum op_matmul_variant v, size_t type,
                    size_t form)
{
    static const struct size BIG[] = {{20, 3000, 200}, {3000, 20, 200}, {1100, 500, 40},
                                      {24, 200, 3000}, {9, 520, 1111},  {300, 24, 3000}};
    uint32_t seed = (uint32_t) ((type * COUNT_OF(FORMS) + form) * COUNT_OF(BIG));
    for (size_t s = 0; s < COUNT_OF(BIG); s++, seed++) {
        const enum rt_type c = TYPES[type];
        const struct problem p = problem(t, BIG[s], FORMS[form], TYPES[type], c, v, seed);
        const struct op_matmul_args got = run(t, dev, &p), want = run(t, t_ref(t), &p);
        compare(t, &p, result(t, &got, "got"), result(t, &want, "want"));
        t_reset(t);
    }
}

// The kernels of a variant for one type and form.
static void check(struct t *t, struct rt_dev *small, enum op_matmul_variant v, size_t type,
                  size_t form)
{
    static const struct size ALONE[] = {{150, 70, 330}, {150, 24, 1100}};
    all_shapes(t, v, type, form);
    for (size_t s = 0; s < COUNT_OF(ALONE); s++)
        rows_stand_alone(t, v, TYPES[type], FORMS[form], ALONE[s]);
    if (TYPES[type] != RT_F16 && op_matmul_has(small, v, TYPES[type]))
        clamped(t, small, v, type, form);
    if (TYPES[type] == RT_F16 && FORMS[form] == OP_NN)
        halves_are_exact(t, v);
}

// Of each variant and type one form a day; where the wide variant runs, the tiles are there for
// devices of another kind: one type and form a day.
static bool is_due(struct t *t, size_t variant, size_t type, size_t form)
{
    const bool aside = variant == OP_MATMUL_TILE && op_matmul_has(t_dev(t), OP_MATMUL_WIDE, RT_F32);
    return aside ? t_due(t, 3 * type + form, 9) : t_due(t, variant + type + form, 3);
}

// Few columns and a long k: the tile variant makes two runs of it, parts and their sum; so does TN
// with few rows. Neither on the host.
static void skinny_is_split(struct t *t)
{
    static const struct {
        struct size size;
        enum op_matmul_form form;
        uint64_t runs;
    } ROWS[] = {{{70, 16, 1024}, OP_NT, 2}, {{70, 16, 511}, OP_NT, 1}, {{8, 65, 1024}, OP_NT, 1},
                {{70, 64, 1024}, OP_NN, 2}, {{8, 65, 1024}, OP_TN, 2}, {{65, 65, 1024}, OP_TN, 1}};
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const struct problem p =
            problem(t, ROWS[i].size, ROWS[i].form, RT_F16, RT_F32, OP_MATMUL_TILE, 0);
        const uint64_t before = rt_dev_stats(t_dev(t)).dispatches;
        (void) run(t, t_dev(t), &p);
        assert_int_equal(rt_dev_stats(t_dev(t)).dispatches - before,
                         t_on_host(t) ? 1 : ROWS[i].runs);
        t_reset(t);
    }
}

// A driver may give each core its groups beforehand, so the wide kernels' groups of rows are alike:
// the last has at most 8 rows fewer for each of them.
static void wide_groups_are_even(struct t *t)
{
    static const struct size ROWS[] = {{1536, 576, 340}, {340, 576, 1536},  {1030, 64, 64},
                                       {4096, 32, 900},  {257, 49152, 576}, {2049, 192, 2000}};
    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        for (int in_c = 0; in_c < 2; in_c++) {
            const struct size *s = &ROWS[i];
            const uint32_t chunk = matmul_wide_cut(t_dev(t), s->m, s->n, s->k, in_c).chunk;
            const uint32_t chunks = (uint32_t) div_up(s->m, chunk);
            assert_in_range(chunks * chunk - s->m, 0, 8 * chunks);
        }
}

static void body(struct t *t)
{
    struct rt_dev *small;

    wide_groups_are_even(t);
    skinny_is_split(t);
    oracle_by_hand(t);
    oracle_is_consistent(t);
    errors(t);
    T_OK(rt_dev_open(
        &(struct rt_dev_desc){.name = t_name(t),
                              .kernels = op_kernels(),
                              .clamp = {.range_bytes = 1u << 20, .shared_bytes = 16384}},
        &small));
    for (size_t v = OP_MATMUL_TILE; v < OP_MATMUL_VARIANTS; v++)
        for (size_t y = 0; y < COUNT_OF(TYPES); y++)
            for (size_t f = 0; f < COUNT_OF(FORMS); f++)
                if (op_matmul_has(t_dev(t), (enum op_matmul_variant) v, TYPES[y]) &&
                    is_due(t, v, y, f))
                    check(t, small, (enum op_matmul_variant) v, y, f);
    rt_dev_close(&small);
}

int main(void)
{
    return t_each_device(body);
}
