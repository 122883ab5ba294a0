// The description: GGUF metadata -> struct md_arch -> config.json.
#include "src/model/gguf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/half.h"
#include "src/format/json.h"

// Keys that would change what is computed; supported when absent or 0.
static const char *const REFUSED[] = {
    "llama.expert_count",
    "llama.expert_used_count",
    "llama.attention.scale",
    "llama.attention.sliding_window",
    "llama.attention.clamp_kqv",
    "llama.attention.max_alibi_bias",
    "llama.logit_scale",
    "llama.residual_scale",
    "llama.embedding_scale",
    "llama.use_parallel_residual",
    "llama.attn_logit_softcapping",
    "llama.final_logit_softcapping",
};

// The value that was meant: the shortest decimal that reads back as the same float.
static double widen(float f)
{
    char buf[32];
    for (int digits = 1; digits <= 9 && isfinite(f); digits++) { // 9 always read back
        snprintf(buf, sizeof(buf), "%.*e", digits - 1, (double) f);
        if (f32_bits(strtof(buf, NULL)) == f32_bits(f))
            return strtod(buf, NULL);
    }
    return (double) f;
}

static enum rt_err check_kind(const struct fmt_gguf *g)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str s;
    double v;

    RT_TRY(fmt_gguf_text(g, "general.architecture", &s));
    if (s.len != 5 || memcmp(s.data, "llama", 5) != 0)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: general.architecture \"%.*s\" is not supported; known: llama", g->path,
                       (int) (s.len > 40 ? 40 : s.len), s.data));
    for (size_t i = 0; i < COUNT_OF(REFUSED); i++) {
        const struct fmt_gguf_kv *kv = fmt_gguf_find(g, REFUSED[i]);
        if (kv && (kv->is_array || !fmt_gguf_num_at(kv, 0, &v) || fabs(v) > 0.0))
            RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                           "%s: key %s changes the numbers and is supported only as 0", g->path,
                           REFUSED[i]));
    }
done:
    return err;
}

static enum rt_err read_shape(const struct fmt_gguf *g, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    const struct fmt_gguf_tensor *embed = fmt_gguf_tensor(g, "token_embd.weight");
    uint32_t value_dim, rope_dim;

    if (!embed)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: tensor token_embd.weight is missing", g->path));
    a->vocab = (uint32_t) u64_min(embed->shape[0], UINT32_MAX);
    RT_TRY(fmt_gguf_u32_or(g, "llama.vocab_size", a->vocab, &value_dim));
    if (value_dim != a->vocab)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: key llama.vocab_size: expected %u, the rows of "
                       "token_embd.weight, found %u",
                       g->path, a->vocab, value_dim));
    RT_TRY(fmt_gguf_u32(g, "llama.embedding_length", &a->hidden));
    RT_TRY(fmt_gguf_u32(g, "llama.block_count", &a->layers));
    RT_TRY(fmt_gguf_u32(g, "llama.attention.head_count", &a->heads));
    RT_TRY(fmt_gguf_u32_or(g, "llama.attention.head_count_kv", a->heads, &a->kv_heads));
    RT_TRY(fmt_gguf_u32_or(g, "llama.attention.key_length", a->heads ? a->hidden / a->heads : 0,
                           &a->head_dim));
    RT_TRY(fmt_gguf_u32_or(g, "llama.attention.value_length", a->head_dim, &value_dim));
    RT_TRY(fmt_gguf_u32_or(g, "llama.rope.dimension_count", a->head_dim, &rope_dim));
    RT_TRY(fmt_gguf_u32(g, "llama.feed_forward_length", &a->ffn));
    RT_TRY(fmt_gguf_u32(g, "llama.context_length", &a->max_positions));
    RT_TRY(md_arch_check(g->path, a));
    a->rot_dim = a->head_dim;
    a->attn_scale = (float) (1.0 / sqrt((double) a->head_dim));
    if (value_dim != a->head_dim || rope_dim != a->head_dim)
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

