#include "src/model/family.h"

#include <math.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/format/json.h"
#include "src/model/rope.h"
#include "src/op/route.h"

// ---- Names ------------------------------------------------------------------------------------

#define LAYER "model.layers.%u."
static const char *const LLAMA_NAMES[MD_WEIGHT_COUNT] = {
    [MD_EMBED] = "model.embed_tokens.weight",
    [MD_ATTN_NORM] = LAYER "input_layernorm.weight",
    [MD_QKV] = LAYER "self_attn.qkv_proj.weight",
    [MD_Q] = LAYER "self_attn.q_proj.weight",
    [MD_Q_BIAS] = LAYER "self_attn.q_proj.bias",
    [MD_K] = LAYER "self_attn.k_proj.weight",
    [MD_K_BIAS] = LAYER "self_attn.k_proj.bias",
    [MD_V] = LAYER "self_attn.v_proj.weight",
    [MD_V_BIAS] = LAYER "self_attn.v_proj.bias",
    [MD_Q_NORM] = LAYER "self_attn.q_norm.weight",
    [MD_K_NORM] = LAYER "self_attn.k_norm.weight",
    [MD_O] = LAYER "self_attn.o_proj.weight",
    [MD_O_BIAS] = LAYER "self_attn.o_proj.bias",
    [MD_ATTN_POST_NORM] = LAYER "post_attention_layernorm.weight",
    [MD_MLP_NORM] = LAYER "post_attention_layernorm.weight",
    [MD_GATE_UP] = LAYER "mlp.gate_up_proj.weight",
    [MD_GATE] = LAYER "mlp.gate_proj.weight",
    [MD_GATE_BIAS] = LAYER "mlp.gate_proj.bias",
    [MD_UP] = LAYER "mlp.up_proj.weight",
    [MD_UP_BIAS] = LAYER "mlp.up_proj.bias",
    [MD_DOWN] = LAYER "mlp.down_proj.weight",
    [MD_DOWN_BIAS] = LAYER "mlp.down_proj.bias",
    [MD_EXPERT_GATE] = LAYER "mlp.experts.%u.gate_proj.weight",
    [MD_EXPERT_UP] = LAYER "mlp.experts.%u.up_proj.weight",
    [MD_EXPERT_DOWN] = LAYER "mlp.experts.%u.down_proj.weight",
    [MD_ROUTER] = LAYER "mlp.gate.weight",
    [MD_MLP_POST_NORM] = LAYER "post_feedforward_layernorm.weight",
    [MD_FINAL_NORM] = "model.norm.weight",
    [MD_HEAD] = "lm_head.weight",
};
// A sublayer between two norms.
static const char *const GEMMA2_NAMES[MD_WEIGHT_COUNT] = {
    [MD_MLP_NORM] = LAYER "pre_feedforward_layernorm.weight",
};
static const char *const MIXTRAL_NAMES[MD_WEIGHT_COUNT] = {
    [MD_EXPERT_GATE] = LAYER "block_sparse_moe.experts.%u.w1.weight",
    [MD_EXPERT_UP] = LAYER "block_sparse_moe.experts.%u.w3.weight",
    [MD_EXPERT_DOWN] = LAYER "block_sparse_moe.experts.%u.w2.weight",
    [MD_ROUTER] = LAYER "block_sparse_moe.gate.weight",
};
#undef LAYER
#define LAYER "transformer.h.%u."
static const char *const GPT2_NAMES[MD_WEIGHT_COUNT] = {
    [MD_EMBED] = "transformer.wte.weight",       [MD_POSITIONS] = "transformer.wpe.weight",
    [MD_ATTN_NORM] = LAYER "ln_1.weight",        [MD_ATTN_NORM_BIAS] = LAYER "ln_1.bias",
    [MD_QKV] = LAYER "attn.c_attn.weight",       [MD_QKV_BIAS] = LAYER "attn.c_attn.bias",
    [MD_O] = LAYER "attn.c_proj.weight",         [MD_O_BIAS] = LAYER "attn.c_proj.bias",
    [MD_MLP_NORM] = LAYER "ln_2.weight",         [MD_MLP_NORM_BIAS] = LAYER "ln_2.bias",
    [MD_UP] = LAYER "mlp.c_fc.weight",           [MD_UP_BIAS] = LAYER "mlp.c_fc.bias",
    [MD_DOWN] = LAYER "mlp.c_proj.weight",       [MD_DOWN_BIAS] = LAYER "mlp.c_proj.bias",
    [MD_FINAL_NORM] = "transformer.ln_f.weight", [MD_FINAL_NORM_BIAS] = "transformer.ln_f.bias",
};
#undef LAYER

