// The description: GGUF metadata -> struct md_arch.
#include "src/model/gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/half.h"
#include "src/model/family.h"
#include "src/model/gguf_names.h"
#include "src/op/route.h"

// Keys, behind "ARCHITECTURE.", that would change what is computed; supported when absent or 0, or
// by the families that take one of these bits.
static const struct {
    const char *name;
    uint32_t by;
} REFUSED[] = {
    {"expert_count", MD_GGUF_EXPERTS},
    {"expert_used_count", MD_GGUF_EXPERTS},
    {"expert_shared_count", 0},
    {"expert_shared_feed_forward_length", 0},
    {"attention.clamp_kqv", 0},
    {"attention.max_alibi_bias", 0},
    {"use_parallel_residual", 0},
    {"attention.scale", MD_GGUF_SCALES},
    {"attention.sliding_window", MD_GGUF_WINDOW},
    {"logit_scale", MD_GGUF_SCALES | MD_GGUF_LOGIT_SCALE},
    {"residual_scale", MD_GGUF_SCALES},
    {"embedding_scale", MD_GGUF_SCALES},
    {"attn_logit_softcapping", MD_GGUF_SOFTCAPS},
    {"final_logit_softcapping", MD_GGUF_LOGIT_CAP},
};

// The name of a key of the family `f`, for the length of a statement.
#define KEY(name) md_gguf_key(f, (name)).text

static enum rt_err check_keys(const struct fmt_gguf *g, const struct md_gguf_family *f)
{
    enum rt_err err = RT_OK;
    double v;

    for (size_t i = 0; i < COUNT_OF(REFUSED); i++) {
        const struct fmt_gguf_kv *kv = fmt_gguf_find(g, KEY(REFUSED[i].name));
        if (kv && !(f->takes & REFUSED[i].by) &&
            (kv->is_array || !fmt_gguf_num_at(kv, 0, &v) || fabs(v) > 0.0))
            RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                           "%s: key %s changes the numbers and is supported only as 0", g->path,
                           KEY(REFUSED[i].name)));
    }
    bool rotates = true; // Granite's hybrids switch the rotation off by this
    if (f->takes & MD_GGUF_SCALES)
        RT_TRY(fmt_gguf_bool_or(g, KEY("rope.scaling.finetuned"), true, &rotates));
    if (!rotates)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: key %s = false is not supported", g->path,
                       KEY("rope.scaling.finetuned")));
done:
    return err;
}

static enum rt_err read_shape(const struct fmt_gguf *g, const struct md_gguf_family *f,
                              struct md_arch *a)
{
    enum rt_err err = RT_OK;
    const struct fmt_gguf_tensor *embed = fmt_gguf_tensor(g, "token_embd.weight");
    uint32_t value_dim, rope_dim;

    if (!embed)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: tensor token_embd.weight is missing", g->path));
    a->vocab = (uint32_t) u64_min(embed->shape[0], UINT32_MAX);
    RT_TRY(fmt_gguf_u32_or(g, KEY("vocab_size"), a->vocab, &value_dim));
    if (value_dim != a->vocab)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: key %s.vocab_size: expected %u, the rows of "
                       "token_embd.weight, found %u",
                       g->path, f->arch, a->vocab, value_dim));
    RT_TRY(fmt_gguf_u32(g, KEY("embedding_length"), &a->hidden));
    RT_TRY(fmt_gguf_u32(g, KEY("block_count"), &a->layers));
    RT_TRY(fmt_gguf_u32(g, KEY("attention.head_count"), &a->heads));
    RT_TRY(fmt_gguf_u32_or(g, KEY("attention.head_count_kv"), a->heads, &a->kv_heads));
    RT_TRY(fmt_gguf_u32_or(g, KEY("attention.key_length"), a->heads ? a->hidden / a->heads : 0,
                           &a->head_dim));
    RT_TRY(fmt_gguf_u32_or(g, KEY("attention.value_length"), a->head_dim, &value_dim));
    RT_TRY(fmt_gguf_u32_or(g, KEY("rope.dimension_count"), a->head_dim, &rope_dim));
    RT_TRY(fmt_gguf_u32(g, KEY("feed_forward_length"), &a->ffn));
    RT_TRY(fmt_gguf_u32(g, KEY("context_length"), &a->max_positions));
    RT_TRY(md_arch_check(g->path, a));
    a->rot_dim = rope_dim;
    a->attn_scale = (float) (1.0 / sqrt((double) md_gguf_attn_scalar(f, a)));
    const bool part = f->takes & MD_GGUF_LONGROPE && rope_dim >= 2 && rope_dim % 2 == 0 &&
                      rope_dim <= a->head_dim;
    if (value_dim != a->head_dim || !(part || rope_dim == a->head_dim))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: heads of %u with values of %u and rotation of %u: "
                       "only equal sizes are supported",
                       g->path, a->head_dim, value_dim, rope_dim));
