// struct md_arch -> config.json and generation_config.json.
#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/format/json.h"
#include "src/model/family.h"
#include "src/model/gguf.h"
#include "src/model/gguf_names.h"

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

// In the spelling of transformers 4, whose Phi-3 has three keys here, and no more.
static void put_scaling(struct fmt_jw *w, const struct md_arch *a)
{
    static const char *const NAMES[] = {[MD_ROPE_LINEAR] = "linear", [MD_ROPE_LLAMA3] = "llama3"};
    const struct md_rope *r = &a->rope;
    const double usual = md_gguf_longrope_factor(a);

    fmt_jw_key(w, "rope_scaling");
    if (r->scaling == MD_ROPE_DEFAULT) {
        fmt_jw_null(w);
        return;
    }
    fmt_jw_object(w);
    if (r->scaling == MD_ROPE_LONGROPE) {
        if (r->attention_factor < usual || r->attention_factor > usual)
            fmt_jw_put_num(w, "attention_factor", r->attention_factor);
        fmt_jw_put_nums(w, "long_factor", r->long_factor, a->rot_dim / 2);
        fmt_jw_put_nums(w, "short_factor", r->short_factor, a->rot_dim / 2);
        fmt_jw_put_str(w, "type", "longrope");
        fmt_jw_end(w);
        return;
    }
    fmt_jw_put_num(w, "factor", r->factor);
    if (r->scaling == MD_ROPE_LLAMA3) {
        fmt_jw_put_num(w, "high_freq_factor", r->high_freq_factor);
        fmt_jw_put_num(w, "low_freq_factor", r->low_freq_factor);
        fmt_jw_put_int(w, "original_max_position_embeddings", r->original_max_positions);
    }
    fmt_jw_put_str(w, "rope_type", NAMES[r->scaling]);
    fmt_jw_end(w);
}

static void put_rope(struct fmt_jw *w, const struct md_arch *a)
{
    if (a->rope.scaling == MD_ROPE_LONGROPE)
        fmt_jw_put_int(w, "original_max_position_embeddings", a->rope.original_max_positions);
    if (a->rot_dim != a->head_dim)
        fmt_jw_put_num(w, "partial_rotary_factor", (double) a->rot_dim / a->head_dim);
    put_scaling(w, a);
    fmt_jw_put_num(w, "rope_theta", a->rope.theta);
    if (a->local_rope.theta > 0.0)
        fmt_jw_put_num(w, "rope_local_base_freq", a->local_rope.theta);
}

// GPT-2 has names of its own.
static void put_sizes(struct fmt_jw *w, const struct md_arch *a)
{
    const bool gpt2 = a->family->learned_positions;

    fmt_jw_put_int(w, gpt2 ? "n_embd" : "hidden_size", a->hidden);
    fmt_jw_put_int(w, gpt2 ? "n_inner" : "intermediate_size", a->ffn);
    fmt_jw_put_int(w, gpt2 ? "n_positions" : "max_position_embeddings", a->max_positions);
    fmt_jw_put_int(w, gpt2 ? "n_head" : "num_attention_heads", a->heads);
    fmt_jw_put_int(w, gpt2 ? "n_layer" : "num_hidden_layers", a->layers);
    fmt_jw_put_int(w, "vocab_size", a->vocab);
    if (gpt2)
        return;
    fmt_jw_put_int(w, "head_dim", a->head_dim);
    fmt_jw_put_int(w, "num_key_value_heads", a->kv_heads);
}

static void put_window(struct fmt_jw *w, const struct md_arch *a)
{
    fmt_jw_key(w, "sliding_window");
    if (a->window)
        fmt_jw_int(w, a->window);
    else
        fmt_jw_null(w);
    if (a->family->window == 0) // every layer has it, or none
        return;
    fmt_jw_key(w, "layer_types");
    fmt_jw_array(w);
    for (uint32_t l = 0; l < a->layers; l++)
        fmt_jw_str(w, a->layer[l] & MD_LAYER_WINDOW ? "sliding_attention" : "full_attention");
    fmt_jw_end(w);
}

static void put_caps(struct fmt_jw *w, const struct md_arch *a)
{
    const struct {
        const char *key;
        float value;
    } ROWS[] = {{"attn_logit_softcapping", a->attn_softcap},
                {"final_logit_softcapping", a->logit_softcap}};
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        fmt_jw_key(w, ROWS[i].key);
        if (ROWS[i].value > 0.0f)
            fmt_jw_num(w, md_gguf_widen(ROWS[i].value));
        else
            fmt_jw_null(w);
    }
    fmt_jw_put_int(w, "query_pre_attn_scalar",
                   (int64_t) lround(1.0 / ((double) a->attn_scale * (double) a->attn_scale)));
}

