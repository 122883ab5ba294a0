// The cases of `conform`: one awkward shape an op. What an output may err by is a share of its
// largest value: the rounding of its own type (op_side_output), and for f32 arithmetic N roundings
// of 2^-24 for a sum of N terms (each term at most the largest), Vulkan's 3 + 2|x| ULP for exp
// and 2.5 for division where they occur. An f16 or bf16 intermediate adds its own.
#include <string.h>

#include "src/op/adamw.h"
#include "src/op/add.h"
#include "src/op/attention.h"
#include "src/op/cast.h"
#include "src/op/clip.h"
#include "src/op/conform.h"
#include "src/op/embed.h"
#include "src/op/experts.h"
#include "src/op/dora.h"
#include "src/op/dropout.h"
#include "src/op/lerp.h"
#include "src/op/logprob.h"
#include "src/op/loss.h"
#include "src/op/matmul.h"
#include "src/op/norm.h"
#include "src/op/rope.h"
#include "src/op/segment.h"
#include "src/op/sgd.h"
#include "src/op/sumsq.h"
#include "src/op/act.h"

#define ULP 0x1p-23
#define VEC(b) ((struct op_vec){(b), 0})
#define FILL(s, t, n, seed, lo, hi, out) RT_TRY(op_side_fill(s, t, n, seed, lo, hi, out))

enum { T = 67, C = 56, LD = 56 }; // tokens: a prime above a group; columns: no multiple of 16

static double rounding(enum rt_type t)
{
    return t == RT_F16 ? 0x1p-11 : t == RT_BF16 ? 0x1p-8 : 0x1p-24;
}

static enum rt_err cast(struct op_side *s)
{
    enum rt_err err = RT_OK;
    struct rt_buf *x, *y, *z;
    FILL(s, RT_F32, 4098, 2, -3.0, 3.0, &x);
    FILL(s, s->type, 4098, 3, 0.0, 0.0, &y);
    FILL(s, RT_F32, 4098, 3, 0.0, 0.0, &z);
    RT_TRY(op_cast(s->cmd, &(struct op_cast_args){.x = x, .y = y, .n = 4098}));
    RT_TRY(op_cast(s->cmd, &(struct op_cast_args){.x = y, .y = z, .n = 4098}));
    op_side_output(s, "y", y, 4098, 0.0);
    op_side_output(s, "back", z, 4098, rounding(s->type));
done:
    return err;
}

static enum rt_err embed(struct op_side *s)
{
    enum rt_err err = RT_OK;
    uint32_t ids[T], index[3 * T + 1];
    struct rt_buf *w, *x, *d, *id, *ix;
    for (uint32_t i = 0; i < T; i++)
        ids[i] = i * i % 31;
    const uint32_t unique = op_scatter_index(ids, T, index);
    FILL(s, s->type, 31 * LD, 1, -1.0, 1.0, &w);
    FILL(s, RT_F32, T * LD, 2, 0.0, 0.0, &x);
    FILL(s, RT_F32, 31 * LD, 3, -1.0, 1.0, &d);
    RT_TRY(op_side_words(s, ids, T, &id));
    RT_TRY(op_side_words(s, index, 3 * T + 1, &ix));
    RT_TRY(op_embed(s->cmd,
                    &(struct op_embed_args){VEC(w), id, VEC(x), 31, T, C, LD, LD, 1.0f, false}));
    RT_TRY(op_embed_backward(s->cmd, &(struct op_embed_backward_args){VEC(x), ix, VEC(d), 31, T,
                                                                      unique, C, LD, LD, 1.0f}));
    op_side_output(s, "x", x, T * LD, 0.0);
    op_side_output(s, "dw", d, 31 * LD, T * ULP);
done:
    return err;
}