static enum rt_err read_scaling(const struct fmt_gguf *g, struct md_rope *rope)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str type = {0};
    float factor;

    RT_TRY(fmt_gguf_f32_or(g, "llama.rope.scale_linear", 0.0f, &factor)); // old files
    if (fmt_gguf_find(g, "llama.rope.scaling.type"))
        RT_TRY(fmt_gguf_text(g, "llama.rope.scaling.type", &type));
    if (is_text(type, "linear"))
        RT_TRY(fmt_gguf_f32(g, "llama.rope.scaling.factor", &factor));
    else if (type.len && !is_text(type, "none"))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: llama.rope.scaling.type \"%.*s\" is not supported; "
                       "known: none, linear",
                       g->path, (int) (type.len > 40 ? 40 : type.len), type.data));
    if (!(factor >= 0.0f) || (factor > 0.0f && factor < 1.0f) || !isfinite(factor))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: rope scaling factor: expected a number >= 1, found %g",
                       g->path, (double) factor));
    rope->factor = widen(factor);
    rope->scaling = factor > 1.0f ? MD_ROPE_LINEAR : MD_ROPE_DEFAULT;
done:
    return err;
}

// The parameters behind the divisors of the frequencies. All published Llamas from 3.1 on have 1, 4
// and 8192, and the factor is what the slowest frequency is divided by; the divisors that follow
// from these are compared with those of the file. They were computed from f32 frequencies, whose
// error (2e-6) grows at most by the factor times 4/3 in between.
static enum rt_err read_rope_freqs(const struct fmt_gguf *g, struct md_arch *a)
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
    a->rope.original_max_positions = 8192;
    md_rope_frequencies(&a->rope, a->rot_dim, false, scaled_freq);
    md_rope_frequencies(&plain, a->rot_dim, false, plain_freq);
    for (uint32_t j = 0; j < n; j++)
        same = same && fabs((double) x[j] * scaled_freq[j] / plain_freq[j] - 1.0) < 1e-4;
    if (!same)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: the factors in rope_freqs.weight are not those of "
                       "Llama 3 (low 1, high 4, 8192 positions)",
                       g->path));
done:
    return err;
}

static enum rt_err read_numbers(const struct fmt_gguf *g, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    float eps, theta;

    RT_TRY(fmt_gguf_f32(g, "llama.attention.layer_norm_rms_epsilon", &eps));
    RT_TRY(fmt_gguf_f32_or(g, "llama.rope.freq_base", 10000.0f, &theta));
    if (!(eps >= 0.0f) || !isfinite(eps) || !(theta > 0.0f) || !isfinite(theta))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: expected layer_norm_rms_epsilon >= 0 and "
                       "rope.freq_base > 0, found %g and %g",
                       g->path, (double) eps, (double) theta));
    a->norm_eps = eps;
    a->rope.theta = widen(theta);
    RT_TRY(read_scaling(g, &a->rope));
    RT_TRY(read_rope_freqs(g, a));
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

enum rt_err md_gguf_arch(const struct fmt_gguf *g, struct md_arch *out)
{
    enum rt_err err = RT_OK;
    struct md_arch a;

    *out = (struct md_arch){0};
    RT_TRY(check_kind(g));
    RT_TRY(md_arch_init(g->path, "llama", &a));
    RT_TRY(read_shape(g, &a));
    RT_TRY(read_numbers(g, &a));
    RT_TRY(read_tokens(g, &a));
    a.tied = !fmt_gguf_tensor(g, "output.weight");
    *out = a;
done:
    return err;
}

// ---- writing ----

static void put_int(struct fmt_jw *w, const char *key, int64_t v)
{
    fmt_jw_key(w, key);
    fmt_jw_int(w, v);
}

static void put_num(struct fmt_jw *w, const char *key, double v)
{
    fmt_jw_key(w, key);
    fmt_jw_num(w, v);
}

static void put_bool(struct fmt_jw *w, const char *key, bool v)
{
    fmt_jw_key(w, key);
    fmt_jw_bool(w, v);
}

