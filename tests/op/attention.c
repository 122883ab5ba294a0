#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/base/arith.h"
#include "tests/op/attention_run.h"

// Round the inputs to what the storage holds; add o and lse of the reference, rounded too: what
// both backwards start from.
static void add_forward(struct t *t, enum rt_type type, const struct shape *s, struct data *x)
{
    const uint64_t nq = (uint64_t) lay_out(s).tokens * op_stride(s->h * s->d);
    const uint64_t nk = (uint64_t) lay_out(s).tokens * op_stride(s->kv * s->d);
    struct result r;

    t_round(x->q, nq, type);
    t_round(x->k, nk, type);
    t_round(x->v, nk, type);
    t_round(x->d_o, nq, type);
    r = run(t, t_ref(t), RT_F32, s, x, NULL);
    x->o = read_all(t, r.o, rt_buf_count(r.o) - T_GUARD);
    x->lse = read_all(t, r.lse, rt_buf_count(r.lse) - T_GUARD);
    t_round(x->o, rt_buf_count(r.o) - T_GUARD, type);
    t_round(x->lse, rt_buf_count(r.lse) - T_GUARD, RT_F32);
}

// The largest |want|, for bounds that come from sums of terms of both signs.
static double most(struct t *t, struct rt_buf *b)
{
    const uint64_t n = rt_buf_count(b) - T_GUARD;
    const double *x = read_all(t, b, n);
    double m = 0.0;
    for (uint64_t i = 0; i < n; i++)
        m = fmax(m, fabs(x[i]));
    return m;
}

static void close_to(struct t *t, const char *what, struct rt_buf *got, struct rt_buf *want,
                     double share, double eps)
{
    t_close(t, what, got, want, rt_buf_count(want) - T_GUARD,
            (struct t_tol){.atol = 1e-6 + share * most(t, want), .rtol = eps});
}

// Bounds. Scores are sums of D products, |s| <= 6 here: f32 error about D/8 * 2^-24 * sum|qk| *
// scale < 2e-6. exp has 3 + 2|x| ULP on Vulkan, |x| <= 12: 27 * 2^-23 = 3.2e-6. So each weight is
// right to 5e-6 of itself, and an output, a sum of weights times values of both signs, to that
// share of the largest output or so; the backward multiplies two such errors' worth; where dp -
// delta cancels (one key: to 0), what is left of |dp| < 30 is 1e-6. The storage rounds once more,
// half an ULP. Subnormal halves: 2^-25 absolute, far below share * most.
static void matches_reference(struct t *t, enum rt_type type, const struct shape *s,
                              const char *variant)
{
    struct data x = random_data(t, s, lay_out(s).tokens, 1.0);
    const double eps = 1.01 * t_eps(type);
    struct result got, want;
    char what[64];

    add_forward(t, type, s, &x);
    want = run(t, t_ref(t), RT_F32, s, &x, NULL); // f64, of the same inputs
    got = run(t, t_dev(t), type, s, &x, variant);
    snprintf(what, sizeof(what), "%s h%u/%u d%u w%u c%g %s", rt_type_name(type), s->h, s->kv, s->d,
             s->window, (double) s->softcap, variant ? variant : "");
    close_to(t, what, got.o, want.o, 1e-5, eps);
    t_close(t, "lse", got.lse, want.lse, rt_buf_count(want.lse) - T_GUARD,
            (struct t_tol){5e-6, 1e-6});
    close_to(t, "dq", got.dq, want.dq, 2e-5, eps);
    close_to(t, "dk", got.dk, want.dk, 2e-5, eps);
    close_to(t, "dv", got.dv, want.dv, 2e-5, eps);
    t_reset(t);
}