done:
    return err;
}

static bool is_text(struct fmt_gguf_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static enum rt_err read_scaling(const struct fmt_gguf *g, const struct md_gguf_family *f,
                                struct md_rope *rope)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str type = {0};
    float factor;

    RT_TRY(fmt_gguf_f32_or(g, KEY("rope.scale_linear"), 0.0f, &factor)); // old files
    if (fmt_gguf_find(g, KEY("rope.scaling.type")))
        RT_TRY(fmt_gguf_text(g, KEY("rope.scaling.type"), &type));
    if (is_text(type, "linear"))
        RT_TRY(fmt_gguf_f32(g, KEY("rope.scaling.factor"), &factor));
    else if (type.len && !is_text(type, "none") &&
             !(is_text(type, "longrope") && f->takes & MD_GGUF_LONGROPE))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: %s.rope.scaling.type \"%.*s\" is not supported; "
                       "known: none, linear",
                       g->path, f->arch, (int) (type.len > 40 ? 40 : type.len), type.data));
    if (!(factor >= 0.0f) || (factor > 0.0f && factor < 1.0f) || !isfinite(factor))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: rope scaling factor: expected a number >= 1, found %g",
                       g->path, (double) factor));
    rope->factor = md_gguf_widen(factor);
    rope->scaling = factor > 1.0f ? MD_ROPE_LINEAR : MD_ROPE_DEFAULT;
done:
    return err;
}

// The parameters behind the divisors of the frequencies. All published Llamas from 3.1 on have 1, 4
// and 8192 (of which another number may be given), and the factor is what the slowest frequency is
// divided by; the divisors that follow from these are compared with those of the file. They were
// computed from f32 frequencies, whose error (2e-6) grows at most by the factor times 4/3 in
// between.
static enum rt_err read_rope_freqs(const struct fmt_gguf *g, const struct md_gguf_family *f,
                                   struct md_arch *a)
{
    enum rt_err err = RT_OK;
    const struct fmt_gguf_tensor *t = fmt_gguf_tensor(g, "rope_freqs.weight");
    const uint32_t n = a->head_dim / 2;
    const struct md_rope plain = a->rope;
    double scaled_freq[128], plain_freq[128];
    float x[128];
    bool same = a->rope.scaling == MD_ROPE_DEFAULT;

    if (!t)
        goto done;
    if (t->rank != 1 || t->count != n)
        RT_TRY(rt_fail(RT_E_SHAPE,
                       "%s: rope_freqs.weight: expected shape (%u), found %llu elements", g->path,
                       n, (unsigned long long) t->count));
    RT_TRY(fmt_gguf_to_f32(t, 0, n, x));
    a->rope.factor = (double) x[n - 1];
    same = same && a->rope.factor >= 1.0 && isfinite(a->rope.factor);
    a->rope.scaling = a->rope.factor > 1.0 ? MD_ROPE_LLAMA3 : MD_ROPE_DEFAULT;
    a->rope.low_freq_factor = 1.0;
    a->rope.high_freq_factor = 4.0;
    RT_TRY(fmt_gguf_u32_or(g, KEY("rope.scaling.original_context_length"), 8192,
                           &a->rope.original_max_positions));
    md_rope_frequencies(&a->rope, a->rot_dim, false, scaled_freq);
    md_rope_frequencies(&plain, a->rot_dim, false, plain_freq);
    for (uint32_t j = 0; j < n; j++)
        same = same && fabs((double) x[j] * scaled_freq[j] / plain_freq[j] - 1.0) < 1e-4;
    if (!same)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: the factors in rope_freqs.weight are not those of "
                       "Llama 3 (low 1, high 4, %u positions)",
                       g->path, a->rope.original_max_positions));
