#include "src/model/arch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"

// A key of config.json that is no part of the description.
enum key_rule {
    KEY_READ,  // read below
    KEY_INERT, // does not change what is computed
    KEY_FALSE, // supported when absent, null or false
    KEY_ZERO,  // ... or 0
    KEY_ONE,   // ... or 1
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
    {"attention_bias", KEY_FALSE},
    {"mlp_bias", KEY_FALSE},
    {"rope_interleaved", KEY_FALSE},
    {"attention_dropout", KEY_ZERO},
    {"pretraining_tp", KEY_ONE},
    {"partial_rotary_factor", KEY_ONE},
    {"sliding_window", KEY_ABSENT},
    {"quantization_config", KEY_ABSENT},
};

static bool key_supported(enum key_rule rule, const cJSON *v)
{
    if (rule <= KEY_INERT || cJSON_IsNull(v))
        return true;
    if (rule == KEY_FALSE)
        return cJSON_IsFalse(v);
    if (rule == KEY_ZERO)
        return cJSON_IsNumber(v) && fabs(v->valuedouble) == 0.0;
    if (rule == KEY_ONE)
        return cJSON_IsNumber(v) && fabs(v->valuedouble - 1.0) == 0.0;
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

static enum rt_err read_scaling(const struct fmt_json *j, struct md_rope *out)
{
    enum rt_err err = RT_OK;
    const char *type = NULL, *old = NULL;

    RT_TRY(fmt_json_str_or(j, "type", "default", &old)); // transformers < 4.45
    RT_TRY(fmt_json_str_or(j, "rope_type", old, &type));
    if (strcmp(type, "default") == 0)
        goto done;
    RT_TRY(fmt_json_num(j, "factor", &out->factor));
    if (!(out->factor >= 1.0))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: rope factor: expected a number >= 1, found %g", j->where,
                       out->factor));
    if (strcmp(type, "linear") == 0) {
        out->scaling = MD_ROPE_LINEAR;
    } else if (strcmp(type, "llama3") == 0) {
        out->scaling = MD_ROPE_LLAMA3;
        RT_TRY(fmt_json_num(j, "low_freq_factor", &out->low_freq_factor));
        RT_TRY(fmt_json_num(j, "high_freq_factor", &out->high_freq_factor));
        RT_TRY(fmt_json_u32(j, "original_max_position_embeddings", &out->original_max_positions));
        if (!(out->high_freq_factor > out->low_freq_factor))
            RT_TRY(rt_fail(RT_E_FORMAT,
                           "%s: rope: expected high_freq_factor > low_freq_factor, found %g and %g",
                           j->where, out->high_freq_factor, out->low_freq_factor));
    } else {
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: rope type \"%s\" is not supported; known: default, linear, llama3",
                       j->where, type));
    }
done:
    return err;
}

static enum rt_err read_rope(const struct fmt_json *j, struct md_rope *out)
{
    enum rt_err err = RT_OK;
    struct fmt_json sub;
    double theta;

    RT_TRY(fmt_json_num_or(j, "rope_theta", 10000.0, &theta));   // transformers 4
    RT_TRY(fmt_json_object_or_null(j, "rope_parameters", &sub)); // transformers 5
    if (!sub.node)
        RT_TRY(fmt_json_object_or_null(j, "rope_scaling", &sub));
    if (sub.node) {
        RT_TRY(fmt_json_num_or(&sub, "rope_theta", theta, &theta));
        RT_TRY(read_scaling(&sub, out));
    }
    out->theta = theta;
    if (!(theta > 0.0))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: rope_theta: expected a number > 0, found %g", j->where,
                       theta));
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

static enum rt_err read_shape(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    RT_TRY(fmt_json_u32(j, "vocab_size", &a->vocab));
    RT_TRY(fmt_json_u32(j, "hidden_size", &a->hidden));
    RT_TRY(fmt_json_u32(j, "num_hidden_layers", &a->layers));
    RT_TRY(fmt_json_u32(j, "num_attention_heads", &a->heads));
    RT_TRY(fmt_json_u32_or(j, "num_key_value_heads", a->heads, &a->kv_heads));
    RT_TRY(fmt_json_u32_or(j, "head_dim", a->heads ? a->hidden / a->heads : 0, &a->head_dim));
    RT_TRY(fmt_json_u32(j, "intermediate_size", &a->ffn));
    RT_TRY(fmt_json_u32_or(j, "max_position_embeddings", 2048, &a->max_positions));
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
        {"num_hidden_layers", a->layers, 1024, false},
        {"num_attention_heads", a->heads, 1024, false},
        {"num_key_value_heads", a->kv_heads, 1024, false},
        {"head_dim", a->head_dim, 256, true},
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
    return RT_OK;
}

enum rt_err md_arch_read(const char *folder, struct md_arch *out)
{
    enum rt_err err = RT_OK;
    struct md_arch a = {0};
    char *path = NULL;
    cJSON *root = NULL;
    const char *text = NULL;
    double eps;

    *out = a;
    RT_TRY(path_join(folder, "config.json", &path));
    if (!dir_exists(folder))
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: expected a model folder, found none", folder));
    RT_TRY(fmt_json_read(path, &root));
    const struct fmt_json j = {root, path};
    RT_TRY(fmt_json_str(&j, "model_type", &text));
    if (strcmp(text, "llama") != 0)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: model_type \"%.40s\" is not supported; known: llama",
                       path, text));
    strcpy(a.model_type, text);
    RT_TRY(check_keys(&j));
    RT_TRY(read_shape(&j, &a));
    RT_TRY(md_arch_check(path, &a));
    RT_TRY(fmt_json_num_or(&j, "rms_norm_eps", 1e-6, &eps));
    a.norm_eps = (float) eps;
    RT_TRY(fmt_json_bool_or(&j, "tie_word_embeddings", false, &a.tied));
    RT_TRY(fmt_json_str_or(&j, "hidden_act", "silu", &text));
    if (strcmp(text, "silu") != 0)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: hidden_act \"%.40s\" is not supported; known: silu",
                       path, text));
    RT_TRY(read_rope(&j, &a.rope));
    RT_TRY(read_token(&j, "bos_token_id", &a.bos));
    RT_TRY(read_token(&j, "pad_token_id", &a.pad));
    RT_TRY(read_eos(&j, &a));
    *out = a;
done:
    cJSON_Delete(root);
    free(path);
    return err;
}

static double llama3_frequency(const struct md_rope *r, double f)
{
    const double pi2 = 6.283185307179586, length = pi2 / f;
    const double low = r->original_max_positions / r->low_freq_factor;
    const double high = r->original_max_positions / r->high_freq_factor;
    if (length < high)
        return f;
    if (length > low)
        return f / r->factor;
    const double smooth = (r->original_max_positions / length - r->low_freq_factor) /
                          (r->high_freq_factor - r->low_freq_factor);
    return (1.0 - smooth) * f / r->factor + smooth * f;
}

void md_rope_frequencies(const struct md_arch *a, double *inv_freq)
{
    for (uint32_t j = 0; j < a->head_dim / 2; j++) {
        const double f = pow(a->rope.theta, -2.0 * j / a->head_dim);
        inv_freq[j] = a->rope.scaling == MD_ROPE_LLAMA3   ? llama3_frequency(&a->rope, f)
                      : a->rope.scaling == MD_ROPE_LINEAR ? f / a->rope.factor
                                                          : f;
    }
}