const char *md_family_name(const struct md_family *f, enum md_weight w)
{
    return f->names && f->names[w] ? f->names[w] : LLAMA_NAMES[w];
}

// ---- What layers differ in --------------------------------------------------------------------

static enum rt_err set_layers(const struct fmt_json *j, struct md_arch *a, const cJSON *types)
{
    enum rt_err err = RT_OK;
    const cJSON *item;
    uint32_t l = 0;

    if (cJSON_GetArraySize(types) != (int) a->layers)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: layer_types: expected %u, one a layer, found %d", j->where,
                       a->layers, cJSON_GetArraySize(types)));
    cJSON_ArrayForEach(item, types)
    {
        const char *type = cJSON_IsString(item) ? item->valuestring : "?";
        const bool window = strcmp(type, "sliding_attention") == 0;
        if (!window && strcmp(type, "full_attention") != 0)
            RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                           "%s: layer_types: \"%.40s\" is not supported; known: full_attention, "
                           "sliding_attention",
                           j->where, type));
        a->layer[l] = (uint8_t) ((a->layer[l] & ~MD_LAYER_WINDOW) | (window ? MD_LAYER_WINDOW : 0));
        l++;
    }
done:
    return err;
}

// sliding_window, absent or null being `def`, and layer_types where they are given; else a layer
// has the window as it has now.
static enum rt_err read_window(const struct fmt_json *j, struct md_arch *a, uint32_t def)
{
    enum rt_err err = RT_OK;
    const cJSON *types, *given = cJSON_GetObjectItemCaseSensitive(j->node, "sliding_window");

    RT_TRY(fmt_json_u32_or(j, "sliding_window", given ? 0 : def, &a->window));
    RT_TRY(fmt_json_array_or_null(j, "layer_types", &types));
    if (types)
        RT_TRY(set_layers(j, a, types));
    for (uint32_t l = 0; l < a->layers && a->window == 0; l++)
        a->layer[l] &= (uint8_t) ~MD_LAYER_WINDOW;
done:
    return err;
}

static enum rt_err read_window_everywhere(const struct fmt_json *j, struct md_arch *a)
{
    memset(a->layer, MD_LAYER_WINDOW, a->layers);
    return read_window(j, a, a->family->window);
}

// Qwen: only with use_sliding_window, from layer max_window_layers on.
static enum rt_err read_qwen(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    uint32_t from;
    bool use;

    RT_TRY(fmt_json_bool_or(j, "use_sliding_window", false, &use));
    if (!use)
        goto done;
    RT_TRY(fmt_json_u32_or(j, "max_window_layers", 28, &from));
    for (uint32_t l = from; l < a->layers; l++)
        a->layer[l] = MD_LAYER_WINDOW;
    RT_TRY(read_window(j, a, a->family->window));
done:
    return err;
}

static enum rt_err read_softcaps(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    double attn, logit, scalar;
    // null is none; Gemma 2 has caps when the key is absent.
    const bool has_attn = cJSON_HasObjectItem(j->node, "attn_logit_softcapping");
    const bool has_logit = cJSON_HasObjectItem(j->node, "final_logit_softcapping");
    const bool gemma2 = strcmp(a->model_type, "gemma2") == 0;

    RT_TRY(fmt_json_num_or(j, "attn_logit_softcapping", has_attn || !gemma2 ? 0.0 : 50.0, &attn));
    RT_TRY(
        fmt_json_num_or(j, "final_logit_softcapping", has_logit || !gemma2 ? 0.0 : 30.0, &logit));
    RT_TRY(fmt_json_num_or(j, "query_pre_attn_scalar", 256.0, &scalar));
    if (!(attn >= 0.0 && logit >= 0.0 && scalar > 0.0))
        RT_TRY(
            rt_fail(RT_E_FORMAT,
                    "%s: expected soft caps >= 0 and query_pre_attn_scalar > 0, found %g, %g, %g",
                    j->where, attn, logit, scalar));
    a->attn_softcap = (float) attn;
    a->logit_softcap = (float) logit;
    a->attn_scale = (float) (1.0 / sqrt(scalar));
done:
    return err;
}

