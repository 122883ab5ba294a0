#include "src/model/arch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/model/family.h"
#include "src/model/gguf.h"
#include "src/model/rope.h"

// A key of config.json that is no part of the description.
enum key_rule {
    KEY_READ,  // read below
    KEY_INERT, // does not change what is computed
    KEY_FALSE, // supported when absent, null or false
    KEY_TRUE,  // ... or true
    KEY_ZERO,  // ... or 0
    KEY_ABSENT // supported when absent or null
};

static const struct {
    const char *name;
    enum key_rule rule;
} KEYS[] = {
    {"model_type", KEY_READ},
    {"vocab_size", KEY_READ},
    {"hidden_size", KEY_READ},
    {"num_hidden_layers", KEY_READ},
    {"num_attention_heads", KEY_READ},
    {"num_key_value_heads", KEY_READ},
    {"head_dim", KEY_READ},
    {"intermediate_size", KEY_READ},
    {"max_position_embeddings", KEY_READ},
    {"rms_norm_eps", KEY_READ},
    {"rope_theta", KEY_READ},
    {"rope_scaling", KEY_READ},
    {"rope_parameters", KEY_READ},
    {"tie_word_embeddings", KEY_READ},
    {"bos_token_id", KEY_READ},
    {"eos_token_id", KEY_READ},
    {"pad_token_id", KEY_READ},
    {"hidden_act", KEY_READ},
    {"attention_bias", KEY_READ},
    {"mlp_bias", KEY_READ},
    {"partial_rotary_factor", KEY_READ},
    {"sliding_window", KEY_READ},
    {"layer_types", KEY_READ},
    {"use_sliding_window", KEY_READ},
    {"max_window_layers", KEY_READ},
    {"original_max_position_embeddings", KEY_READ},
    {"hidden_activation", KEY_READ},
    {"query_pre_attn_scalar", KEY_READ},
    {"attn_logit_softcapping", KEY_READ},
    {"final_logit_softcapping", KEY_READ},
    {"rope_local_base_freq", KEY_READ},
    {"sliding_window_pattern", KEY_READ},
    {"_sliding_window_pattern", KEY_READ},
    {"no_rope_layers", KEY_READ},
    {"no_rope_layer_interval", KEY_READ},
    {"embedding_multiplier", KEY_READ},
    {"attention_multiplier", KEY_READ},
    {"residual_multiplier", KEY_READ},
    {"logits_scaling", KEY_READ},
    {"n_embd", KEY_READ},
    {"n_layer", KEY_READ},
    {"n_head", KEY_READ},
    {"n_inner", KEY_READ},
    {"n_positions", KEY_READ},
    {"activation_function", KEY_READ},
    {"layer_norm_epsilon", KEY_READ},
    {"layer_norm_eps", KEY_READ},
    {"logit_scale", KEY_READ},
    {"num_local_experts", KEY_READ},
    {"num_experts", KEY_READ},
    {"num_experts_per_tok", KEY_READ},
    {"moe_intermediate_size", KEY_READ},
    {"norm_topk_prob", KEY_READ},
    {"decoder_sparse_step", KEY_READ},
    {"mlp_only_layers", KEY_READ},
    {"router_aux_loss_coef", KEY_READ},
    {"output_router_logits", KEY_INERT}, // what the loss needs is asked for by its coefficient
    {"router_jitter_noise", KEY_ZERO},
    {"architectures", KEY_INERT},
    {"dtype", KEY_INERT},
    {"torch_dtype", KEY_INERT},
    {"initializer_range", KEY_INERT},
    {"use_cache", KEY_INERT},
    {"transformers_version", KEY_INERT},
    {"_name_or_path", KEY_INERT},
    {"is_llama_config", KEY_INERT},
    {"transformers.js_config", KEY_INERT},
    {"unsloth_version", KEY_INERT},
    {"_attn_implementation_autoset", KEY_INERT},
    {"attn_implementation", KEY_INERT},
    {"auto_map", KEY_INERT},
    {"cache_implementation", KEY_INERT},
    {"n_ctx", KEY_INERT},
    {"task_specific_params", KEY_INERT},
    {"summary_activation", KEY_INERT},
    {"summary_first_dropout", KEY_INERT},
    {"summary_proj_to_labels", KEY_INERT},
    {"summary_type", KEY_INERT},
    {"summary_use_proj", KEY_INERT},
    {"pretraining_tp", KEY_INERT},
    {"model_max_length", KEY_INERT},
    {"layer_switch", KEY_INERT}, // Cohere's own; transformers does not read these either
    {"order_of_interleaved_layers", KEY_INERT},
    {"position_embedding_type", KEY_INERT},
    {"rotary_pct", KEY_INERT},
    {"use_embedding_sharing", KEY_INERT},
    {"use_gated_activation", KEY_INERT},
    {"use_parallel_block", KEY_INERT},
    {"use_parallel_embedding", KEY_INERT},
    {"attention_dropout", KEY_INERT}, // dropout is off in training, as TRL turns it off
    {"attn_pdrop", KEY_INERT},        // dropout is off in training, as TRL turns it off
    {"embd_pdrop", KEY_INERT},        // dropout is off in training, as TRL turns it off
    {"resid_pdrop", KEY_INERT},       // dropout is off in training, as TRL turns it off
    {"rope_interleaved", KEY_FALSE},
    {"scale_attn_by_inverse_layer_idx", KEY_FALSE},
    {"reorder_and_upcast_attn", KEY_FALSE},
    {"add_cross_attention", KEY_FALSE},
    {"use_qk_norm", KEY_FALSE}, // of Command R+
    {"use_bidirectional_attention", KEY_FALSE},
    {"scale_attn_weights", KEY_TRUE},
    {"quantization_config", KEY_ABSENT},
};