static void put_str(struct fmt_jw *w, const char *key, const char *v)
{
    fmt_jw_key(w, key);
    fmt_jw_str(w, v);
}

// null where there is none: transformers would otherwise take 1 and 2.
static void put_token(struct fmt_jw *w, const char *key, const int32_t *ids, uint32_t n)
{
    fmt_jw_key(w, key);
    if (n > 1)
        fmt_jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        fmt_jw_int(w, ids[i]);
    if (n > 1)
        fmt_jw_end(w);
    if (n == 0)
        fmt_jw_null(w);
}

static void put_scaling(struct fmt_jw *w, const struct md_rope *r)
{
    fmt_jw_key(w, "rope_scaling");
    if (r->scaling == MD_ROPE_DEFAULT) {
        fmt_jw_null(w);
        return;
    }
    fmt_jw_object(w);
    put_num(w, "factor", r->factor);
    if (r->scaling == MD_ROPE_LLAMA3) {
        put_num(w, "high_freq_factor", r->high_freq_factor);
        put_num(w, "low_freq_factor", r->low_freq_factor);
        put_int(w, "original_max_position_embeddings", r->original_max_positions);
    }
    put_str(w, "rope_type", r->scaling == MD_ROPE_LLAMA3 ? "llama3" : "linear");
    fmt_jw_end(w);
}

enum rt_err md_gguf_config(const struct md_arch *a, enum fmt_dtype dtype, struct str *out)
{
    struct fmt_jw w = {.out = out, .indent = 2};

    fmt_jw_object(&w);
    fmt_jw_key(&w, "architectures");
    fmt_jw_array(&w);
    fmt_jw_str(&w, "LlamaForCausalLM");
    fmt_jw_end(&w);
    put_bool(&w, "attention_bias", false);
    put_num(&w, "attention_dropout", 0.0);
    put_token(&w, "bos_token_id", &a->bos, a->bos >= 0);
    put_token(&w, "eos_token_id", a->eos, a->n_eos);
    put_int(&w, "head_dim", a->head_dim);
    put_str(&w, "hidden_act", "silu");
    put_int(&w, "hidden_size", a->hidden);
    put_num(&w, "initializer_range", 0.02);
    put_int(&w, "intermediate_size", a->ffn);
    put_int(&w, "max_position_embeddings", a->max_positions);
    put_bool(&w, "mlp_bias", false);
    put_str(&w, "model_type", a->model_type);
    put_int(&w, "num_attention_heads", a->heads);
    put_int(&w, "num_hidden_layers", a->layers);
    put_int(&w, "num_key_value_heads", a->kv_heads);
    put_token(&w, "pad_token_id", &a->pad, a->pad >= 0);
    put_int(&w, "pretraining_tp", 1);
    put_num(&w, "rms_norm_eps", widen(a->norm_eps));
    put_scaling(&w, &a->rope);
    put_num(&w, "rope_theta", a->rope.theta);
    put_bool(&w, "tie_word_embeddings", a->tied);
    put_str(&w, "torch_dtype",
            dtype == FMT_F16    ? "float16"
            : dtype == FMT_BF16 ? "bfloat16"
                                : "float32");
    put_bool(&w, "use_cache", true);
    put_int(&w, "vocab_size", a->vocab);
    fmt_jw_end(&w);
    return fmt_jw_done(&w);
}

enum rt_err md_gguf_generation_config(const struct md_arch *a, struct str *out)
{
    struct fmt_jw w = {.out = out, .indent = 2};

    fmt_jw_object(&w);
    put_bool(&w, "_from_model_config", true);
    put_token(&w, "bos_token_id", &a->bos, a->bos >= 0);
    put_token(&w, "eos_token_id", a->eos, a->n_eos);
    put_token(&w, "pad_token_id", &a->pad, a->pad >= 0);
    fmt_jw_end(&w);
    return fmt_jw_done(&w);
}
