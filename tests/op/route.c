#include "src/op/route.h"

#include "tests/op/ops.h"

// Around a lane's block of slots, a group's lanes and a tile's rows; one expert, as many as are
// picked, and a router as large as those that there are.
static const struct shape {
    uint32_t tokens, experts, top_k;
} SHAPES[] = {{1, 1, 1},   {1, 4, 2},   {7, 3, 3},     {63, 8, 2},   {64, 64, 1},
              {65, 65, 4}, {128, 2, 2}, {300, 130, 8}, {129, 60, 4}, {33, 1024, 6}};

static uint32_t rows_of(struct shape s)
{
    return s.tokens * s.top_k;
}

static uint32_t ld_of(struct shape s)
{
    return op_stride(s.experts) + 8;
}

// What a run computes.
struct results {
    struct rt_buf *index, *sums;
    struct op_vec route, dlogits;
};

struct inputs {
    struct shape s;
    const double *logits, *droute, *sums;
    const uint32_t *counts;
    bool norm;
    enum rt_type type;
    double factor;
};

static struct results run(struct t *t, struct rt_dev *dev, const struct inputs *in)
{
    const struct shape s = in->s;
    const uint64_t words = op_route_words(s.tokens, s.experts, s.top_k);
    const uint32_t ldd = op_stride(s.experts);
    uint32_t *fill = t_alloc(t, words * sizeof(*fill));
    struct rt_cmd *cmd;
    struct results r;

    for (uint64_t i = 0; i < words; i++)
        fill[i] = 12345;
    const double *padded = t_pad(t, in->logits, s.tokens, s.experts, ld_of(s), 777.0);
    r.index = t_buf_u32(t, dev, fill, words);
    r.sums = t_buf(t, dev, RT_F32, in->sums, 2 * (uint64_t) s.experts);
    r.route = t_vec(t, dev, RT_F32, NULL, op_route_floats(s.tokens, s.top_k));
    r.dlogits = t_vec(t, dev, in->type, NULL, (uint64_t) s.tokens * ldd);
    const struct rt_buf *counts = t_buf_u32(t, dev, in->counts, s.tokens);
    const struct op_route_args a = {
        .logits = t_vec(t, dev, RT_F32, padded, (uint64_t) s.tokens * ld_of(s)),
        .index = r.index,
        .route = r.route,
        .n_tokens = s.tokens,
        .n_experts = s.experts,
        .top_k = s.top_k,
        .ld = ld_of(s),
        .renormalise = in->norm};
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_route(cmd, &a));
    T_OK(op_route_balance(cmd, &a, counts, r.sums));
    T_OK(op_route_backward(cmd, &(struct op_route_backward_args){
                                    .of = a,
                                    .droute = t_vec(t, dev, RT_F32, in->droute, rows_of(s)),
                                    .dlogits = r.dlogits,
                                    .ldd = ldd,
                                    .counts = in->factor != 0.0 ? counts : NULL,
                                    .sums = in->factor != 0.0 ? r.sums : NULL,
                                    .factor = in->factor}));
    T_OK(rt_cmd_wait(&cmd));
    return r;
}

static const uint32_t *words_of(struct t *t, const struct rt_buf *b)
{
    const uint64_t n = rt_buf_count(b);
    uint32_t *x = t_alloc(t, n * sizeof(*x));
    T_OK(rt_buf_read(b, 0, n, RT_U32, x));
    return x;
}

static struct inputs inputs(struct t *t, struct shape s, bool norm, enum rt_type type)
{
    struct inputs in = {.s = s, .norm = norm, .type = type, .factor = norm ? 0.0 : 0.125};
    const uint64_t n = (uint64_t) s.tokens * s.experts;
    double *logits = t_normal(t, n, 3.0);
    uint32_t *counts = t_alloc(t, s.tokens * sizeof(*counts));

    for (uint64_t i = 0; i < n; i++) // ties, and far from zero, where exp alone overflows
        logits[i] = floor(logits[i] * 4.0) / 4.0 + (i / s.experts % 3 == 1 ? 200.0 : 0.0);
    for (uint32_t i = 0; i < s.tokens; i++)
        counts[i] = 1 + i % 2;
    in.logits = logits;
    in.counts = counts;
    in.droute = t_normal(t, rows_of(s), 1.0);
    in.sums = t_uniform(t, 2 * (uint64_t) s.experts, 0.0, 2.0);
    return in;
}