static const struct shape SHAPES[] = {
    {{{1}}, 1, 1, 2, 0, 0},
    {{{5, 3, 4}}, 2, 1, 14, 0, 0},
    {{{3, 1, 2}, {7}, {1, 1, 1}}, 4, 4, 16, 0, 0},
    {{{33, 64, 65}, {31, 17, 2}}, 6, 2, 64, 0, 0},
    {{{63, 15, 16}, {16, 0, 33}}, 4, 1, 80, 0, 0},
    {{{20, 70, 9}}, 8, 1, 96, 0, 0},
    {{{47, 12, 33}}, 3, 3, 128, 0, 0},
    {{{19, 18, 40}}, 2, 1, 256, 0, 0},
    {{{130, 129, 131}, {200}}, 9, 3, 64, 0, 0},
    {{{10, 6, 9}}, 3, 1, 10, 0, 0},     // D = 2 modulo 4, padding columns
    {{{5, 3, 4}, {9}}, 2, 1, 14, 1, 0}, // a window of the own key alone
    {{{33, 64, 65}, {31, 17, 2}, {80}}, 6, 2, 64, 7, 0},
    {{{130, 129, 131}, {200}}, 9, 3, 64, 70, 0}, // reaches over tiles, and into the prompt
    {{{33, 64, 65}, {31, 17, 2}}, 6, 2, 64, 0, 2.0f},
    {{{63, 80, 16}, {16, 0, 33}}, 4, 1, 80, 64, 5.0f},
};

// ---- The oracle: central differences of the forward, and what sharing the prompt must not change
// ----

enum { FD_FLOATS = 4096 };

// Data that outlives t_reset.
static struct data fixed_data(struct t *t, const struct shape *s)
{
    static double mem[4][FD_FLOATS];
    const struct data x = random_data(t, s, lay_out(s).tokens, 1.0);
    const double *from[4] = {x.q, x.k, x.v, x.d_o};
    const uint64_t nq = (uint64_t) lay_out(s).tokens * op_stride(s->h * s->d);
    const uint64_t nk = (uint64_t) lay_out(s).tokens * op_stride(s->kv * s->d),
                   n[4] = {nq, nk, nk, nq};
    for (int i = 0; i < 4; i++) {
        assert_true(n[i] <= FD_FLOATS);
        memcpy(mem[i], from[i], n[i] * sizeof(double));
    }
    t_reset(t);
    return (struct data){mem[0], mem[1], mem[2], mem[3], NULL, NULL, false};
}

static double loss_at(struct t *t, const struct shape *s, const struct data *x)
{
    const struct result r = run(t, t_ref(t), RT_F32, s, x, NULL);
    const uint64_t n = rt_buf_count(r.o) - T_GUARD;
    const double *o = read_all(t, r.o, n);
    double sum = 0.0;
    for (uint64_t i = 0; i < n; i++)
        sum += o[i] * x->d_o[i]; // the padding of o is zero
    t_reset(t);
    return sum;
}

// (f(x + h) - f(x - h)) / 2h errs by h^2 / 6 times the third derivative, about 1e-10 with values of
// order 1, and by rounding, 1e-16 * |f| / h = 1e-10 at |f| ~ 10.
static void differences(struct t *t, const struct shape *s, const struct data *x, double *in,
                        const double *grad, uint64_t n, const char *what)
{
    const double h = 1e-5;
    for (uint64_t i = 0; i < n; i++) {
        const double keep = in[i];
        double want;
        in[i] = keep + h;
        want = loss_at(t, s, x);
        in[i] = keep - h;
        want = (want - loss_at(t, s, x)) / (2.0 * h);
        in[i] = keep;
        if (!(fabs(grad[i] - want) <= 2e-9 + 1e-8 * fabs(want)))
            fail_msg("%s[%u]: %.12g, by differences %.12g", what, (unsigned) i, grad[i], want);
    }
}

static void oracle_gradient(struct t *t, uint32_t window, float softcap)
{
    const struct shape s = {{{4, 3, 2}, {3}}, 4, 2, 6, window, softcap};
    static double grad[3][FD_FLOATS];
    const struct data x = fixed_data(t, &s);
    struct data forward = x;
    struct result r;
    uint64_t n[3];

    r = run(t, t_ref(t), RT_F32, &s, &x, NULL);
    forward.o = read_all(t, r.o, rt_buf_count(r.o) - T_GUARD);
    forward.lse = read_all(t, r.lse, rt_buf_count(r.lse) - T_GUARD);
    r = run(t, t_ref(t), RT_F32, &s, &forward, NULL);
    struct rt_buf *const out[3] = {r.dq, r.dk, r.dv};
    for (int i = 0; i < 3; i++) {
        n[i] = rt_buf_count(out[i]) - T_GUARD;
        T_OK(rt_buf_read(out[i], 0, n[i], RT_F64, grad[i]));
    }
    t_reset(t);
    differences(t, &s, &x, x.q, grad[0], n[0], "dq");
    differences(t, &s, &x, x.k, grad[1], n[1], "dk");
    differences(t, &s, &x, x.v, grad[2], n[2], "dv");
}

