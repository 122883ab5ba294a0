// What must not change a single bit: what lies beside a row, where it lies, that a prompt is
// shared, that keys come from a cache, and when it is run.
#include <string.h>

#include "tests/op/attention_run.h"

// All outputs of a run on the device's own forward, in float64 (exact).
struct outputs {
    uint32_t tokens;
    const double *o, *lse, *dq, *dk, *dv;
};

static struct outputs outputs_of(struct t *t, enum rt_type type, const struct shape *s,
                                 struct data x, const char *variant)
{
    const uint32_t tokens = lay_out(s).tokens;
    x.chain = true;
    const struct result r = run(t, t_dev(t), type, s, &x, variant);
    const uint64_t nq = (uint64_t) tokens * op_stride(s->h * s->d),
                   nk = (uint64_t) tokens * op_stride(s->kv * s->d);
    return (struct outputs){tokens,
                            read_all(t, r.o, nq),
                            read_all(t, r.lse, s->h * tokens),
                            read_all(t, r.dq, nq),
                            read_all(t, r.dk, nk),
                            read_all(t, r.dv, nk)};
}

// Token i of `to` becomes token from[i] of `x`.
static struct data pick(struct t *t, const struct shape *to, const struct data *x,
                        const uint32_t *from)
{
    const uint32_t tokens = lay_out(to).tokens, nq = op_stride(to->h * to->d),
                   nk = op_stride(to->kv * to->d);
    const struct data y = random_data(t, to, tokens, 1.0);
    for (uint32_t i = 0; i < tokens; i++) {
        memcpy(y.q + i * nq, x->q + from[i] * nq, nq * sizeof(double));
        memcpy(y.d_o + i * nq, x->d_o + from[i] * nq, nq * sizeof(double));
        memcpy(y.k + i * nk, x->k + from[i] * nk, nk * sizeof(double));
        memcpy(y.v + i * nk, x->v + from[i] * nk, nk * sizeof(double));
    }
    return y;
}

static void same_row(const char *what, const double *a, const double *b, uint32_t n, uint32_t i,
                     uint32_t j)
{
    if (memcmp(a + (uint64_t) i * n, b + (uint64_t) j * n, n * sizeof(double)) != 0)
        fail_msg("%s: token %u differs from token %u of the other run", what, i, j);
}

// Tokens [i, i + n) of a and [j, j + n) of b are equal, `keys` says whether in dk and dv too.
static void same(const struct shape *s, const struct outputs *a, const struct outputs *b,
                 uint32_t i, uint32_t j, uint32_t n, bool keys)
{
    for (uint32_t e = 0; e < n; e++) {
        same_row("o", a->o, b->o, op_stride(s->h * s->d), i + e, j + e);
        same_row("dq", a->dq, b->dq, op_stride(s->h * s->d), i + e, j + e);
        for (uint32_t h = 0; h < s->h; h++)
            same_row("lse", a->lse, b->lse, 1, h * a->tokens + i + e, h * b->tokens + j + e);
        if (keys) {
            same_row("dk", a->dk, b->dk, op_stride(s->kv * s->d), i + e, j + e);
            same_row("dv", a->dv, b->dv, op_stride(s->kv * s->d), i + e, j + e);
        }
    }
}