static enum rt_err norm(struct op_side *s, enum op_norm_kind kind)
{
    enum rt_err err = RT_OK;
    struct rt_buf *x, *w, *b, *y, *r, *dy, *dx, *dw, *db, *scratch;
    FILL(s, RT_F32, T * LD, 1, -4.0, 4.0, &x);
    FILL(s, s->type, C, 2, 0.5, 1.5, &w);
    FILL(s, s->type, C, 9, -0.5, 0.5, &b);
    FILL(s, s->type, T * LD, 3, 0.0, 0.0, &y);
    FILL(s, RT_F32, T * op_norm_stats(kind), 4, 0.0, 0.0, &r);
    FILL(s, s->type, T * LD, 5, -1.0, 1.0, &dy);
    FILL(s, RT_F32, T * LD, 6, -1.0, 1.0, &dx);
    FILL(s, RT_F32, C, 7, -1.0, 1.0, &dw);
    FILL(s, RT_F32, C, 7, -1.0, 1.0, &db);
    FILL(s, RT_F32, op_norm_scratch(T, C), 8, 0.0, 0.0, &scratch);
    RT_TRY(op_norm(s->cmd, &(struct op_norm_args){kind, VEC(x), VEC(w), VEC(b), VEC(y), VEC(r), T,
                                                  C, LD, LD, 1e-6f, 0.0f, false}));
    RT_TRY(op_norm_backward(s->cmd, &(struct op_norm_backward_args){
                                        kind, VEC(dy), VEC(x), VEC(w), VEC(r), VEC(dx), VEC(dw),
                                        VEC(db), scratch, T, C, LD, LD, LD, 0.0f, true}));
    op_side_output(s, "y", y, T * LD, C * ULP);
    op_side_output(s, "stats", r, T * op_norm_stats(kind), C * ULP);
    op_side_output(s, "dx", dx, T * LD, 3 * C * ULP);
    op_side_output(s, "dw", dw, C, (T + C) * ULP);
    op_side_output(s, "db", db, C, (T + C) * ULP);
done:
    return err;
}

static enum rt_err rms_norm(struct op_side *s)
{
    return norm(s, OP_NORM_RMS);
}

static enum rt_err layer_norm(struct op_side *s)
{
    return norm(s, OP_NORM_LAYER);
}

static enum rt_err rope(struct op_side *s)
{
    enum rt_err err = RT_OK;
    uint32_t pos[T];
    struct rt_buf *x, *cos_t, *sin_t, *p, *y, *z, *u;
    for (uint32_t i = 0; i < T; i++)
        pos[i] = i % 40;
    FILL(s, s->type, T * LD, 1, -1.0, 1.0, &x);
    FILL(s, RT_F32, 40 * 7, 2, -1.0, 1.0, &cos_t);
    FILL(s, RT_F32, 40 * 7, 3, -1.0, 1.0, &sin_t);
    RT_TRY(op_side_words(s, pos, T, &p));
    FILL(s, s->type, T * LD, 4, 0.0, 0.0, &y);
    FILL(s, s->type, T * LD, 5, 0.0, 0.0, &z);
    FILL(s, s->type, T * LD, 6, 0.0, 0.0, &u);
    struct op_rope_args a = {VEC(x), cos_t, sin_t, p,  VEC(y), T,     4,
                             14,     0,     40,    LD, LD,     false, false};
    RT_TRY(op_rope(s->cmd, &a));
    a.y = VEC(z);
    a.inverse = true;
    RT_TRY(op_rope(s->cmd, &a));
    a.y = VEC(u);
    a.pairs = true;
    RT_TRY(op_rope(s->cmd, &a));
    op_side_output(s, "y", y, T * LD, 3 * ULP);
    op_side_output(s, "inverse", z, T * LD, 3 * ULP);
    op_side_output(s, "pairs", u, T * LD, 3 * ULP);
done:
    return err;
}