// The index is exact. exp: 3 + 2 |x| ULP of 2^-23 for x >= -87, of sums of at most 1024 such terms,
// so 2e-5 relative where a probability matters at all, and 1e-7 where it does not. The sums over T
// <= 300 tokens of numbers up to 2 add 300 * 2^-24 relative. A gradient is p times differences of
// numbers up to about 4 (factor * counts * sums <= 0.25 * 600), each right to 2e-5: 4e-3 * p at
// most for the largest shape; with one dlogits rounding.
static void check(struct t *t, struct rt_dev *dev, struct shape s, bool norm, enum rt_type type)
{
    const struct inputs in = inputs(t, s, norm, type);
    const struct results got = run(t, dev, &in), want = run(t, t_ref(t), &in);
    const uint32_t *x = words_of(t, got.index), *y = words_of(t, want.index);
    const double large = in.factor > 0.0 ? 1.0 + in.factor * 2.0 * s.tokens * s.top_k : 4.0;

    for (uint64_t i = 0; i < op_route_words(s.tokens, s.experts, s.top_k); i++)
        if (x[i] != y[i])
            fail_msg("%s: %u tokens, %u of %u experts: word %llu of the index: expected %u, found "
                     "%u",
                     t_name(t), s.tokens, s.top_k, s.experts, (unsigned long long) i, y[i], x[i]);
    t_close_vec(t, "route", got.route, want.route, op_route_floats(s.tokens, s.top_k),
                (struct t_tol){.atol = 1e-7, .rtol = 2e-5});
    t_close(t, "sums", got.sums, want.sums, 2 * (uint64_t) s.experts,
            (struct t_tol){.atol = 1e-5, .rtol = 4e-5});
    t_close_vec(t, "dlogits", got.dlogits, want.dlogits, (uint64_t) s.tokens * op_stride(s.experts),
                (struct t_tol){.atol = (2e-5 + t_eps(type)) * large, .rtol = 2.0 * t_eps(type)});
    t_reset(t);
}

// What the index means, whoever made it: rows of ascending experts, within one of ascending slots;
// tiles that cover each expert's rows.
static void invariants(struct t *t)
{
    const struct shape s = {150, 9, 3};
    const struct inputs in = inputs(t, s, true, RT_F32);
    const struct results r = run(t, t_dev(t), &in);
    const uint32_t *x = words_of(t, r.index), m = rows_of(s), *tile = x + ROUTE_TILES(m, s.experts);
    const uint32_t *ids = x + ROUTE_IDS(m), *place = x + ROUTE_PLACE(m),
                   *starts = x + ROUTE_STARTS(m);
    uint32_t n = 0;

    for (uint32_t i = 0; i < m; i++) {
        assert_true(place[i] >= starts[ids[i]] && place[i] < starts[ids[i] + 1]);
        assert_int_equal(x[place[i]], i / s.top_k);
        for (uint32_t k = i + 1; k < m; k++)
            assert_true(place[k] != place[i] && (ids[k] != ids[i] || place[k] > place[i]));
        for (uint32_t k = i / s.top_k * s.top_k; k < i; k++) { // larger first, then lower experts
            const double *l = in.logits + (size_t) (i / s.top_k) * s.experts;
            assert_true(l[ids[k]] > l[ids[i]] || (!(l[ids[k]] < l[ids[i]]) && ids[k] < ids[i]));
        }
    }
    for (uint32_t e = 0; e < s.experts; e++)
        for (uint32_t at = starts[e]; at < starts[e + 1]; at += ROUTE_TILE, n++)
            assert_true(tile[2 * n] == e && tile[2 * n + 1] == at);
    assert_int_equal(n, x[ROUTE_N_TILES(m, s.experts)]);
    assert_true(n <= op_route_tiles(s.tokens, s.experts, s.top_k));
    t_reset(t);
}

// The picks are held: logits far enough apart.
struct fixed {
    struct inputs in;
    double counts[5];
};

static double loss(struct t *t, const double *x, void *ctx)
{
    struct fixed *f = ctx;
    struct inputs in = f->in;
    double sum = 0.0;

    in.logits = x;
    const struct results r = run(t, t_ref(t), &in);
    const double *w = t_read(t, r.route, op_route_floats(5, 2));
    const double *s = t_read(t, (struct op_vec){r.sums, 0}, 12), *s0 = in.sums;
    for (uint32_t i = 0; i < 10; i++)
        sum += w[i] * in.droute[i];
    for (uint32_t e = 0; e < 6; e++) // sums[e] as op_route_balance leaves it, held
        sum += in.factor * s[e] * (s[6 + e] - (double) (float) s0[6 + e]);
    return sum;
}

