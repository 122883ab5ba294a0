// struct md_arch -> config.json and generation_config.json.
#include <stdlib.h>

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

static void put_scaling(struct fmt_jw *w, const struct md_rope *r)
{
    fmt_jw_key(w, "rope_scaling");
    if (r->scaling == MD_ROPE_DEFAULT) {
        fmt_jw_null(w);
        return;
    }
    fmt_jw_object(w);
    fmt_jw_put_num(w, "factor", r->factor);
    if (r->scaling == MD_ROPE_LLAMA3) {
        fmt_jw_put_num(w, "high_freq_factor", r->high_freq_factor);
        fmt_jw_put_num(w, "low_freq_factor", r->low_freq_factor);
        fmt_jw_put_int(w, "original_max_position_embeddings", r->original_max_positions);
    }
    fmt_jw_put_str(w, "rope_type", r->scaling == MD_ROPE_LLAMA3 ? "llama3" : "linear");
    fmt_jw_end(w);
}

enum rt_err md_gguf_config(const struct md_arch *a, enum fmt_dtype dtype, struct str *out)
{
    struct fmt_jw w = {.out = out, .indent = 2};

    fmt_jw_object(&w);
    fmt_jw_key(&w, "architectures");
    fmt_jw_array(&w);
    fmt_jw_str(&w, a->family->architecture);
    fmt_jw_end(&w);
    if (a->family->reads_attention_bias)
        fmt_jw_put_bool(&w, "attention_bias", a->qkv_bias);
    fmt_jw_put_num(&w, "attention_dropout", 0.0);
    put_token(&w, "bos_token_id", &a->bos, a->bos >= 0);
    put_token(&w, "eos_token_id", a->eos, a->n_eos);
    fmt_jw_put_int(&w, "head_dim", a->head_dim);
    fmt_jw_put_str(&w, "hidden_act", "silu");
    fmt_jw_put_int(&w, "hidden_size", a->hidden);
    fmt_jw_put_num(&w, "initializer_range", 0.02);
    fmt_jw_put_int(&w, "intermediate_size", a->ffn);
    fmt_jw_put_int(&w, "max_position_embeddings", a->max_positions);
    if (a->family->reads_mlp_bias)
        fmt_jw_put_bool(&w, "mlp_bias", a->mlp_bias);
    fmt_jw_put_str(&w, "model_type", a->model_type);
    fmt_jw_put_int(&w, "num_attention_heads", a->heads);
    fmt_jw_put_int(&w, "num_hidden_layers", a->layers);
    fmt_jw_put_int(&w, "num_key_value_heads", a->kv_heads);
    put_token(&w, "pad_token_id", &a->pad, a->pad >= 0);
    fmt_jw_put_int(&w, "pretraining_tp", 1);
    fmt_jw_put_num(&w, "rms_norm_eps", md_gguf_widen(a->norm_eps));
    put_scaling(&w, &a->rope);
    fmt_jw_put_num(&w, "rope_theta", a->rope.theta);
    fmt_jw_put_bool(&w, "tie_word_embeddings", a->tied);
    fmt_jw_put_str(&w, "torch_dtype",
                   dtype == FMT_F16    ? "float16"
                   : dtype == FMT_BF16 ? "bfloat16"
                                       : "float32");
    fmt_jw_put_bool(&w, "use_cache", true);
    fmt_jw_put_int(&w, "vocab_size", a->vocab);
    fmt_jw_end(&w);
    return fmt_jw_done(&w);
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