static enum rt_err act(struct op_side *s, enum op_act kind, bool gated)
{
    enum rt_err err = RT_OK;
    struct rt_buf *g, *u, *a, *da, *dg, *du;
    FILL(s, s->type, T * LD, 1, -8.0, 8.0, &g);
    FILL(s, s->type, T * LD, 2, -1.0, 1.0, &u);
    FILL(s, s->type, T * LD, 3, -1.0, 1.0, &da);
    FILL(s, s->type, T * LD, 4, 0.0, 0.0, &a);
    FILL(s, s->type, T * LD, 4, 0.0, 0.0, &dg);
    FILL(s, s->type, T * LD, 4, 0.0, 0.0, &du);
    const struct op_vec up = {gated ? u : NULL, 0};
    RT_TRY(op_act(s->cmd, &(struct op_act_args){VEC(g), up, VEC(a), T, C, LD, kind}));
    RT_TRY(op_act_backward(s->cmd, &(struct op_act_backward_args){VEC(g), up, VEC(da), VEC(dg),
                                                                  VEC(du), T, C, LD, kind}));
    op_side_output(s, "a", a, T * LD,
                   25 * ULP); // exp of up to 8: 19 ULP, division and two products
    op_side_output(s, "dg", dg, T * LD, 50 * ULP);
    op_side_output(s, "du", du, T * LD, 25 * ULP);
done:
    return err;
}

static enum rt_err swiglu(struct op_side *s)
{
    return act(s, OP_ACT_SILU, true);
}

static enum rt_err geglu(struct op_side *s)
{
    return act(s, OP_ACT_GELU_TANH, true);
}

static enum rt_err gelu(struct op_side *s)
{
    return act(s, OP_ACT_GELU, false);
}

static const char *const MATMUL_VARIANTS[] = {"tile", "register", "wide", "bf16_dot", NULL};

static bool matmul_has(const struct rt_dev *dev, int variant, enum rt_type type)
{
    return op_matmul_has(dev, (enum op_matmul_variant)(OP_MATMUL_TILE + variant), type);
}

static bool experts_has(const struct rt_dev *dev, int variant, enum rt_type type)
{
    return op_experts_has(dev, (enum op_matmul_variant)(OP_MATMUL_TILE + variant), type);
}

static enum rt_err matmul(struct op_side *s)
{
    static const char *const NAMES[] = {"nt", "nn", "tn"};
    enum { N = 45, K = 93, LDN = 48, LDK = 96, LDM = 72 };
    enum rt_err err = RT_OK;
    const bool host = strncmp(rt_dev_id(s->dev), "host", 4) == 0;
    struct rt_buf *a, *b, *c, *bias, *scratch = NULL;
    for (int form = OP_NT; form <= OP_TN; form++) {
        const enum op_matmul_form f = (enum op_matmul_form) form;
        const uint64_t need = op_matmul_scratch(s->dev, f, s->type, T, N, K);
        FILL(s, s->type, f == OP_TN ? K * LDM : T * LDK, 1, -1.0, 1.0, &a);
        FILL(s, s->type, f == OP_NT ? N * LDK : K * LDN, 2, -1.0, 1.0, &b);
        FILL(s, RT_F32, T * LDN, 3, -1.0, 1.0, &c);
        FILL(s, RT_F32, N + 1, 4, -1.0, 1.0, &bias);
        if (need)
            FILL(s, RT_F32, need, 5, 0.0, 0.0, &scratch);
        RT_TRY(op_matmul(
            s->cmd, &(struct op_matmul_args){
                        .form = f,
                        .m = T,
                        .n = N,
                        .k = K,
                        .a = {a, 0, f == OP_TN ? LDM : LDK},
                        .b = {b, 0, f == OP_NT ? LDK : LDN},
                        .c = {c, 0, LDN},
                        .bias = bias,
                        .accumulate = true,
                        .scratch = scratch,
                        .variant = host ? OP_MATMUL_AUTO
                                        : (enum op_matmul_variant)(OP_MATMUL_TILE + s->variant)}));
        op_side_output(s, NAMES[form], c, T * LDN, K * ULP);
    }
done:
    return err;
}

static const char *const ATTENTION_VARIANTS[] = {"portable", "wide", NULL};

static bool attention_has(const struct rt_dev *dev, int variant, enum rt_type type)
{
    (void) type;
    return variant == 0 || (rt_dev_plan(dev)->rungs & RT_RUNG_WIDE) != 0;
}