static bool key_supported(enum key_rule rule, const cJSON *v)
{
    if (rule <= KEY_INERT || cJSON_IsNull(v))
        return true;
    if (rule == KEY_FALSE)
        return cJSON_IsFalse(v);
    if (rule == KEY_TRUE)
        return cJSON_IsTrue(v);
    if (rule == KEY_ZERO)
        return cJSON_IsNumber(v) && !(fabs(v->valuedouble) > 0.0);
    return false;
}

// Every key is known and harmless, or the model is refused; unknown keys are named in one warning.
static enum rt_err check_keys(const struct fmt_json *j)
{
    enum rt_err err = RT_OK;
    struct str unknown = {0};
    const cJSON *v;

    cJSON_ArrayForEach(v, j->node)
    {
        size_t i = 0;
        while (i < COUNT_OF(KEYS) && strcmp(KEYS[i].name, v->string) != 0)
            i++;
        if (i == COUNT_OF(KEYS)) {
            RT_TRY(str_printf(&unknown, "%s%s", unknown.len ? ", " : "", v->string));
        } else if (!key_supported(KEYS[i].rule, v)) {
            char *text = cJSON_PrintUnformatted(v);
            err =
                rt_fail(RT_E_UNSUPPORTED, "%s: %s = %.80s changes the numbers and is not supported",
                        j->where, v->string, text ? text : "?");
            cJSON_free(text);
            goto done;
        }
    }
    if (unknown.len)
        log_warn("%s: unknown keys are ignored: %s", j->where, unknown.data);
done:
    str_free(&unknown);
    return err;
}

static enum rt_err read_rope(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    struct fmt_json sub, both;
    uint32_t original;
    double theta;

    RT_TRY(fmt_json_num_or(j, "rope_theta", a->family->theta, &theta)); // transformers 4
    RT_TRY(fmt_json_u32_or(j, "original_max_position_embeddings", a->max_positions, &original));
    RT_TRY(fmt_json_object_or_null(j, "rope_parameters", &sub)); // transformers 5
    if (sub.node) {
        RT_TRY(fmt_json_object_or_null(&sub, "full_attention", &both));
        sub = both.node ? both : sub; // Gemma 3 has a set by kind of layer
    } else {
        RT_TRY(fmt_json_object_or_null(j, "rope_scaling", &sub));
    }
    if (a->family->learned_positions)
        goto done;
    RT_TRY(md_rope_read(&sub, a, original, theta, &a->rope));
done:
    return err;
}

// The share of a head that is rotated: of the whole in transformers 4, of a set in 5.
static enum rt_err read_rot_dim(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    struct fmt_json sub;
    double share;

    RT_TRY(fmt_json_num_or(j, "partial_rotary_factor", 1.0, &share));
    RT_TRY(fmt_json_object_or_null(j, "rope_parameters", &sub));
    if (sub.node)
        RT_TRY(fmt_json_num_or(&sub, "partial_rotary_factor", share, &share));
    a->rot_dim = share > 0.0 && share <= 1.0 ? (uint32_t) (a->head_dim * share) : 0;
    if (a->rot_dim < 2 || a->rot_dim % 2 != 0)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: partial_rotary_factor %g of heads of %u: expected an even number of "
                       "elements",
                       j->where, share, a->head_dim));