// A prompt that is shared gives what two whole sequences give: rows 0 and 1 of `whole`, each one
// segment, are prompt + chosen and prompt + rejected.
static void oracle_sharing(struct t *t, uint32_t window)
{
    const struct shape shared = {{{5, 4, 6}}, 2, 1, 8, window, 0},
                       whole = {{{9}, {11}}, 2, 1, 8, window, 0};
    static const uint32_t FROM[20] = {0, 1, 2, 3, 4, 5,  6,  7,  8,  0,
                                      1, 2, 3, 4, 9, 10, 11, 12, 13, 14};
    const struct data x = random_data(t, &shared, 15, 1.0);
    const struct data y = random_data(t, &whole, 20, 1.0);
    struct result a, b;

    for (int i = 0; i < 20; i++) {
        memcpy(y.q + i * 16, x.q + FROM[i] * 16, 16 * sizeof(double));
        memcpy(y.k + i * 8, x.k + FROM[i] * 8, 8 * sizeof(double));
        memcpy(y.v + i * 8, x.v + FROM[i] * 8, 8 * sizeof(double));
    }
    a = run(t, t_ref(t), RT_F32, &shared, &x, NULL);
    b = run(t, t_ref(t), RT_F32, &whole, &y, NULL);
    const double *o = read_all(t, a.o, 15 * 16), *p = read_all(t, b.o, 20 * 16);
    for (int i = 0; i < 20 * 16; i++)
        if (!(fabs(p[i] - o[FROM[i / 16] * 16 + (uint32_t) i % 16]) < 1e-13))
            fail_msg("token %d: %.17g alone, %.17g sharing", i / 16, p[i],
                     o[FROM[i / 16] * 16 + (uint32_t) i % 16]);
    t_reset(t);
}

// With a window of w a query sees itself and the w - 1 keys before it in its sequence: with equal
// keys o is the mean of their values.
static void oracle_window(struct t *t)
{
    const struct shape s = {{{3, 4, 5}}, 1, 1, 2, 3, 0};
    struct data x = random_data(t, &s, 12, 1.0);

    for (int i = 0; i < 12 * 8; i++) {
        x.k[i] = 1.0;
        x.v[i] = i / 8;
    }
    const double *o = read_all(t, run(t, t_ref(t), RT_F32, &s, &x, NULL).o, 12 * 8);
    static const double WANT[12] = {0, 0.5, 1, 2, 3, 4, 5, 10.0 / 3, 17.0 / 3, 8, 9, 10};
    for (int i = 0; i < 12; i++)
        if (!(fabs(o[i * 8] - WANT[i]) < 1e-12))
            fail_msg("token %d: %.9g, want %.9g", i, o[i * 8], WANT[i]);
    t_reset(t);
}

// ---- What breaks naive forms
// ---------------------------------------------------------------------

