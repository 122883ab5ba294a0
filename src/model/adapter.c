#include "src/model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/rng.h"
#include "src/format/gguf.h"
#include "src/format/safetensors.h"
#include "src/model/model.h"

static const char PREFIX[] = "base_model.model.", FILE_NAME[] = "adapter_model.safetensors";

// PEFT's table of targets by model type (peft/utils/constants.py,
// TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING), for the types that are read here.
static const struct {
    const char *type, *targets;
} DEFAULTS[] = {
    {"llama", "[\"q_proj\", \"v_proj\"]"},       {"mistral", "[\"q_proj\", \"v_proj\"]"},
    {"qwen2", "[\"q_proj\", \"v_proj\"]"},       {"qwen3", "[\"q_proj\", \"v_proj\"]"},
    {"gemma", "[\"q_proj\", \"v_proj\"]"},       {"gemma2", "[\"q_proj\", \"v_proj\"]"},
    {"gemma3_text", "[\"q_proj\", \"v_proj\"]"}, {"gpt2", "[\"c_attn\"]"},
    {"mixtral", "[\"q_proj\", \"v_proj\"]"},
};

enum { MANY_TARGETS = 20 }; // from here on PEFT writes names instead of whole paths

// ---- Which modules ----------------------------------------------------------------------------

// The module of a tensor: its name without the last word. In static storage of the caller.
static const char *module_of(const struct md_param *p, char buf[128])
{
    const char *dot = strrchr(p->name, '.');
    snprintf(buf, 128, "%.*s", dot ? (int) (dot - p->name) : 0, p->name);
    return buf;
}

static const char *last_word(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static enum rt_err default_targets(const struct md_arch *arch, cJSON **out)
{
    for (size_t i = 0; i < COUNT_OF(DEFAULTS); i++)
        if (strcmp(DEFAULTS[i].type, arch->model_type) == 0) {
            *out = cJSON_Parse(DEFAULTS[i].targets);
            return *out ? RT_OK : rt_fail(RT_E_NOMEM, "out of memory: targets of an adapter");
        }
    return rt_fail(RT_E_UNSUPPORTED,
                   "PEFT has no default target modules for the model type %s: give "
                   "lora_target_modules",
                   arch->model_type);
}

// Names of the linears that there are, each once: "q_proj, k_proj, ...".
static enum rt_err list_linears(const struct md_params *base, struct str *out)
{
    enum rt_err err = RT_OK;
    char path[128], other[128];

    for (uint32_t i = 0; i < base->n; i++) {
        const char *name = last_word(module_of(&base->all[i], path));
        bool seen = !base->all[i].linear;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = base->all[k].linear &&
                   strcmp(last_word(module_of(&base->all[k], other)), name) == 0;
        if (!seen)
            RT_TRY(str_printf(out, "%s%s", out->len ? ", " : "", name));
    }
done:
    return err;
}

static enum rt_err fail_none(const struct md_params *base, const cJSON *targets)
{
    enum rt_err err = RT_OK;
    struct str names = {0};
    char *text = cJSON_PrintUnformatted(targets);

    RT_TRY(list_linears(base, &names));
    err = rt_fail(RT_E_NOT_FOUND,
                  "target modules %.200s: no linear layer of the model has such a name; it has %s",
                  text ? text : "", names.data ? names.data : "none");
done:
    cJSON_free(text);
    str_free(&names);
    return err;
}

// chosen[i]: tensor i of the base is the weight of a target that `limits` admits. At least one is,
// else an error.
static enum rt_err choose(const struct md_params *base, const struct fmt_peft *limits,
                          const cJSON *targets, bool *chosen)
{
    enum rt_err err = RT_OK;
    const bool all = fmt_peft_all_linear(targets);
    bool any = false, admitted;
    char path[128];

    for (uint32_t i = 0; i < base->n; i++) {
        const struct md_param *p = &base->all[i];
        chosen[i] = all && p->linear;
        module_of(p, path);
        if (!all)
            RT_TRY(fmt_peft_targets(targets, path, &chosen[i]));
        RT_TRY(fmt_peft_admits(limits, path, &admitted));
        chosen[i] = chosen[i] && admitted;
        if (md_weight_is_routed(p->weight) && (all || chosen[i]))
            RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                           "target modules%s: %s belongs to a layer of experts, where adapters are "
                           "not supported; name q_proj, k_proj, v_proj and o_proj",
                           all ? " all-linear" : "", path));
        if (chosen[i] && p->rank == 2 && !p->linear)
            RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                           "target modules: %s cannot have an adapter, only linear layers of the "
                           "decoder can%s",
                           path, p->weight == MD_HEAD ? "; as in TRL, not the head either" : ""));
        if (chosen[i] && !p->linear && strcmp(last_word(p->name), "bias") != 0)
            RT_TRY(
                rt_fail(RT_E_UNSUPPORTED, "target modules: %s is a norm and has no adapter", path));
        chosen[i] = chosen[i] && p->linear;
        any = any || chosen[i];
    }
    // A tied head is no tensor of its own.
    bool head = false;
    if (!all)
        RT_TRY(fmt_peft_targets(targets, "lm_head", &head));
    if (head)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "target modules: lm_head cannot have an adapter, as in "
                                         "TRL; it may be in lora_modules_to_save"));
    if (!any)
        RT_TRY(fail_none(base, targets));