static void differences(struct t *t, bool norm)
{
    const struct shape s = {5, 6, 2};
    struct fixed f = {.in = inputs(t, s, norm, RT_F32)};
    double *logits = t_alloc(t, 30 * sizeof(*logits)), grad[30];

    f.in.factor = 0.03125;
    t_grid((double *) (uintptr_t) f.in.droute, 10);
    t_grid((double *) (uintptr_t) f.in.sums, 12);
    for (uint32_t i = 0; i < 30; i++)
        logits[i] = 0.375 * ((i * 7) % 6) - 0.25 * (i / 6) - 0.125 * (i % 5);
    f.in.logits = logits;
    const struct results r = run(t, t_ref(t), &f.in);
    const double *d = t_read(t, r.dlogits, 40);
    for (uint32_t i = 0; i < 30; i++)
        grad[i] = d[i / 6 * 8 + i % 6];
    t_differences(t, norm ? "route, renormalised" : "route", loss, &f, logits, 30, grad, 1e-5);
    t_reset(t);
}

// A token's results do not depend on those beside it.
static void alone(struct t *t)
{
    const struct shape many = {70, 12, 3}, one = {1, 12, 3};
    struct inputs in = inputs(t, many, true, RT_F32);
    const struct results all = run(t, t_dev(t), &in);
    const uint32_t *place = words_of(t, all.index) + ROUTE_PLACE(210);
    const double *w = t_read(t, all.route, op_route_floats(70, 3));

    in.s = one;
    in.logits += 41 * 12;
    const struct results single = run(t, t_dev(t), &in);
    const uint32_t *at = words_of(t, single.index) + ROUTE_PLACE(3);
    const double *v = t_read(t, single.route, op_route_floats(1, 3));
    for (uint32_t i = 0; i < 3; i++)
        assert_true(v[at[i]] == w[place[41 * 3 + i]]);
    t_reset(t);
}

static void errors(struct t *t)
{
    struct rt_dev *dev = t_dev(t);
    const struct op_vec x = t_vec(t, dev, RT_F32, NULL, 64);
    struct rt_buf *index = t_zeros(t, dev, RT_U32, 128);
    const struct op_route_args good = {x, index, x, 4, 8, 2, 8, false};
    const struct op_route_backward_args back = {good, x, x, 8, NULL, NULL, 0.0};
    struct op_route_args a;
    struct op_route_backward_args b;
#define BAD(code, change) (a = good, change, T_ERR(code, op_route(NULL, &a)))
    BAD(RT_E_ARG, a.n_tokens = 0);
    BAD(RT_E_ARG, a.top_k = 0);
    BAD(RT_E_ARG, a.top_k = 9);
    BAD(RT_E_ARG, a.n_experts = 1025);
    BAD(RT_E_ARG, a.ld = 12);
    BAD(RT_E_SHAPE, a.n_tokens = 17);
    BAD(RT_E_SHAPE, a.route.buf = NULL);
    BAD(RT_E_SHAPE, a.index = t_zeros(t, dev, RT_U32, 10));
#undef BAD
    T_ERR(RT_E_SHAPE, op_route_balance(NULL, &good, NULL, index));
    T_ERR(RT_E_SHAPE, op_route_balance(NULL, &good, index, t_zeros(t, dev, RT_F32, 15)));
#define BAD(code, change) (b = back, change, T_ERR(code, op_route_backward(NULL, &b)))
    BAD(RT_E_ARG, b.factor = (double) NAN);
    BAD(RT_E_ARG, b.ldd = 4);
    BAD(RT_E_SHAPE, b.factor = 1.0);
    BAD(RT_E_SHAPE, b.droute.buf = index);
    BAD(RT_E_SHAPE, b.dlogits.buf = NULL);
#undef BAD
    t_reset(t);
}

static void body(struct t *t)
{
    errors(t);
    invariants(t);
    alone(t);
    differences(t, false);
    differences(t, true);
    for (size_t i = 0; i < COUNT_OF(SHAPES); i++)
        for (size_t k = 0; k < 2; k++)
            check(t, t_dev(t), SHAPES[i], k == 1, FLOATS[(i + k) % COUNT_OF(FLOATS)]);
}

int main(void)
{
    return t_each_device(body);
}