// A prompt of 20, answers of 25 and 22; 4 query heads on 2 key heads of 14.
static enum rt_err attention(struct op_side *s)
{
    static const struct op_segment SEGS[] = {
        {0, 20, 0, 0, 0, 0}, {20, 45, 20, 0, 20, 20}, {45, 67, 45, 0, 20, 45}};
    enum { H = 4, KV = 2, D = 14, LDQ = 56, LDKV = 32 };
    enum rt_err err = RT_OK;
    const bool host = strncmp(rt_dev_id(s->dev), "host", 4) == 0;
    uint32_t words[4096];
    struct op_attention_index info;
    struct rt_buf *q, *k, *v, *o, *lse, *ix, *d_o, *delta, *dq, *dk, *dv, *scratch;
    RT_REQUIRE(op_attention_index_max(s->dev, T, 3) <= 4096, RT_E_ARG);
    RT_TRY(op_attention_index(s->dev, SEGS, 3, words, 4096, &info));
    RT_TRY(op_side_words(s, words, info.words, &ix));
    FILL(s, s->type, T * LDQ, 1, -2.0, 2.0, &q);
    FILL(s, s->type, T * LDKV, 2, -2.0, 2.0, &k);
    FILL(s, s->type, T * LDKV, 3, -1.0, 1.0, &v);
    FILL(s, s->type, T * LDQ, 4, -1.0, 1.0, &d_o);
    FILL(s, s->type, T * LDQ, 5, 0.0, 0.0, &o);
    FILL(s, RT_F32, H * T, 5, 0.0, 0.0, &lse);
    FILL(s, RT_F32, H * T, 5, 0.0, 0.0, &delta);
    FILL(s, s->type, T * LDQ, 5, 0.0, 0.0, &dq);
    FILL(s, s->type, T * LDKV, 5, 0.0, 0.0, &dk);
    FILL(s, s->type, T * LDKV, 5, 0.0, 0.0, &dv);
    struct op_attention_args a = {.q = {q, 0, LDQ},
                                  .k = {k, 0, LDKV},
                                  .v = {v, 0, LDKV},
                                  .o = {o, 0, LDQ},
                                  .lse = {lse, 0, 0},
                                  .index = ix,
                                  .info = &info,
                                  .n_tokens = T,
                                  .n_keys = T,
                                  .n_heads = H,
                                  .n_kv_heads = KV,
                                  .head_dim = D,
                                  .scale = 0.27f,
                                  .variant = host ? NULL : ATTENTION_VARIANTS[s->variant],
                                  .d_o = {d_o, 0, LDQ},
                                  .delta = {delta, 0, 0},
                                  .dq = {dq, 0, LDQ},
                                  .dk = {dk, 0, LDKV},
                                  .dv = {dv, 0, LDKV}};
    const uint64_t need =
        op_attention_scratch(s->dev, &a, false) + op_attention_scratch(s->dev, &a, true);
    FILL(s, RT_F32, need + 1, 5, 0.0, 0.0, &scratch);
    a.scratch = (struct op_attention_view){scratch, 0, 0};
    RT_TRY(op_attention(s->cmd, &a));
    RT_TRY(op_attention_backward(s->cmd, &a));
    // The backward reads o and d_o as they are stored: delta carries D of their roundings.
    const double stored = s->type == RT_F32 ? 0.0 : 4.0 * rounding(s->type);
    op_side_output(s, "o", o, T * LDQ, (T + 30) * ULP);
    op_side_output(s, "lse", lse, H * T, (T + 30) * ULP);
    op_side_output(s, "dq", dq, T * LDQ, 2 * (T + 60) * ULP + stored);
    op_side_output(s, "dk", dk, T * LDKV, 2 * (T + 60) * ULP + stored);
    op_side_output(s, "dv", dv, T * LDKV, 2 * (T + 60) * ULP);
done:
    return err;
}