done:
    return err;
}

static enum rt_err read_token(const struct fmt_json *j, const char *key, int32_t *out)
{
    int64_t v;
    const enum rt_err err = fmt_json_int_or(j, key, -1, &v);
    *out = v >= 0 && v <= INT32_MAX ? (int32_t) v : -1;
    return err;
}

static enum rt_err read_eos(const struct fmt_json *j, struct md_arch *out)
{
    enum rt_err err = RT_OK;
    const cJSON *v = fmt_json_get(j, "eos_token_id"), *item;

    if (!cJSON_IsArray(v)) {
        RT_TRY(read_token(j, "eos_token_id", &out->eos[0]));
        out->n_eos = out->eos[0] >= 0;
        goto done;
    }
    cJSON_ArrayForEach(item, v) if (cJSON_IsNumber(item) && item->valuedouble >= 0 &&
                                    out->n_eos < COUNT_OF(out->eos)) out->eos[out->n_eos++] =
        item->valueint;
done:
    return err;
}

// Keys of the sizes, where a family has its own.
static const char *size_key(const struct md_arch *a, const char *key)
{
    static const char *const GPT2[][2] = {
        {"hidden_size", "n_embd"},
        {"num_hidden_layers", "n_layer"},
        {"num_attention_heads", "n_head"},
        {"intermediate_size", "n_inner"},
        {"max_position_embeddings", "n_positions"},
    };
    for (size_t i = 0; a->family->learned_positions && i < COUNT_OF(GPT2); i++)
        if (strcmp(GPT2[i][0], key) == 0)
            return GPT2[i][1];
    return key;
}

static enum rt_err read_shape(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    const struct md_family *f = a->family;

    RT_TRY(fmt_json_u32(j, "vocab_size", &a->vocab));
    RT_TRY(fmt_json_u32(j, size_key(a, "hidden_size"), &a->hidden));
    RT_TRY(fmt_json_u32(j, size_key(a, "num_hidden_layers"), &a->layers));
    RT_TRY(fmt_json_u32(j, size_key(a, "num_attention_heads"), &a->heads));
    RT_TRY(fmt_json_u32_or(j, "num_key_value_heads", f->kv_heads ? f->kv_heads : a->heads,
                           &a->kv_heads));
    RT_TRY(fmt_json_u32_or(j, "head_dim",
                           f->head_dim ? f->head_dim
                           : a->heads  ? a->hidden / a->heads
                                       : 0,
                           &a->head_dim));
    if (f->learned_positions)
        RT_TRY(fmt_json_u32_or(j, "n_inner", 4 * a->hidden, &a->ffn));
    else
        RT_TRY(fmt_json_u32(j, "intermediate_size", &a->ffn));
    RT_TRY(fmt_json_u32_or(j, size_key(a, "max_position_embeddings"),
                           f->learned_positions ? 1024 : 2048, &a->max_positions));
done:
    return err;
}

enum rt_err md_arch_check(const char *where, const struct md_arch *a)
{
    const struct {
        const char *name;
        uint32_t value, most;
        bool even;
    } rows[] = {
        {"vocab_size", a->vocab, 1u << 24, false},
        {"hidden_size", a->hidden, 1u << 16, true},
        {"num_hidden_layers", a->layers, MD_MAX_LAYERS, false},
        {"num_attention_heads", a->heads, 1024, false},
        {"num_key_value_heads", a->kv_heads, 1024, false},
        {"head_dim", a->head_dim, MD_MAX_HEAD_DIM, true},
        {"intermediate_size", a->ffn, 1u << 20, true},
        {"max_position_embeddings", a->max_positions, 1u << 28, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].value == 0 || rows[i].value > rows[i].most ||
            (rows[i].even && rows[i].value % 2 != 0))
            return rt_fail(RT_E_FORMAT, "%s: %s: expected %s number in 1 .. %u, found %u", where,
                           rows[i].name, rows[i].even ? "an even" : "a", rows[i].most,
                           rows[i].value);
    if (a->heads % a->kv_heads != 0)
        return rt_fail(
            RT_E_FORMAT,
            "%s: num_attention_heads: expected a multiple of num_key_value_heads %u, found %u",
            where, a->kv_heads, a->heads);
    if (a->family->qk_norm == MD_QK_NORM_HEAD && a->head_dim % 8 != 0)
        return rt_fail(
            RT_E_UNSUPPORTED,
            "%s: head_dim: where heads are normalised, expected a multiple of 8, found %u", where,
            a->head_dim);
    return RT_OK;
}