done:
    return err;
}

// all-linear as PEFT writes it: whole paths, or, of many, the names that mean just these.
static enum rt_err expand_targets(const struct md_params *base, const bool *chosen, cJSON **out)
{
    enum rt_err err = RT_OK;
    cJSON *list = cJSON_CreateArray();
    uint32_t n = 0;
    char path[128];

    for (uint32_t i = 0; i < base->n; i++)
        n += chosen[i];
    for (uint32_t i = 0; i < base->n; i++) {
        bool has = false;
        if (!chosen[i])
            continue;
        module_of(&base->all[i], path);
        const char *name = n < MANY_TARGETS ? path : last_word(path);
        RT_TRY(fmt_peft_targets(list, name, &has));
        if (!has && !cJSON_AddItemToArray(list, cJSON_CreateString(name)))
            RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: targets of an adapter"));
    }
    RT_REQUIRE(list, RT_E_NOMEM);
    *out = list;
    list = NULL;
done:
    cJSON_Delete(list);
    return err;
}

// ---- The list ---------------------------------------------------------------------------------

static struct md_param *add(struct md_params *p, const struct md_param *of, enum md_part part,
                            const char *path, const char *word, uint32_t rows, uint32_t cols)
{
    struct md_param *q = &p->all[p->n++];
    *q = (struct md_param){.weight = of->weight,
                           .layer = of->layer,
                           .part = part,
                           .rank = rows ? 2 : 1,
                           .rows = rows ? rows : 1,
                           .cols = cols,
                           .decay = part != MD_PART_WEIGHT || of->decay};
    snprintf(q->name, sizeof(q->name), "%s%.64s.%.40s", PREFIX, path, word);
    return q;
}

static struct md_adapted *entry(struct md_adapter *a, enum md_weight w, uint32_t layer)
{
    return &a->of[(size_t) w * a->layers + layer];
}

static enum rt_err add_weight(struct md_adapter *a, const struct md_param *p, bool adapted)
{
    enum rt_err err = RT_OK;
    char path[128];
    const bool saved = fmt_peft_saves(a->peft.save, module_of(p, path));
    struct md_adapted *to = entry(a, p->weight, p->layer);
    struct md_params *list = &a->params;

    if (saved && md_weight_is_routed(p->weight))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "modules_to_save: %s belongs to a layer of experts, which is not supported",
                       path));
    if (saved && adapted)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: both in the target modules and in modules_to_save; expected one",
                       path));
    if (saved) {
        to->full = (int) list->n;
        add(list, p, MD_PART_WEIGHT, path, last_word(p->name), p->rank == 2 ? p->rows : 0, p->cols)
            ->transposed = p->transposed;
    }
    if (adapted) {
        to->a = (int) list->n;
        add(list, p, MD_PART_LORA_A, path, "lora_A.weight", a->rank, p->cols);
        to->b = (int) list->n;
        add(list, p, MD_PART_LORA_B, path, "lora_B.weight", p->rows, a->rank);
        if (a->peft.use_dora) {
            to->magnitude = (int) list->n;
            add(list, p, MD_PART_MAGNITUDE, path, "lora_magnitude_vector", 0, p->rows);
        }
    }