static enum rt_err read_gemma2(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    RT_TRY(read_softcaps(j, a));
    for (uint32_t l = 0; l < a->layers; l += 2)
        a->layer[l] = MD_LAYER_WINDOW;
    RT_TRY(read_window(j, a, a->family->window));
done:
    return err;
}

// The rotation of layers with a window: rope_parameters has two sets in transformers 5; in 4 the
// local one is rope_local_base_freq, without scaling.
static enum rt_err read_local_rope(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    struct fmt_json both = {0}, sub = {0};
    double theta;

    RT_TRY(fmt_json_object_or_null(j, "rope_parameters", &both));
    if (both.node)
        RT_TRY(fmt_json_object_or_null(&both, "sliding_attention", &sub));
    RT_TRY(fmt_json_num_or(j, "rope_local_base_freq", 10000.0, &theta));
    RT_TRY(md_rope_read(&sub, a, a->max_positions, theta, &a->local_rope));
    for (uint32_t l = 0; l < a->layers; l++)
        if (a->layer[l] & MD_LAYER_WINDOW)
            a->layer[l] |= MD_LAYER_LOCAL_ROPE;
done:
    return err;
}

static enum rt_err read_gemma3(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    uint32_t every;

    RT_TRY(read_softcaps(j, a));
    a->attn_softcap = 0.0f; // the key is read by transformers, and not used
    RT_TRY(fmt_json_u32_or(j, "_sliding_window_pattern", 6, &every));
    RT_TRY(fmt_json_u32_or(j, "sliding_window_pattern", every, &every));
    for (uint32_t l = 0; l < a->layers; l++)
        a->layer[l] = every && (l + 1) % every != 0 ? MD_LAYER_WINDOW : 0;
    RT_TRY(read_window(j, a, a->family->window));
    RT_TRY(read_local_rope(j, a));
done:
    return err;
}

// SmolLM3: layers without rotation, by a list or every so many; those have the window, if any.
static enum rt_err read_smollm3(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    const cJSON *list;
    uint32_t every;
    bool use;

    RT_TRY(fmt_json_u32_or(j, "no_rope_layer_interval", 4, &every));
    RT_TRY(fmt_json_array_or_null(j, "no_rope_layers", &list));
    if (list && cJSON_GetArraySize(list) != (int) a->layers)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: no_rope_layers: expected %u, one a layer, found %d",
                       j->where, a->layers, cJSON_GetArraySize(list)));
    RT_TRY(fmt_json_bool_or(j, "use_sliding_window", false, &use));
    for (uint32_t l = 0; l < a->layers; l++) {
        const cJSON *item = list ? cJSON_GetArrayItem(list, (int) l) : NULL;
        const bool rotates =
            item ? cJSON_IsTrue(item) || item->valueint != 0 : every && (l + 1) % every != 0;
        a->layer[l] = (uint8_t) (rotates ? 0 : MD_LAYER_NO_ROPE | (use ? MD_LAYER_WINDOW : 0));
    }
    if (use)
        RT_TRY(read_window(j, a, 0));
done:
    return err;
}

static enum rt_err read_granite(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    double embed, attn, residual, logits;

    RT_TRY(fmt_json_num_or(j, "embedding_multiplier", 1.0, &embed));
    RT_TRY(fmt_json_num_or(j, "attention_multiplier", 1.0, &attn));
    RT_TRY(fmt_json_num_or(j, "residual_multiplier", 1.0, &residual));
    RT_TRY(fmt_json_num_or(j, "logits_scaling", 1.0, &logits));
    if (!(embed > 0.0 && attn > 0.0 && residual > 0.0 && logits > 0.0))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected multipliers > 0, found %g, %g, %g, %g", j->where,
                       embed, attn, residual, logits));
    a->embed_scale = (float) embed;
    a->attn_scale = (float) attn;
    a->residual_scale = (float) residual;
    a->logit_scale = (float) (1.0 / logits);
done:
    return err;
}

static enum rt_err read_cohere(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    double scale;

    RT_TRY(fmt_json_num_or(j, "logit_scale", 0.0625, &scale));
    if (!(scale > 0.0))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: logit_scale: expected a number > 0, found %g", j->where,
                       scale));
    a->logit_scale = (float) scale;
done:
    return err;
}