static enum rt_err logprob(struct op_side *s)
{
    enum { M = 67, V = 301 };
    enum rt_err err = RT_OK;
    uint32_t targets[M];
    struct rt_buf *h, *w, *t, *result, *coef, *dh, *dw, *logits, *dlogits, *state, *scratch, *sweep;
    const struct op_logprob_chunks chunks = {.rows = 64, .vocab = 128};
    const struct op_logprob_sizes n = op_logprob_sizes(s->dev, s->type, M, C, V, chunks, true);
    for (uint32_t i = 0; i < M; i++)
        targets[i] = i * 37 % V;
    RT_TRY(op_side_words(s, targets, M, &t));
    FILL(s, s->type, M * LD, 1, -1.0, 1.0, &h);
    FILL(s, s->type, V * LD, 2, -1.0, 1.0, &w);
    FILL(s, RT_F32, M * 8, 3, 0.0, 0.0, &result);
    FILL(s, RT_F32, M, 4, 0.5, 1.0, &coef);
    FILL(s, RT_F32, M * LD, 5, 0.0, 0.0, &dh);
    FILL(s, RT_F32, V * LD, 5, 0.0, 0.0, &dw);
    FILL(s, RT_F32, M * LD, 6, 0.0, 0.0, &sweep);
    FILL(s, RT_F32, n.logits, 5, 0.0, 0.0, &logits);
    FILL(s, s->type, n.dlogits, 5, 0.0, 0.0, &dlogits);
    FILL(s, RT_F32, n.state, 5, 0.0, 0.0, &state);
    FILL(s, RT_F32, n.matmul + 1, 5, 0.0, 0.0, &scratch);
    const struct op_logprob_scratch sc = {logits, dlogits, state, scratch};
    RT_TRY(op_logprob(s->cmd, &(struct op_logprob_args){.h = {h, 0, LD},
                                                        .w = {w, 0, LD},
                                                        .targets = t,
                                                        .result = result,
                                                        .n_rows = M,
                                                        .cols = C,
                                                        .n_vocab = V,
                                                        .chunks = chunks,
                                                        .scratch = sc,
                                                        .squares = true,
                                                        .dh = {sweep, 0, LD}}));
    RT_TRY(op_logprob_scale(s->cmd, (struct op_mat_out){sweep, 0, LD}, coef, M, C));
    RT_TRY(op_logprob_backward(s->cmd, &(struct op_logprob_backward_args){.h = {h, 0, LD},
                                                                          .w = {w, 0, LD},
                                                                          .targets = t,
                                                                          .result = result,
                                                                          .coef = coef,
                                                                          .dh = {dh, 0, LD},
                                                                          .dw = {dw, 0, LD},
                                                                          .n_rows = M,
                                                                          .cols = C,
                                                                          .n_vocab = V,
                                                                          .chunks = chunks,
                                                                          .scratch = sc}));
    // Logits carry C roundings, and the exponentials of the sum 3 + 2 * 20 ULP; dlogits are stored
    // in S.
    op_side_output(s, "result", result, M * 8, (C + 43) * 4 * ULP);
    op_side_output(s, "dh", dh, M * LD, (C + 43 + 128) * ULP + 2.0 * rounding(s->type));
    op_side_output(s, "dh sweep", sweep, M * LD, (C + 43 + 128) * ULP + 2.0 * rounding(s->type));
    op_side_output(s, "dw", dw, V * LD, (C + 43 + M) * ULP + 2.0 * rounding(s->type));
done:
    return err;
}

static enum rt_err sequences(struct op_side *s)
{
    static const uint32_t STARTS[] = {0, 5, 5, 40, 67};
    enum rt_err err = RT_OK;
    struct rt_buf *x, *st, *y, *dx;
    FILL(s, RT_F32, T * 8, 1, -3.0, 0.0, &x);
    RT_TRY(op_side_words(s, STARTS, 5, &st));
    FILL(s, RT_F32, 4, 2, 0.0, 0.0, &y);
    FILL(s, RT_F32, T, 2, 0.0, 0.0, &dx);
    RT_TRY(op_segment_sum(s->cmd,
                          &(struct op_segment_sum_args){
                              .x = x, .starts = st, .y = y, .n_rows = T, .n_segs = 4, .ld = 8}));
    RT_TRY(op_segment_spread(
        s->cmd, &(struct op_segment_spread_args){
                    .dy = y, .starts = st, .dx = dx, .n_rows = T, .n_segs = 4, .scale = 0.5f}));
    op_side_output(s, "sum", y, 4, T * ULP);
    op_side_output(s, "spread", dx, T, (T + 1) * ULP);
done:
    return err;
}