// Scores up to 1e4 of both signs: nothing overflows, outputs stay among the values; the first token
// of a row sees one key, so it gets that value's bits, and its own score as lse.
static void extreme(struct t *t, enum rt_type type, const char *variant)
{
    static const struct shape s = {{{40, 9, 30}}, 2, 2, 64, 0, 0};
    struct data x =
        random_data(t, &s, 79, 35.0); // s = 35^2 * N(0, 1): beyond 4000; the two below 1e4
    struct result r;

    for (int d = 0; d < 64; d++) {
        x.q[3 * 128 + d] = 35.0;
        x.k[2 * 128 + d] = 35.0;  // s = 9800
        x.k[1 * 128 + d] = -35.0; // s = -9800
    }
    add_forward(t, type, &s, &x);
    r = run(t, t_dev(t), type, &s, &x, variant);
    const double *o = read_all(t, r.o, 79 * 128);
    for (int i = 0; i < 128; i++)
        if (o[i] != x.v[i])
            fail_msg("one key: o %.9g, v %.9g", o[i], x.v[i]);
    t_close_to(t, "lse of one key", r.lse, x.lse, 1, (struct t_tol){.rtol = 1e-5});
    for (int i = 0; i < 79 * 128; i++)
        if (!(fabs(o[i]) <= 7.0))
            fail_msg("o[%d] = %.9g", i, o[i]);
    struct rt_buf *const out[] = {r.dq, r.dk, r.dv};
    for (size_t j = 0; j < COUNT_OF(out); j++) {
        const double *g = read_all(t, out[j], 79 * 128);
        for (int i = 0; i < 79 * 128; i++)
            if (!isfinite(g[i]))
                fail_msg("gradient %zu[%d] = %.9g", j, i, g[i]);
    }
    t_reset(t);
}

// ---- Errors
// --------------------------------------------------------------------------------------

static void index_errors(struct t *t)
{
    struct op_segment good[2] = {{0, 4, 0, 0, 0, 0}, {4, 6, 4, 0, 4, 4}}, s[2];
    struct op_attention_index info;
    uint32_t words[256];

    T_OK(op_attention_index(t_dev(t), good, 2, words, 256, &info));
    assert_true(info.backward && info.n_tokens == 6 && info.n_keys == 6 && info.n_q_blocks == 2);
    assert_int_equal((int) info.n_pairs, 10 + 2 * 4 + 3);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(words[info.positions + i], i);
    T_ERR(RT_E_ARG, op_attention_index(t_dev(t), good, 2, words, 31, &info));
    memcpy(s, good, sizeof(s));
    s[1].q_begin = 3;
    T_ERR(RT_E_ARG, op_attention_index(t_dev(t), s, 2, words, 256, &info));
    memcpy(s, good, sizeof(s));
    s[1].prompt_end = 5;
    T_ERR(RT_E_ARG, op_attention_index(t_dev(t), s, 2, words, 256, &info));
    memcpy(s, good, sizeof(s));
    s[1].k_begin = 3;
    T_ERR(RT_E_ARG, op_attention_index(t_dev(t), s, 2, words, 256, &info));
    memcpy(s, good, sizeof(s));
    s[1].k_begin = 9; // as with a cache: no backward
    T_OK(op_attention_index(t_dev(t), s, 2, words, 256, &info));
    assert_true(!info.backward && info.n_k_blocks == 0 && info.n_keys == 11);
    memcpy(s, good, sizeof(s));
    s[1].prompt_end = 3; // not all of the prompt
    T_OK(op_attention_index(t_dev(t), s, 2, words, 256, &info));
    assert_false(info.backward);
    s[0] = (struct op_segment){0, 0, 0, 0, 0, 0}; // an empty prompt
    s[1] = (struct op_segment){0, 6, 0, 0, 0, 0};
    T_OK(op_attention_index(t_dev(t), s, 2, words, 256, &info));
    assert_true(info.backward && info.n_q_blocks == 1 && info.n_k_blocks == 1);
}

#define BAD(code, change)                                                                          \
    a = good;                                                                                      \
    change;                                                                                        \
    T_ERR(code, op_attention(NULL, &a));                                                           \
    T_ERR(code, op_attention_backward(NULL, &a))
#define BAD_BACK(code, change)                                                                     \
    a = good;                                                                                      \
    change;                                                                                        \
    T_ERR(code, op_attention_backward(NULL, &a))