// Every fourth layer sees all and does not rotate, the others have a window.
static enum rt_err read_cohere2(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    uint32_t every;

    RT_TRY(read_cohere(j, a));
    RT_TRY(fmt_json_u32_or(j, "sliding_window_pattern", 4, &every));
    for (uint32_t l = 0; l < a->layers; l++)
        a->layer[l] = every && (l + 1) % every != 0 ? MD_LAYER_WINDOW : 0;
    RT_TRY(read_window(j, a, a->family->window));
    for (uint32_t l = 0; l < a->layers; l++)
        if (!(a->layer[l] & MD_LAYER_WINDOW))
            a->layer[l] |= MD_LAYER_NO_ROPE;
done:
    return err;
}

// ---- Experts ----------------------------------------------------------------------------------

// How many there are goes by either of two names.
static enum rt_err read_experts(const struct fmt_json *j, struct md_arch *a, uint32_t experts,
                                uint32_t top_k)
{
    enum rt_err err = RT_OK;

    RT_TRY(fmt_json_u32_or(j, "num_experts", experts, &a->experts));
    RT_TRY(fmt_json_u32_or(j, "num_local_experts", a->experts, &a->experts));
    RT_TRY(fmt_json_u32_or(j, "num_experts_per_tok", top_k, &a->top_k));
    RT_TRY(fmt_json_num_or(j, "router_aux_loss_coef", 0.001, &a->router_aux_loss_coef));
    if (a->experts > OP_ROUTE_MAX_EXPERTS ||
        (a->experts > 0 && (a->top_k == 0 || a->top_k > a->experts)))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: num_experts_per_tok: expected a number in 1 .. num_experts, that at "
                       "most %d, found %u of %u",
                       j->where, OP_ROUTE_MAX_EXPERTS, a->top_k, a->experts));
    if (!isfinite(a->router_aux_loss_coef))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: router_aux_loss_coef: expected a number", j->where));
done:
    return err;
}

static enum rt_err read_mixtral(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;

    RT_TRY(read_window_everywhere(j, a));
    RT_TRY(read_experts(j, a, 8, 2));
    if (a->experts == 0)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: num_local_experts: expected at least 1", j->where));
    a->expert_ffn = a->ffn;
    a->top_k_norm = true;
    for (uint32_t l = 0; l < a->layers; l++)
        a->layer[l] |= MD_LAYER_EXPERTS;
done:
    return err;
}

// The layers of mlp_only_layers have none.
static enum rt_err read_dense_layers(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    const cJSON *list, *item;

    RT_TRY(fmt_json_array_or_null(j, "mlp_only_layers", &list));
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsNumber(item))
            RT_TRY(
                rt_fail(RT_E_FORMAT, "%s: mlp_only_layers: expected numbers of layers", j->where));
        if (item->valuedouble >= 0.0 && item->valuedouble < a->layers)
            a->layer[item->valueint] &= (uint8_t) ~MD_LAYER_EXPERTS;
    }
done:
    return err;
}

// With use_sliding_window every layer has the window; every decoder_sparse_step-th layer has
// experts.
static enum rt_err read_qwen3_moe(const struct fmt_json *j, struct md_arch *a)
{
    enum rt_err err = RT_OK;
    uint32_t step;
    bool use, any = false;

    RT_TRY(fmt_json_bool_or(j, "use_sliding_window", false, &use));
    if (use)
        RT_TRY(read_window_everywhere(j, a));
    RT_TRY(read_experts(j, a, 128, 8));
    RT_TRY(fmt_json_bool_or(j, "norm_topk_prob", false, &a->top_k_norm));
    RT_TRY(fmt_json_u32_or(j, "decoder_sparse_step", 1, &step));
    RT_TRY(fmt_json_u32_or(j, "moe_intermediate_size", 768, &a->expert_ffn));
    if (step == 0 || a->expert_ffn == 0 || a->expert_ffn > 1u << 20 || a->expert_ffn % 2 != 0)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: expected decoder_sparse_step above 0 and an even moe_intermediate_size "
                       "up to 2^20, found %u and %u",
                       j->where, step, a->expert_ffn));
    for (uint32_t l = 0; a->experts > 0 && l < a->layers; l++)
        a->layer[l] |= (l + 1) % step == 0 ? MD_LAYER_EXPERTS : 0;
    RT_TRY(read_dense_layers(j, a));
    for (uint32_t l = 0; l < a->layers; l++)
        any = any || a->layer[l] & MD_LAYER_EXPERTS;
    a->experts = any ? a->experts : 0;