done:
    return err;
}

// Phi-3's factors of the frequencies, up to the original length and beyond it.
static enum rt_err read_longrope(const struct fmt_gguf *g, const struct md_gguf_family *f,
                                 struct md_arch *a)
{
    static const char *const NAMES[] = {MD_GGUF_LONG_FACTORS, MD_GGUF_SHORT_FACTORS};
    enum rt_err err = RT_OK;
    double *const to[] = {a->rope.long_factor, a->rope.short_factor};
    const uint32_t n = a->rot_dim / 2;
    float x[MD_MAX_HEAD_DIM / 2], factor;

    if (!(f->takes & MD_GGUF_LONGROPE) || !fmt_gguf_tensor(g, NAMES[0]))
        goto done;
    for (size_t k = 0; k < COUNT_OF(NAMES); k++) {
        const struct fmt_gguf_tensor *t = fmt_gguf_tensor(g, NAMES[k]);
        if (!t || t->rank != 1 || t->count != n)
            RT_TRY(rt_fail(t ? RT_E_SHAPE : RT_E_NOT_FOUND, "%s: %s: expected shape (%u)", g->path,
                           NAMES[k], n));
        RT_TRY(fmt_gguf_to_f32(t, 0, n, x));
        for (uint32_t j = 0; j < n; j++) {
            if (!(x[j] > 0.0f) || !isfinite(x[j]))
                RT_TRY(rt_fail(RT_E_FORMAT, "%s: %s: expected numbers > 0, found %g", g->path,
                               NAMES[k], (double) x[j]));
            to[k][j] = md_gguf_widen(x[j]);
        }
    }
    a->rope.scaling = MD_ROPE_LONGROPE;
    RT_TRY(fmt_gguf_u32(g, KEY("rope.scaling.original_context_length"),
                        &a->rope.original_max_positions));
    RT_TRY(fmt_gguf_f32_or(g, KEY("rope.scaling.attn_factor"), 1.0f, &factor));
    if (a->rope.original_max_positions < 2 || !(factor > 0.0f) || !isfinite(factor))
        RT_TRY(
            rt_fail(RT_E_FORMAT,
                    "%s: rope.scaling: expected original_context_length > 1 and attn_factor > 0, "
                    "found %u and %g",
                    g->path, a->rope.original_max_positions, (double) factor));
    a->rope.attention_factor = md_gguf_longrope_factor(a);
    if (f32_bits((float) a->rope.attention_factor) != f32_bits(factor))
        a->rope.attention_factor = md_gguf_widen(factor);
done:
    return err;
}

static enum rt_err read_rope(const struct fmt_gguf *g, const struct md_gguf_family *f,
                             struct md_arch *a)
{
    enum rt_err err = RT_OK;
    float theta, local;

    if (a->family->learned_positions)
        goto done;
    RT_TRY(fmt_gguf_f32_or(g, KEY("rope.freq_base"), 10000.0f, &theta));
    RT_TRY(fmt_gguf_f32_or(g, KEY("rope.freq_base_swa"), 10000.0f, &local));
    if (!(theta > 0.0f && local > 0.0f) || !isfinite(theta) || !isfinite(local))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected rope.freq_base > 0, found %g and %g", g->path,
                       (double) theta, (double) local));
    a->rope.theta = md_gguf_widen(theta);
    RT_TRY(read_scaling(g, f, &a->rope));
    if (f->takes & MD_GGUF_LOCAL_ROPE)
        a->local_rope.theta = md_gguf_widen(local);
    RT_TRY(read_rope_freqs(g, f, a));
    RT_TRY(read_longrope(g, f, a));
done:
    return err;
}

// A number that scales something; absent or 0 leaves what is there.
static enum rt_err read_scale(const struct fmt_gguf *g, const struct md_gguf_family *f,
                              const char *name, float *scale)
{
    enum rt_err err = RT_OK;
    float v;

    RT_TRY(fmt_gguf_f32_or(g, KEY(name), 0.0f, &v));
    if (!(v >= 0.0f) || !isfinite(v))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected a number >= 0, found %g", g->path,
                       KEY(name), (double) v));
    if (v > 0.0f)
        *scale = v;