static void errors(struct t *t)
{
    static const struct shape s = {{{4, 2, 2}}, 2, 1, 8, 0, 0};
    const struct layout l = lay_out(&s);
    struct rt_buf *b = t_zeros(t, t_dev(t), RT_F32, 256), *small = t_zeros(t, t_dev(t), RT_F32, 63);
    struct rt_buf *half = t_zeros(t, t_dev(t), RT_F16, 256),
                  *word = t_zeros(t, t_dev(t), RT_U32, 256);
    struct op_attention_index info, cached;
    struct op_attention_args good = args_of(&s, l.tokens), a;

    good.index = upload_index(t, t_dev(t), &l, &info);
    good.info = &info;
    good.q = good.o = good.d_o = good.dq = mat(b, 16);
    good.k = good.v = good.dk = good.dv = mat(b, 8);
    good.lse.buf = good.delta.buf = b;
    BAD(RT_E_ARG, a.n_kv_heads = 0);
    BAD(RT_E_ARG, (a.n_heads = 3, a.n_kv_heads = 2));
    BAD(RT_E_ARG, a.head_dim = 7);
    BAD(RT_E_ARG, a.head_dim = 258);
    BAD(RT_E_ARG, a.scale = NAN);
    BAD(RT_E_ARG, a.info = NULL);
    BAD(RT_E_ARG, a.q.ld = 12);
    BAD(RT_E_ARG, a.k.ld = 0);
    BAD(RT_E_ARG, a.v.first = 64);
    BAD(RT_E_ARG, a.index_first = 8);
    BAD(RT_E_ARG, a.variant = "narrow");
    BAD(RT_E_ARG, a.softcap = -50.0f);
    BAD(RT_E_ARG, a.softcap = NAN);
    BAD(RT_E_SHAPE, a.q.buf = NULL);
    BAD(RT_E_SHAPE, a.q.buf = half);
    BAD(RT_E_SHAPE, a.o.buf = word);
    BAD(RT_E_SHAPE, a.k.buf = small);
    BAD(RT_E_SHAPE, a.v.first = 256);
    BAD(RT_E_SHAPE, a.lse.buf = half);
    BAD(RT_E_SHAPE, a.index = b);
    BAD(RT_E_SHAPE, a.index_first = 128);
    BAD(RT_E_SHAPE, a.n_tokens = 7);
    BAD(RT_E_SHAPE, a.n_keys = 7);
    BAD_BACK(RT_E_SHAPE, a.dk.buf = small);
    BAD_BACK(RT_E_SHAPE, a.dq.buf = half);
    BAD_BACK(RT_E_SHAPE, a.delta.buf = half);
    BAD_BACK(RT_E_ARG, a.d_o.ld = 8);
    cached = info;
    cached.backward = false;
    BAD_BACK(RT_E_UNSUPPORTED, a.info = &cached);
    t_reset(t);
}

// The common head size and soft caps as is_due() has it; the other head sizes are spread out.
static bool is_shape_due(struct t *t, size_t variant, size_t type, size_t at)
{
    const struct shape *s = &SHAPES[at];
    const bool cap = s->softcap > 0.0f;

    if (s->d != 64 && !cap)
        return t_due(t, (3 * at + variant) * 3 + type, 27);
    return is_due(t, variant, type, s->window > 0 ? (cap ? BOTH : WINDOW) : cap ? SOFTCAP : PLAIN);
}

static void body(struct t *t)
{
    static const enum rt_type TYPES[] = {RT_F32, RT_F16, RT_BF16};

    index_errors(t);
    errors(t);
    if (t_on_host(t)) {
        oracle_gradient(t, 0, 0.0f);
        oracle_gradient(t, 3, 0.0f);
        oracle_gradient(t, 0, 1.5f);
        oracle_gradient(t, 2, 3.0f);
        oracle_sharing(t, 0);
        oracle_sharing(t, 3); // a window that reaches into the prompt from both sides
        oracle_window(t);
    }
    for (size_t v = 0; v < n_variants(t); v++)
        for (size_t i = 0; i < COUNT_OF(TYPES); i++) {
            for (size_t j = 0; j < COUNT_OF(SHAPES); j++)
                if (is_shape_due(t, v, i, j))
                    matches_reference(t, TYPES[i], &SHAPES[j], variants_of(t)[v]);
            if (is_due(t, v, i, PLAIN))
                extreme(t, TYPES[i], variants_of(t)[v]);
        }
}

int main(void)
{
    return t_each_device(body);
}