// Every kind of term, each in the others' company. Log-ratios are within 4 nats, or ipo and
// sppo_hard would drown the rest.
static enum rt_err loss(struct op_side *s)
{
    static const struct op_loss_spec SPEC = {.terms = {{OP_LOSS_SIGMOID, 1.0},
                                                       {OP_LOSS_HINGE, 0.5},
                                                       {OP_LOSS_IPO, 0.01},
                                                       {OP_LOSS_EXO_PAIR, 0.5},
                                                       {OP_LOSS_ROBUST, 0.5},
                                                       {OP_LOSS_DISCOPOP, 0.5},
                                                       {OP_LOSS_SIGMOID_NORM, 0.5},
                                                       {OP_LOSS_AOT, 0.5},
                                                       {OP_LOSS_AOT_UNPAIRED, 0.5},
                                                       {OP_LOSS_NCA_PAIR, 0.5},
                                                       {OP_LOSS_BCO_PAIR, 0.5},
                                                       {OP_LOSS_SPPO_HARD, 0.01},
                                                       {OP_LOSS_APO_ZERO, 0.5},
                                                       {OP_LOSS_APO_DOWN, 0.5},
                                                       {OP_LOSS_SFT, 0.1},
                                                       {OP_LOSS_CDPO, 0.5},
                                                       {OP_LOSS_SIMPO, 0.5},
                                                       {OP_LOSS_ORPO, 0.5}},
                                             .n_terms = 18,
                                             .simpo_gamma = 0.5,
                                             .label_smoothing = 0.1,
                                             .discopop_tau = 0.5};
    enum rt_err err = RT_OK;
    uint32_t partner[2 * T];
    struct rt_buf *p, *r, *len, *pairs, *value, *d;
    for (uint32_t i = 0; i < 2 * T; i++)
        partner[i] = (i * 3 + i / T) % T; // T is a prime
    FILL(s, RT_F32, 2 * T, 1, -12.0, -8.0, &p);
    FILL(s, RT_F32, 2 * T, 2, -12.0, -8.0, &r);
    FILL(s, RT_F32, 2 * T, 4, 1.0, 9.0, &len);
    FILL(s, RT_F32, T, 3, 0.0, 0.0, &value);
    FILL(s, RT_F32, 2 * T, 3, 0.0, 0.0, &d);
    RT_TRY(op_side_words(s, partner, 2 * T, &pairs));
    RT_TRY(op_loss(s->cmd, &(struct op_loss_args){.spec = &SPEC,
                                                  .logp = p,
                                                  .ref_logp = r,
                                                  .len = len,
                                                  .partner = pairs,
                                                  .loss = value,
                                                  .dlogp = d,
                                                  .n_pairs = T,
                                                  .beta = 0.1,
                                                  .grad_scale = 1.0 / T,
                                                  .sft_scale = 0.05}));
    op_side_output(s, "loss", value, T, 100 * ULP);
    op_side_output(s, "dlogp", d, 2 * T, 400 * ULP);
done:
    return err;
}

// Weights of the side's type, with 16 bits beside them that are a positive half below 2^-12.
static enum rt_err masters(struct op_side *s, uint64_t n, uint32_t seed, struct op_master *out)
{
    enum rt_err err = RT_OK;
    struct rt_buf *w, *low;

    FILL(s, s->type, n, seed, 0.1, 1.0, &w);
    *out = (struct op_master){.w = VEC(w)};
    if (s->type == RT_F32)
        goto done;
    FILL(s, s->type, n, seed, 0.00001, 0.0002, &low);
    out->low = VEC(low);
done:
    return err;
}