done:
    return err;
}

static enum rt_err read_scales(const struct fmt_gguf *g, const struct md_gguf_family *f,
                               struct md_arch *a)
{
    enum rt_err err = RT_OK;

    if (a->family->embed_sqrt)
        a->embed_scale = sqrtf((float) a->hidden);
    if (f->takes & (MD_GGUF_SCALES | MD_GGUF_LOGIT_SCALE))
        RT_TRY(read_scale(g, f, "logit_scale", &a->logit_scale));
    if (f->takes & MD_GGUF_SCALES) {
        a->logit_scale = (float) (1.0 / md_gguf_widen(a->logit_scale));
        RT_TRY(read_scale(g, f, "attention.scale", &a->attn_scale));
        RT_TRY(read_scale(g, f, "embedding_scale", &a->embed_scale));
        RT_TRY(read_scale(g, f, "residual_scale", &a->residual_scale));
    }
    if (f->takes & MD_GGUF_SOFTCAPS) { // llama.cpp's defaults
        a->attn_softcap = 50.0f;
        a->logit_softcap = 30.0f;
        RT_TRY(read_scale(g, f, "attn_logit_softcapping", &a->attn_softcap));
    }
    if (f->takes & MD_GGUF_LOGIT_CAP)
        RT_TRY(read_scale(g, f, "final_logit_softcapping", &a->logit_softcap));
done:
    return err;
}

// Which layers have the window: as many elements as layers, or every so many-th has not.
static enum rt_err read_layers(const struct fmt_gguf *g, const struct md_gguf_family *f,
                               struct md_arch *a)
{
    const char *key = "attention.sliding_window_pattern";
    enum rt_err err = RT_OK;
    const struct fmt_gguf_kv *kv = f->takes & MD_GGUF_WINDOW ? fmt_gguf_find(g, KEY(key)) : NULL;
    uint32_t step = f->window_step;
    int64_t v;

    if (f->takes & MD_GGUF_WINDOW) // Gemma 2's first files do not have it
        RT_TRY(fmt_gguf_u32_or(g, KEY("attention.sliding_window"),
                               f->takes & MD_GGUF_SOFTCAPS ? a->family->window : 0, &a->window));
    if (kv && !kv->is_array)
        RT_TRY(fmt_gguf_u32(g, KEY(key), &step));
    if (kv && kv->is_array && (kv->count < a->layers || !fmt_gguf_int_at(kv, 0, &v)))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected %u numbers, one a layer", g->path,
                       KEY(key), a->layers));
    for (uint32_t l = 0; l < a->layers; l++) {
        a->layer[l] = md_gguf_layer(f, a->window, step, l);
        if (kv && kv->is_array && fmt_gguf_int_at(kv, l, &v))
            a->layer[l] = md_gguf_layer_bits(f, a->window && v != 0, l);
    }
done:
    return err;
}

// llama.cpp makes the weights of those that a token goes to sum to 1.
static enum rt_err read_experts(const struct fmt_gguf *g, const struct md_gguf_family *f,
                                struct md_arch *a)
{
    enum rt_err err = RT_OK;

    if (!(f->takes & MD_GGUF_EXPERTS))
        goto done;
    RT_TRY(fmt_gguf_u32(g, KEY("expert_count"), &a->experts));
    RT_TRY(fmt_gguf_u32(g, KEY("expert_used_count"), &a->top_k));
    RT_TRY(fmt_gguf_u32_or(g, KEY("expert_feed_forward_length"), a->ffn, &a->expert_ffn));
    a->top_k_norm = true;
    a->router_aux_loss_coef = 0.001;
    if (a->experts == 0 || a->experts > OP_ROUTE_MAX_EXPERTS || a->top_k == 0 ||
        a->top_k > a->experts)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: key %s: expected a number in 1 .. expert_count, that at most %d, found "
                       "%u of %u",
                       g->path, KEY("expert_used_count"), OP_ROUTE_MAX_EXPERTS, a->top_k,
                       a->experts));
    if (a->expert_ffn == 0 || a->expert_ffn > 1u << 20 || a->expert_ffn % 2 != 0)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected an even number up to 2^20, found %u",
                       g->path, KEY("expert_feed_forward_length"), a->expert_ffn));
