// The whole: required options, contradictions, and the translation into a tr_config.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/api/options_internal.h"
#include "src/base/arith.h"
#include "src/base/file.h"

static enum rt_err resolve_storage(const struct options *o, enum rt_type *out)
{
    const bool fp16 = bool_of(o, "fp16"), named = given(o, "bf16") != NULL,
               bf16 = named ? bool_of(o, "bf16") : !fp16;
    if (fp16 && bf16)
        return rt_fail(RT_E_USAGE, "fp16 and bf16 are both true: expected one of them");
    *out = fp16 ? RT_F16 : bf16 ? RT_BF16 : RT_F32;
    return RT_OK;
}

static enum rt_type dtype_of(const char *name)
{
    return name && strcmp(name, "float16") == 0    ? RT_F16
           : name && strcmp(name, "bfloat16") == 0 ? RT_BF16
                                                   : RT_F32;
}

static enum rt_err list_without_effect(const struct options *o)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    for (size_t i = 0; OPT_ROWS[i].name; i++)
        if (OPT_ROWS[i].rule == OPT_NOTHING && o->values[i] &&
            !opt_is_default(&OPT_ROWS[i], o->values[i]))
            RT_TRY(
                str_printf(&s, "%s%s (%s)", s.len ? ", " : "", OPT_ROWS[i].name, OPT_ROWS[i].help));
    if (s.len)
        log_info("options without effect here: %s", s.data);
done:
    str_free(&s);
    return err;
}

static enum rt_err require(const struct options *o, bool train)
{
    static const char *const NEEDED[] = {"model_name_or_path", "dataset_name", "output_dir"};
    for (size_t i = 0; i < COUNT_OF(NEEDED) - !train; i++)
        if (!given(o, NEEDED[i]) && !(i == 1 && given(o, "datasets")) &&
            !(i == 1 && !train && given(o, "eval_dataset_name")))
            return rt_fail(RT_E_USAGE, "%s is not given: expected --%s or a recipe with it",
                           NEEDED[i], NEEDED[i]);
    return RT_OK;
}

static void resolve_numbers(const struct options *o, struct tr_config *c)
{
    const cJSON *length = o->values[opt_row_index("max_length")];
    c->max_length = cJSON_IsNull(length) ? 0 : (uint32_t) num_of(o, "max_length");
    c->seed = (uint64_t) num_of(o, "seed");
    c->data_seed = given(o, "data_seed") ? (uint64_t) num_of(o, "data_seed") : c->seed;
    c->per_device_train_batch_size = (uint32_t) num_of(o, "per_device_train_batch_size");
    c->gradient_accumulation_steps = (uint32_t) num_of(o, "gradient_accumulation_steps");
    c->num_train_epochs = num_of(o, "num_train_epochs");
    c->max_steps = (int64_t) num_of(o, "max_steps");
    c->beta = num_of(o, "beta");
    c->ld = given(o, "ld_alpha") != NULL;
    c->ld_alpha = num_of(o, "ld_alpha");
    c->has_router_aux_loss_coef = given(o, "router_aux_loss_coef") != NULL;
    c->router_aux_loss_coef = num_of(o, "router_aux_loss_coef");
    c->use_weighting = bool_of(o, "use_weighting");
    c->learning_rate = num_of(o, "learning_rate");
    c->weight_decay = num_of(o, "weight_decay");
    c->adam_beta1 = num_of(o, "adam_beta1");
    c->adam_beta2 = num_of(o, "adam_beta2");
    c->adam_epsilon = num_of(o, "adam_epsilon");
    c->max_grad_norm = num_of(o, "max_grad_norm");
    const char *recompute = given(o, "activation_checkpointing") ? "activation_checkpointing"
                                                                 : "gradient_checkpointing";
    if (given(o, recompute))
        c->gradient_checkpointing = bool_of(o, recompute) ? TR_RECOMPUTE_ALL : TR_RECOMPUTE_NONE;
    c->pass_tokens = (uint32_t) num_of(o, "pass_tokens");
    c->loss_scale = num_of(o, "loss_scale");
}

static void resolve_words(const struct options *o, struct tr_config *c)
{
    c->model_name_or_path = text_of(o, "model_name_or_path");
    c->ref_model_name_or_path = text_of(o, "ref_model_name_or_path");
    c->output_dir = text_of(o, "output_dir");
    c->dump_dir = text_of(o, "dump_dir");
    c->device = text_of(o, "device");
    c->disable = text_of(o, "disable");
    c->clamp = text_of(o, "clamp");
    c->cache_dir = text_of(o, "cache_dir");
    c->token_cache_bytes = (uint64_t) (num_of(o, "token_cache_gb") * 0x1p30);
    c->truncation_mode =
        strcmp(text_of(o, "truncation_mode"), "keep_end") == 0 ? DS_KEEP_END : DS_KEEP_START;
    c->sequential = strcmp(text_of(o, "train_sampling_strategy"), "sequential") == 0;
    c->strict = bool_of(o, "strict");
    c->profile = bool_of(o, "profile");
    c->dataloader_drop_last = bool_of(o, "dataloader_drop_last");
    c->log_nan = !bool_of(o, "logging_nan_inf_filter");
    c->logging_first_step = bool_of(o, "logging_first_step");
    c->disable_tqdm = given(o, "disable_tqdm") ? bool_of(o, "disable_tqdm") : !os_is_terminal();
}

static enum rt_err resolve_source(const struct options *o, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    const char *dtype, *revision, *save = text_of(o, "save_dtype");
    struct rt_clamp clamp;

    RT_TRY(opt_resolve_init(o, &dtype, &revision));
    c->load_dtype = dtype_of(dtype);
    c->save_dtype = save ? dtype_of(save) : c->load_dtype;
    RT_TRY(rt_clamp_parse(c->disable, c->clamp, &clamp)); // wrong ones are refused before loading
done:
    return err;
}

enum rt_err options_resolve(const struct options *o, bool train, struct tr_config *out)
{
    enum rt_err err = RT_OK;
    struct tr_config c = {0};

    RT_TRY(require(o, train));
    RT_TRY(resolve_storage(o, &c.storage));
    resolve_words(o, &c);
    resolve_numbers(o, &c);
    RT_TRY(resolve_source(o, &c));
    RT_TRY(opt_resolve_data(o, &c));
    RT_TRY(opt_resolve_loss(o, &c));
    RT_TRY(opt_resolve_schedule(o, &c));
    RT_TRY(opt_resolve_optim(o, &c));
    RT_TRY(opt_resolve_logging(o, &c));
    RT_TRY(opt_resolve_lora(o, &c));
    RT_TRY(opt_resolve_reference(o, &c));
    RT_TRY(opt_resolve_eval(o, &c));
    RT_TRY(opt_resolve_saving(o, &c));
    RT_TRY(list_without_effect(o));
    *out = c;
done:
    return err;
}