static enum rt_err read_act(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    const char *text;

    RT_TRY(fmt_json_str_or(j, a->family->act_key, a->family->act, &text));
    if (strcmp(a->model_type, "gemma") == 0 && strcmp(text, "gelu") == 0)
        text = a->family->act; // its first releases say gelu and mean this
    if (md_act_find(text, &a->act))
        goto done;
    RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                   "%s: %s \"%.40s\" is not supported; known: silu, gelu, gelu_new, "
                   "gelu_pytorch_tanh",
                   j->where, a->family->act_key, text));
done:
    return err;
}

static enum rt_err read_biases(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    bool attention, mlp;

    RT_TRY(fmt_json_bool_or(j, "attention_bias", false, &attention));
    RT_TRY(fmt_json_bool_or(j, "mlp_bias", false, &mlp));
    if ((attention && !a->family->reads_attention_bias) || (mlp && !a->family->reads_mlp_bias))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: %s = true is not supported for %s", j->where,
                       attention ? "attention_bias" : "mlp_bias", a->model_type));
    a->qkv_bias = a->qkv_bias || attention;
    a->o_bias = a->o_bias || attention;
    a->mlp_bias = a->mlp_bias || mlp;
done:
    return err;
}

enum rt_err md_arch_init(const char *where, const char *model_type, struct md_arch *out)
{
    enum rt_err err = RT_OK;
    const struct md_family *f = md_family_find(model_type);
    struct str known = {0};

    *out = (struct md_arch){.family = f, .bos = -1, .pad = -1};
    if (!f) {
        RT_TRY(md_family_list(&known));
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: model_type \"%.40s\" is not supported; known: %s",
                       where, model_type, known.data));
    }
    strcpy(out->model_type, f->model_type);
    out->qkv_bias = f->qkv_bias;
    out->o_bias = f->o_bias;
    out->mlp_bias = f->mlp_bias;
    out->embed_scale = out->residual_scale = out->logit_scale = 1.0f;
done:
    str_free(&known);
    return err;
}

static enum rt_err read_numbers(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    double eps;

    RT_TRY(fmt_json_num_or(j, a->family->eps_key, a->family->eps, &eps));
    a->norm_eps = (float) eps;
    if (!(a->norm_eps > 0.0f))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: %s: expected a number > 0, found %g", j->where,
                       a->family->eps_key, eps));
    a->attn_scale = (float) (1.0 / sqrt((double) a->head_dim));
    if (a->family->embed_sqrt)
        a->embed_scale = sqrtf((float) a->hidden);
    RT_TRY(fmt_json_bool_or(j, "tie_word_embeddings", a->family->tied, &a->tied));
    RT_TRY(read_act(j, a));
    RT_TRY(read_biases(j, a));
    RT_TRY(read_rot_dim(j, a));
    RT_TRY(read_rope(j, a));
    if (a->family->read)
        RT_TRY(a->family->read(j, a));
    RT_TRY(read_token(j, "bos_token_id", &a->bos));
    RT_TRY(read_token(j, "pad_token_id", &a->pad));
    RT_TRY(read_eos(j, a));
done:
    return err;
}

enum rt_err md_arch_read(const char *folder, struct md_arch *out)
{
    enum rt_err err = RT_OK;
    struct md_arch a = {0};
    char *path = NULL;
    cJSON *root = NULL;
    const char *text = NULL;

    *out = a;
    if (fmt_gguf_is(folder))
        return md_gguf_arch_read(folder, out);
    RT_TRY(path_join(folder, "config.json", &path));
    if (!dir_exists(folder))
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: expected a model folder or a GGUF file, found %s",
                       folder, file_exists(folder) ? "another file" : "none"));
    RT_TRY(fmt_json_read(path, &root));
    const struct fmt_json j = {root, path};
    RT_TRY(fmt_json_str(&j, "model_type", &text));
    RT_TRY(md_arch_init(path, text, &a));
    RT_TRY(check_keys(&j));
    RT_TRY(read_shape(&j, &a));
    RT_TRY(md_arch_check(path, &a));
    RT_TRY(read_numbers(&j, &a));
    *out = a;
done:
    cJSON_Delete(root);
    free(path);
    return err;
}