// In the names of Mixtral, or of Qwen.
static void put_experts(struct fmt_jw *w, const struct md_arch *a)
{
    const bool qwen = a->family->qk_norm != MD_QK_NORM_NONE;

    fmt_jw_put_int(w, qwen ? "num_experts" : "num_local_experts", a->experts);
    fmt_jw_put_int(w, "num_experts_per_tok", a->top_k);
    if (!qwen)
        return;
    fmt_jw_put_int(w, "decoder_sparse_step", 1);
    fmt_jw_put_int(w, "moe_intermediate_size", a->expert_ffn);
    fmt_jw_put_bool(w, "norm_topk_prob", a->top_k_norm);
}

// What only some families have.
static void put_extras(struct fmt_jw *w, const struct md_arch *a, const struct md_gguf_family *f)
{
    if (f->takes & MD_GGUF_WINDOW)
        put_window(w, a);
    if (f->takes & MD_GGUF_LOGIT_CAP)
        put_caps(w, a);
    if (f->takes & MD_GGUF_LOGIT_SCALE)
        fmt_jw_put_num(w, "logit_scale", md_gguf_widen(a->logit_scale));
    if (f->takes & MD_GGUF_EXPERTS)
        put_experts(w, a);
    if (!(f->takes & MD_GGUF_SCALES))
        return;
    fmt_jw_put_num(w, "attention_multiplier", md_gguf_widen(a->attn_scale));
    fmt_jw_put_num(w, "embedding_multiplier", md_gguf_widen(a->embed_scale));
    fmt_jw_put_num(w, "logits_scaling", md_gguf_inverse(a->logit_scale));
    fmt_jw_put_num(w, "residual_multiplier", md_gguf_widen(a->residual_scale));
}

enum rt_err md_gguf_config(const struct md_arch *a, enum fmt_dtype dtype, struct str *out)
{
    enum rt_err err = RT_OK;
    struct fmt_jw w = {.out = out, .indent = 2};
    const struct md_gguf_family *f;

    RT_TRY(md_gguf_family_of("config.json", a, &f));
    fmt_jw_object(&w);
    fmt_jw_key(&w, "architectures");
    fmt_jw_array(&w);
    fmt_jw_str(&w, a->family->architecture);
    fmt_jw_end(&w);
    fmt_jw_put_str(&w, "model_type", a->model_type);
    put_sizes(&w, a);
    fmt_jw_put_str(&w, a->family->act_key, a->family->act);
    fmt_jw_put_num(&w, a->family->eps_key, md_gguf_widen(a->norm_eps));
    if (a->family->reads_attention_bias)
        fmt_jw_put_bool(&w, "attention_bias", a->qkv_bias);
    if (a->family->reads_mlp_bias)
        fmt_jw_put_bool(&w, "mlp_bias", a->mlp_bias);
    if (!a->family->learned_positions)
        put_rope(&w, a);
    put_extras(&w, a, f);
    put_token(&w, "bos_token_id", &a->bos, a->bos >= 0);
    put_token(&w, "eos_token_id", a->eos, a->n_eos);
    put_token(&w, "pad_token_id", &a->pad, a->pad >= 0);
    fmt_jw_put_num(&w, a->family->learned_positions ? "attn_pdrop" : "attention_dropout", 0.0);
    fmt_jw_put_num(&w, "initializer_range", 0.02);
    fmt_jw_put_bool(&w, "tie_word_embeddings", a->tied);
    fmt_jw_put_str(&w, "torch_dtype",
                   dtype == FMT_F16    ? "float16"
                   : dtype == FMT_BF16 ? "bfloat16"
                                       : "float32");
    fmt_jw_put_bool(&w, "use_cache", true);
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
done:
    return err;
}

enum rt_err md_gguf_generation_config(const struct md_arch *a, struct str *out)
{
    struct fmt_jw w = {.out = out, .indent = 2};

    fmt_jw_object(&w);
    fmt_jw_put_bool(&w, "_from_model_config", true);
    put_token(&w, "bos_token_id", &a->bos, a->bos >= 0);
    put_token(&w, "eos_token_id", a->eos, a->n_eos);
    put_token(&w, "pad_token_id", &a->pad, a->pad >= 0);
    fmt_jw_end(&w);
    return fmt_jw_done(&w);
}