done:
    return err;
}

static enum rt_err add_all(struct md_adapter *a, const struct md_arch *arch,
                           const struct md_params *base, const bool *chosen)
{
    enum rt_err err = RT_OK;

    for (uint32_t i = 0; i < base->n; i++)
        RT_TRY(add_weight(a, &base->all[i], chosen[i]));
    if (arch->tied && fmt_peft_saves(a->peft.save, "lm_head")) {
        struct md_param head = *md_params_get(base, MD_EMBED, 0);
        head.weight = MD_HEAD;
        entry(a, MD_HEAD, 0)->full = (int) a->params.n;
        add(&a->params, &head, MD_PART_WEIGHT, "lm_head", "weight", head.rows, head.cols);
    }
    uint32_t copies = 0;
    for (uint32_t i = 0; i < a->params.n; i++)
        copies += a->params.all[i].part == MD_PART_WEIGHT;
    if (a->peft.save && !copies)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "modules_to_save: no module of the model has such a name"));
done:
    return err;
}

enum rt_err md_adapter_make(const struct md_arch *arch, const struct md_params *base,
                            const struct fmt_peft *peft, struct md_room room,
                            struct md_adapter *out)
{
    enum rt_err err = RT_OK;
    struct md_adapter a = {.layers = arch->layers, .rank = peft->r};
    bool *chosen = calloc(base->n, sizeof(*chosen));
    const size_t n_of = (size_t) MD_WEIGHT_COUNT * arch->layers;

    *out = (struct md_adapter){0};
    RT_TRY(fmt_peft_copy(peft, &a.peft));
    a.scale = (float) (peft->alpha / (peft->use_rslora ? sqrt((double) peft->r) : peft->r));
    a.of = malloc(n_of * sizeof(*a.of));
    a.params.all = calloc(4 * (size_t) base->n + 1, sizeof(*a.params.all));
    if (!chosen || !a.of || !a.params.all)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of an adapter"));
    for (size_t i = 0; i < n_of; i++)
        a.of[i] = (struct md_adapted){-1, -1, -1, -1};
    if (!a.peft.targets)
        RT_TRY(default_targets(arch, &a.peft.targets));
    RT_TRY(choose(base, &a.peft, a.peft.targets, chosen));
    if (fmt_peft_all_linear(a.peft.targets)) {
        cJSON_Delete(a.peft.targets);
        a.peft.targets = NULL;
        RT_TRY(expand_targets(base, chosen, &a.peft.targets));
    }
    a.peft.fan_in_fan_out = strcmp(arch->model_type, "gpt2") == 0;
    RT_TRY(add_all(&a, arch, base, chosen));
    RT_TRY(md_params_place(&a.params, room));
    *out = a;
    a = (struct md_adapter){0};
done:
    md_adapter_free(&a);
    free(chosen);
    return err;
}

void md_adapter_free(struct md_adapter *a)
{
    md_params_free(&a->params);
    fmt_peft_free(&a->peft);
    free(a->of);
    *a = (struct md_adapter){0};
}

struct md_adapted md_adapter_of(const struct md_adapter *a, enum md_weight weight, uint32_t layer)
{
    if (!a->of)
        return (struct md_adapted){-1, -1, -1, -1};
    return a->of[(size_t) weight * a->layers + layer];
}

enum rt_err md_adapter_same_targets(const struct md_adapter *a, const struct md_arch *arch,
                                    const struct md_params *base, const cJSON *targets, bool *out)
{
    enum rt_err err = RT_OK;
    bool *chosen = calloc(base->n, sizeof(*chosen));
    cJSON *table = NULL;

    *out = true;
    RT_REQUIRE(chosen, RT_E_NOMEM);
    if (!targets)
        RT_TRY(default_targets(arch, &table));
    RT_TRY(choose(base, &a->peft, targets ? targets : table, chosen));
    for (uint32_t i = 0; i < base->n; i++)
        if (chosen[i] != (md_adapter_of(a, base->all[i].weight, base->all[i].layer).a >= 0))
            *out = false;
done:
    cJSON_Delete(table);
    free(chosen);
    return err;
}