done:
    return err;
}

// ---- The table --------------------------------------------------------------------------------

#define RMS .act_key = "hidden_act", .act = "silu", .eps_key = "rms_norm_eps", .eps = 1e-6
#define PRE .pre_norm = true, .theta = 10000.0
#define LN                                                                                         \
    .act_key = "hidden_act", .act = "silu", .eps_key = "layer_norm_eps", .eps = 1e-5,              \
    .tied = true, .layer_norm = true, .pre_norm = true, .parallel = true, .rope_pairs = true,      \
    .reads_attention_bias = true
static const struct md_family FAMILIES[] = {
    {"llama", "LlamaForCausalLM", NULL, RMS, PRE, .reads_attention_bias = true,
     .reads_mlp_bias = true},
    {"mistral", "MistralForCausalLM", NULL, RMS, PRE, .kv_heads = 8, .window = 4096,
     .read = read_window_everywhere},
    {"qwen2", "Qwen2ForCausalLM", NULL, RMS, PRE, .kv_heads = 32, .qkv_bias = true, .window = 4096,
     .read = read_qwen},
    {"qwen3", "Qwen3ForCausalLM", NULL, RMS, PRE, .kv_heads = 32, .head_dim = 128, .window = 4096,
     .qk_norm = MD_QK_NORM_HEAD, .reads_attention_bias = true, .read = read_qwen},
    {"gpt2", "GPT2LMHeadModel", GPT2_NAMES, .act_key = "activation_function", .act = "gelu_new",
     .eps_key = "layer_norm_epsilon", .eps = 1e-5, .tied = true, .layer_norm = true,
     .norm_bias = true, PRE, .no_gate = true, .learned_positions = true, .trains_pad = true,
     .fused_qkv = true, .transposed = true, .qkv_bias = true, .o_bias = true, .mlp_bias = true},
    {"gemma", "GemmaForCausalLM", NULL, .act_key = "hidden_act", .act = "gelu_pytorch_tanh",
     .eps_key = "rms_norm_eps", .eps = 1e-6, PRE, .head_dim = 256, .kv_heads = 16, .tied = true,
     .norm_offset = true, .embed_sqrt = true, .reads_attention_bias = true},
    {"gemma2", "Gemma2ForCausalLM", GEMMA2_NAMES, .act_key = "hidden_activation",
     .act = "gelu_pytorch_tanh", .eps_key = "rms_norm_eps", .eps = 1e-6, PRE, .post_norm = true,
     .head_dim = 256, .kv_heads = 4, .window = 4096, .tied = true, .norm_offset = true,
     .embed_sqrt = true, .reads_attention_bias = true, .read = read_gemma2},
    {"gemma3_text", "Gemma3ForCausalLM", GEMMA2_NAMES, .act_key = "hidden_activation",
     .act = "gelu_pytorch_tanh", .eps_key = "rms_norm_eps", .eps = 1e-6, .pre_norm = true,
     .theta = 1000000.0, .post_norm = true, .head_dim = 256, .kv_heads = 4, .window = 4096,
     .tied = true, .norm_offset = true, .embed_sqrt = true, .qk_norm = MD_QK_NORM_HEAD,
     .reads_attention_bias = true, .read = read_gemma3},
    {"phi3", "Phi3ForCausalLM", NULL, .act_key = "hidden_act", .act = "silu",
     .eps_key = "rms_norm_eps", .eps = 1e-5, PRE, .fused_qkv = true, .fused_gate = true,
     .read = read_window_everywhere},
    {"olmo2", "Olmo2ForCausalLM", NULL, .act_key = "hidden_act", .act = "silu",
     .eps_key = "rms_norm_eps", .eps = 1e-5, .theta = 10000.0, .post_norm = true,
     .qk_norm = MD_QK_NORM_FULL, .reads_attention_bias = true},
    {"smollm3", "SmolLM3ForCausalLM", NULL, RMS, .pre_norm = true, .theta = 2000000.0,
     .kv_heads = 4, .tied = true, .reads_attention_bias = true, .reads_mlp_bias = true,
     .read = read_smollm3},
    {"granite", "GraniteForCausalLM", NULL, RMS, PRE, .reads_attention_bias = true,
     .reads_mlp_bias = true, .read = read_granite},
    {"mixtral", "MixtralForCausalLM", MIXTRAL_NAMES, .act_key = "hidden_act", .act = "silu",
     .eps_key = "rms_norm_eps", .eps = 1e-5, .pre_norm = true, .theta = 1000000.0, .kv_heads = 8,
     .read = read_mixtral},
    {"qwen3_moe", "Qwen3MoeForCausalLM", NULL, RMS, PRE, .kv_heads = 4, .qk_norm = MD_QK_NORM_HEAD,
     .reads_attention_bias = true, .window = 4096, .read = read_qwen3_moe},
    {"cohere", "CohereForCausalLM", NULL, LN, .theta = 500000.0, .read = read_cohere},
    {"cohere2", "Cohere2ForCausalLM", NULL, LN, .theta = 10000.0, .window = 4096,
     .read = read_cohere2},
};
#undef LN
#undef RMS
#undef PRE