static enum rt_err optimizer(struct op_side *s)
{
    enum { N = 10010 };
    enum rt_err err = RT_OK;
    struct rt_buf *g, *m, *v, *part, *mult;
    struct op_master p;
    FILL(s, RT_F32, N, 1, -1.0, 1.0, &g);
    FILL(s, RT_F32, N, 3, -0.1, 0.1, &m);
    FILL(s, RT_F32, N, 4, 0.001, 0.1, &v);
    RT_TRY(masters(s, N, 2, &p));
    FILL(s, RT_F32, op_sumsq_parts(N), 5, 0.0, 0.0, &part);
    FILL(s, RT_F32, 1, 6, 0.0, 0.0, &mult);
    RT_TRY(op_sumsq(s->cmd, &(struct op_sumsq_args){VEC(g), N, part, 0}));
    RT_TRY(op_clip(s->cmd, &(struct op_clip_args){part, op_sumsq_parts(N), mult, 30.0, 1.0}));
    RT_TRY(op_adamw(
        s->cmd, &(struct op_adamw_args){VEC(g),
                                        mult,
                                        VEC(m),
                                        VEC(v),
                                        p,
                                        N,
                                        {0.999f, 0.9f, 0.1f, 0.999f, 0.001f, 0.01f, 5.0f, 1e-8f}}));
    op_side_output(s, "clip", mult, 1, 256 * ULP);
    op_side_output(s, "sumsq", part, op_sumsq_parts(N), 256 * ULP);
    op_side_output(s, "m", m, N, 4 * ULP);
    op_side_output(s, "v", v, N, 4 * ULP);
    op_side_output(s, "p", p.w.buf, N, 10 * ULP);
done:
    return err;
}

// A step, and one of length 0, which leaves a master as it is, what is beside it included.
static enum rt_err sgd(struct op_side *s)
{
    enum { N = 10010 };
    enum rt_err err = RT_OK;
    struct op_master p, kept;
    struct rt_buf *g, *mult;
    FILL(s, RT_F32, N, 1, -1.0, 1.0, &g);
    FILL(s, RT_F32, 1, 4, 0.5, 0.5, &mult);
    RT_TRY(masters(s, N, 2, &p));
    RT_TRY(masters(s, N, 3, &kept));
    RT_TRY(op_sgd(s->cmd, &(struct op_sgd_args){VEC(g), mult, p, N, 0.1f, 0.01f}));
    RT_TRY(op_sgd(s->cmd, &(struct op_sgd_args){VEC(g), mult, kept, N, 0.1f, 0.0f}));
    op_side_output(s, "p", p.w.buf, N, 4 * ULP);
    op_side_output(s, "kept", kept.w.buf, N, 0.0);
    if (kept.low.buf)
        op_side_output(s, "kept, low", kept.low.buf, N, 0.0);
done:
    return err;
}

static enum rt_err add(struct op_side *s)
{
    enum rt_err err = RT_OK;
    struct rt_buf *x, *y;
    FILL(s, s->type, 4098, 1, -1.0, 1.0, &x);
    FILL(s, RT_F32, 4098, 2, -1.0, 1.0, &y);
    RT_TRY(op_axpy(s->cmd, &(struct op_axpy_args){VEC(x), VEC(y), 4098, 0.7f}));
    op_side_output(s, "y", y, 4098, 2 * ULP);
done:
    return err;
}

static enum rt_err lerp(struct op_side *s)
{
    enum rt_err err = RT_OK;
    struct op_master x, y;
    RT_TRY(masters(s, 4098, 1, &x));
    RT_TRY(masters(s, 4098, 2, &y));
    RT_TRY(op_lerp(s->cmd, &(struct op_lerp_args){x, y, 4098, 0.6}));
    op_side_output(s, "y", y.w.buf, 4098, 2 * ULP);
done:
    return err;
}