// ---- Values -----------------------------------------------------------------------------------

static enum rt_err init_a(const struct md_param *p, struct rng *rng, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    const float bound = (float) (1.0 / sqrt((double) p->cols));
    float *x = malloc(p->cols * sizeof(*x));

    RT_REQUIRE(x, RT_E_NOMEM);
    for (uint32_t r = 0; r < p->rows; r++) {
        for (uint32_t i = 0; i < p->cols; i++)
            x[i] = bound * (2.0f * rng_uniform(rng) - 1.0f);
        RT_TRY(md_flat_write(to, p, r, 1, x));
    }
done:
    free(x);
    return err;
}

// A trained copy begins as the base's tensor; a tied head's as the embedding.
static enum rt_err init_copy(const struct md_param *p, const char *folder, enum rt_type load_dtype,
                             const char *name, struct md_flat *to)
{
    struct md_param one = *p;
    const struct md_params list = {.all = &one, .n = 1};
    snprintf(one.name, sizeof(one.name), "%s", name);
    return md_weights_load(&list, folder, load_dtype, to);
}

enum rt_err md_adapter_init(const struct md_adapter *a, const char *folder, enum rt_type load_dtype,
                            uint64_t seed, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    struct rng rng;
    struct fmt_st st = {0};
    const bool gguf = fmt_gguf_is(folder); // finds a tied head by itself

    if (to->n && rt_dev_is_dry(rt_buf_dev(to->chunk[0]))) // nothing would keep them
        goto done;
    rng_seed(&rng, seed);
    if (!gguf)
        RT_TRY(fmt_st_open(folder, &st));
    for (uint32_t i = 0; i < a->params.n; i++) {
        const struct md_param *p = &a->params.all[i];
        const char *name = p->name + strlen(PREFIX);
        if (p->part == MD_PART_LORA_A)
            RT_TRY(init_a(p, &rng, to));
        if (p->weight == MD_HEAD && !gguf && !fmt_st_find(&st, name))
            name = "model.embed_tokens.weight";
        if (p->part == MD_PART_WEIGHT)
            RT_TRY(init_copy(p, folder, load_dtype, name, to));
    }
done:
    fmt_st_close(&st);
    return err;
}

// Tensors that the settings do not speak of would be left out in silence.
static enum rt_err check_known(const struct md_adapter *a, const char *path)
{
    enum rt_err err = RT_OK;
    struct fmt_st st = {0};

    RT_TRY(fmt_st_open(path, &st));
    for (uint32_t i = 0; i < st.n; i++) {
        uint32_t k = 0;
        while (k < a->params.n && strcmp(a->params.all[k].name, st.tensors[i].name) != 0)
            k++;
        if (k == a->params.n)
            RT_TRY(rt_fail(RT_E_FORMAT,
                           "%s: %s: no tensor of this adapter by its "
                           "adapter_config.json and the base model",
                           path, st.tensors[i].name));
    }
done:
    fmt_st_close(&st);
    return err;
}

enum rt_err md_adapter_load(const struct md_adapter *a, const char *folder, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    char *path = NULL;

    RT_TRY(path_join(folder, FILE_NAME, &path));
    RT_TRY(md_weights_load(&a->params, path, RT_F32, to));
    RT_TRY(check_known(a, path));
done:
    free(path);
    return err;
}

enum rt_err md_adapter_save(const struct md_adapter *a, const struct md_flat *from,
                            const char *base_model, const char *dir)
{
    enum rt_err err = RT_OK;
    struct fmt_peft peft = a->peft;

    peft.base_model = NULL;
    RT_TRY(str_dup(base_model, &peft.base_model));
    RT_TRY(fmt_peft_write(&peft, dir));
    RT_TRY(md_weights_save(&a->params, from, dir, "adapter_model", RT_F32, 1.0));
done:
    free(peft.base_model);
    return err;
}