done:
    return err;
}

static enum rt_err read_numbers(const struct fmt_gguf *g, const struct md_gguf_family *f,
                                struct md_arch *a)
{
    const char *key = md_gguf_eps_key(a);
    enum rt_err err = RT_OK;
    float eps;

    RT_TRY(fmt_gguf_f32(g, KEY(key), &eps));
    if (!(eps >= 0.0f) || !isfinite(eps))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected a number >= 0, found %g", g->path,
                       KEY(key), (double) eps));
    a->norm_eps = eps;
    RT_REQUIRE(md_act_find(a->family->act, &a->act), RT_E_ARG);
    RT_TRY(read_scales(g, f, a));
    RT_TRY(read_rope(g, f, a));
    RT_TRY(read_experts(g, f, a));
    RT_TRY(read_layers(g, f, a));
done:
    return err;
}

static enum rt_err read_token(const struct fmt_gguf *g, const char *key, uint32_t vocab,
                              int32_t *out)
{
    enum rt_err err = RT_OK;
    uint32_t id;

    *out = -1;
    if (!fmt_gguf_find(g, key))
        goto done;
    RT_TRY(fmt_gguf_u32(g, key, &id));
    if (id >= vocab)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected an id below %u, found %u", g->path, key,
                       vocab, id));
    *out = (int32_t) id;
done:
    return err;
}

static enum rt_err read_tokens(const struct fmt_gguf *g, struct md_arch *a)
{
    static const char *const ENDS[] = {
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id",
    };
    enum rt_err err = RT_OK;
    int32_t id;

    RT_TRY(read_token(g, "tokenizer.ggml.bos_token_id", a->vocab, &a->bos));
    RT_TRY(read_token(g, "tokenizer.ggml.padding_token_id", a->vocab, &a->pad));
    for (size_t i = 0; i < COUNT_OF(ENDS); i++) {
        bool known = false;
        RT_TRY(read_token(g, ENDS[i], a->vocab, &id));
        for (uint32_t k = 0; k < a->n_eos; k++)
            known = known || a->eos[k] == id;
        if (id >= 0 && !known)
            a->eos[a->n_eos++] = id;
    }
done:
    return err;
}

// Biases are there or not, whatever the metadata say.
static enum rt_err read_biases(const struct fmt_gguf *g, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    const bool qkv = fmt_gguf_tensor(g, "blk.0.attn_q.bias"),
               o = fmt_gguf_tensor(g, "blk.0.attn_output.bias");

    if (a->family->reads_mlp_bias)
        a->mlp_bias = fmt_gguf_tensor(g, "blk.0.ffn_up.bias");
    if (!a->family->reads_attention_bias)
        goto done;
    if (qkv != o)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: a bias of blk.0.attn_%s and none of blk.0.attn_%s: config.json has no "
                       "word for it",
                       g->path, qkv ? "q" : "output", qkv ? "output" : "q"));
    a->qkv_bias = a->o_bias = qkv;
done:
    return err;
}

enum rt_err md_gguf_arch(const struct fmt_gguf *g, struct md_arch *out)
{
    enum rt_err err = RT_OK;
    const struct md_gguf_family *f;
    struct md_arch a;

    *out = (struct md_arch){0};
    RT_TRY(md_gguf_family_find(g, &f));
    RT_TRY(check_keys(g, f));
    RT_TRY(md_arch_init(g->path, f->model_type, &a));
    RT_TRY(read_shape(g, f, &a));
    RT_TRY(read_numbers(g, f, &a));
    RT_TRY(read_biases(g, &a));
    RT_TRY(read_tokens(g, &a));
    a.tied = !fmt_gguf_tensor(g, "output.weight");
    *out = a;
done:
    return err;
}

enum rt_err md_gguf_arch_read(const char *path, struct md_arch *out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf g = {0};
    struct md_arch a;

    *out = (struct md_arch){0};
    RT_TRY(fmt_gguf_open(path, &g));
    RT_TRY(md_gguf_arch(&g, &a));
    RT_TRY(md_gguf_check_weights(&g, &a));
    *out = a;
done:
    fmt_gguf_close(&g);
    return err;
}