static enum rt_err dropout(struct op_side *s)
{
    enum rt_err err = RT_OK;
    struct rt_buf *x, *y;
    FILL(s, RT_F32, 4098, 1, -1.0, 1.0, &x);
    FILL(s, s->type, 4098, 2, 0.0, 0.0, &y);
    RT_TRY(op_dropout(s->cmd, &(struct op_dropout_args){
                                  .x = x, .y = y, .n = 4098, .p = 0.3, .key = 0x123456789abcdefu}));
    op_side_output(s, "y", y, 4098, rounding(s->type) + 2 * ULP);
done:
    return err;
}

static enum rt_err dora(struct op_side *s)
{
    enum { DORA_ROWS = 33, DORA_COLS = 136, DORA_LD = 136, DORA_N = DORA_ROWS * DORA_LD };
    enum rt_err err = RT_OK;
    struct rt_buf *w, *d, *m, *factor, *norm, *y, *dz;
    FILL(s, s->type, DORA_N, 1, 0.5, 1.0, &w);
    FILL(s, RT_F32, DORA_N, 2, 0.5, 1.0, &d);
    FILL(s, RT_F32, DORA_LD, 3, 5.0, 9.0, &m);
    FILL(s, RT_F32, DORA_LD, 4, 0.0, 0.0, &factor);
    FILL(s, RT_F32, DORA_LD, 5, 0.0, 0.0, &norm);
    FILL(s, s->type, DORA_N, 6, 0.0, 0.0, &y);
    FILL(s, s->type, DORA_N, 7, 0.0, 0.0, &dz);
    const struct op_dora_norm_args n = {VEC(w),    VEC(d),    VEC(m),  VEC(factor), VEC(norm),
                                        DORA_ROWS, DORA_COLS, DORA_LD, DORA_LD,     0.5f};
    const struct op_dora_scale_args a = {.z = VEC(d),
                                         .factor = VEC(m),
                                         .y = VEC(y),
                                         .n_rows = DORA_ROWS,
                                         .cols = DORA_COLS,
                                         .ldz = DORA_LD,
                                         .ldy = DORA_LD};
    RT_TRY(op_dora_norm(s->cmd, &n));
    RT_TRY(op_dora_scale(s->cmd, &a));
    RT_TRY(
        op_dora_back(s->cmd, &(struct op_dora_back_args){VEC(w), VEC(m), VEC(m), VEC(d), VEC(dz),
                                                         DORA_ROWS, DORA_COLS, DORA_LD, DORA_LD}));
    op_side_output(s, "factor", factor, DORA_ROWS, 16 * ULP);
    op_side_output(s, "norm", norm, DORA_ROWS, 16 * ULP);
    op_side_output(s, "y", y, DORA_N, rounding(s->type) + 2 * ULP);
    op_side_output(s, "z", d, DORA_N, 6 * ULP);
    op_side_output(s, "dz", dz, DORA_N, rounding(s->type) + 2 * ULP);
done:
    return err;
}

const struct op_conform_case OP_CONFORM_CASES[] = {
    {"cast", NULL, NULL, cast},
    {"embed", NULL, NULL, embed},
    {"rms_norm", NULL, NULL, rms_norm},
    {"layer_norm", NULL, NULL, layer_norm},
    {"rope", NULL, NULL, rope},
    {"swiglu", NULL, NULL, swiglu},
    {"geglu", NULL, NULL, geglu},
    {"gelu", NULL, NULL, gelu},
    {"matmul", MATMUL_VARIANTS, matmul_has, matmul},
    {"experts", MATMUL_VARIANTS, experts_has, op_conform_experts},
    {"attention", ATTENTION_VARIANTS, attention_has, attention},
    {"logprob", NULL, NULL, logprob},
    {"segment", NULL, NULL, sequences},
    {"loss", NULL, NULL, loss},
    {"adamw", NULL, NULL, optimizer},
    {"sgd", NULL, NULL, sgd},
    {"add", NULL, NULL, add},
    {"lerp", NULL, NULL, lerp},
    {"dropout", NULL, NULL, dropout},
    {"dora", NULL, NULL, dora},
    {NULL, NULL, NULL, NULL},
};