static void rows_alone(struct t *t, enum rt_type type, uint32_t h, uint32_t kv, uint32_t d,
                       uint32_t window, float cap, const char *variant)
{
    const struct shape many = {{{41, 7, 9}, {33, 66, 70}, {90}}, h, kv, d, window, cap};
    const struct shape pair = {{{33, 66, 70}}, h, kv, d, window, cap},
                       twice = {{{33, 66}, {33, 70}}, h, kv, d, window, cap};
    const struct data x = random_data(t, &many, lay_out(&many).tokens, 1.0);
    uint32_t from[256];

    for (uint32_t i = 0; i < 169; i++)
        from[i] = 57 + i;
    const struct outputs all = outputs_of(t, type, &many, x, variant);
    const struct outputs again = outputs_of(t, type, &many, x, variant);
    const struct outputs alone = outputs_of(t, type, &pair, pick(t, &pair, &x, from), variant);
    for (uint32_t i = 0; i < 103; i++)
        from[99 + i] = i < 33 ? 57 + i : 57 + 99 + (i - 33);
    const struct outputs each = outputs_of(t, type, &twice, pick(t, &twice, &x, from), variant);

    same(&many, &all, &again, 0, 0, all.tokens, true);
    same(&many, &alone, &all, 0, 57, 169, true);
    same(&many, &each, &all, 0, 57, 33,
         false); // the shared prompt's keys get gradient from both sides
    same(&many, &each, &all, 33, 57 + 33, 66, true);
    same(&many, &each, &all, 99, 57, 33, false);
    same(&many, &each, &all, 99 + 33, 57 + 99, 70, true);
    t_reset(t);
}

// The last token of a row computed with the others' keys in a cache.
static void cached(struct t *t, enum rt_type type, uint32_t window, const char *variant)
{
    const struct shape s = {{{50, 83}}, 6, 2, 64, window, 0.0f};
    const struct layout l = lay_out(&s);
    const struct data x = random_data(t, &s, l.tokens, 1.0);
    struct layout one = {.segs = {l.segs[1]}, .n = 1, .tokens = 1};
    struct op_attention_args a = args_of(&s, 1);
    struct op_attention_index info;
    struct rt_dev *dev = t_dev(t);
    struct rt_cmd *cmd;
    struct rt_buf *o = t_output(t, dev, type, 384), *lse = t_output(t, dev, RT_F32, 6);
    const struct result r = run(t, dev, type, &s, &x, variant);

    one.segs[0].k_begin = l.tokens - 1;
    one.segs[0].q_begin = 0;
    one.segs[0].q_end = 1;
    a.variant = variant;
    a.n_keys = l.tokens;
    a.index = upload_index(t, dev, &one, &info);
    a.info = &info;
    a.q = mat(put(t, dev, type, x.q + (l.tokens - 1) * 384, 384), 384);
    a.k = mat(put(t, dev, type, x.k, l.tokens * 128), 128);
    a.v = mat(put(t, dev, type, x.v, l.tokens * 128), 128);
    a.o = mat(o, 384);
    a.lse.buf = lse;
    if (op_attention_scratch(dev, &a, false))
        a.scratch.buf = t_output(t, dev, RT_F32, op_attention_scratch(dev, &a, false));
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_attention(cmd, &a));
    T_OK(rt_cmd_wait(&cmd));
    same_row("o from a cache", read_all(t, o, 384), read_all(t, r.o, l.tokens * 384), 384, 0,
             l.tokens - 1);
    for (uint32_t h = 0; h < 6; h++)
        same_row("lse from a cache", read_all(t, lse, 6), read_all(t, r.lse, 6 * l.tokens), 1, h,
                 h * l.tokens + l.tokens - 1);
    t_reset(t);
}

static void body(struct t *t)
{
    static const enum rt_type TYPES[] = {RT_F32, RT_F16, RT_BF16};
    for (size_t v = 0; v < n_variants(t); v++)
        for (size_t i = 0; i < COUNT_OF(TYPES); i++) {
            if (is_due(t, v, i, PLAIN)) {
                rows_alone(t, TYPES[i], 9, 3, 64, 0, 0.0f, variants_of(t)[v]);
                cached(t, TYPES[i], 0, variants_of(t)[v]);
            }
            if (is_due(t, v, i, WINDOW))
                cached(t, TYPES[i], 40, variants_of(t)[v]);
            if (is_due(t, v, i, SOFTCAP))
                rows_alone(t, TYPES[i], 2, 1, 80, 0, 0.0f, variants_of(t)[v]);
            if (is_due(t, v, i, BOTH))
                rows_alone(t, TYPES[i], 4, 1, 80, 45, 4.0f, variants_of(t)[v]);
        }
}

int main(void)
{
    return t_each_device(body);
}