const struct md_family *md_family_find(const char *model_type)
{
    for (size_t i = 0; i < COUNT_OF(FAMILIES); i++)
        if (strcmp(FAMILIES[i].model_type, model_type) == 0)
            return &FAMILIES[i];
    return NULL;
}

enum rt_err md_family_list(struct str *out)
{
    enum rt_err err = RT_OK;
    for (size_t i = 0; i < COUNT_OF(FAMILIES); i++)
        RT_TRY(str_printf(out, "%s%s", i ? ", " : "", FAMILIES[i].model_type));
done:
    return err;
}

bool md_act_find(const char *name, enum op_act *out)
{
    static const struct {
        const char *name;
        enum op_act act;
    } ACTS[] = {{"silu", OP_ACT_SILU},
                {"swish", OP_ACT_SILU},
                {"gelu_pytorch_tanh", OP_ACT_GELU_TANH},
                {"gelu_new", OP_ACT_GELU_TANH},
                {"gelu", OP_ACT_GELU}};
    for (size_t i = 0; i < COUNT_OF(ACTS); i++)
        if (strcmp(ACTS[i].name, name) == 0) {
            *out = ACTS[i].act;
            return true;
        }
    return false;
}

bool md_arch_has(const struct md_arch *a, enum md_weight w)
{
    const struct md_family *f = a->family;
    switch (w) {
    case MD_POSITIONS:
        return f->learned_positions;
    case MD_ATTN_NORM:
        return f->pre_norm;
    case MD_MLP_NORM:
        return f->pre_norm && !f->parallel;
    case MD_ATTN_NORM_BIAS:
    case MD_MLP_NORM_BIAS:
    case MD_FINAL_NORM_BIAS:
        return f->norm_bias;
    case MD_QKV:
        return f->fused_qkv;
    case MD_QKV_BIAS:
        return f->fused_qkv && a->qkv_bias;
    case MD_Q:
    case MD_K:
    case MD_V:
        return !f->fused_qkv;
    case MD_Q_BIAS:
    case MD_K_BIAS:
    case MD_V_BIAS:
        return !f->fused_qkv && a->qkv_bias;
    case MD_Q_NORM:
    case MD_K_NORM:
        return f->qk_norm != MD_QK_NORM_NONE;
    case MD_O_BIAS:
        return a->o_bias;
    case MD_ATTN_POST_NORM:
    case MD_MLP_POST_NORM:
        return f->post_norm;
    case MD_GATE_UP:
        return f->fused_gate;
    case MD_GATE:
        return !f->fused_gate && !f->no_gate;
    case MD_UP:
        return !f->fused_gate;
    case MD_GATE_BIAS:
        return a->mlp_bias && !f->no_gate;
    case MD_UP_BIAS:
    case MD_DOWN_BIAS:
        return a->mlp_bias;
    case MD_EXPERT_GATE:
    case MD_EXPERT_UP:
    case MD_EXPERT_DOWN:
    case MD_ROUTER:
        return a->experts > 0;
    default:
        return true;
    }
}

bool md_arch_layer_has(const struct md_arch *a, enum md_weight w, uint32_t layer)
{
    const bool experts = a->layer[layer] & MD_LAYER_EXPERTS;
    if (experts ? w >= MD_GATE_UP && w <= MD_DOWN_BIAS : w >= MD_EXPERT_GATE && w <= MD_ROUTER)
        return false;
    return md_arch_has(a, w);
}
