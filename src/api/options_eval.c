// Options of the reference and of evaluation.
#include "src/api/options_internal.h"

static enum rt_err add_file(const cJSON *v, struct tr_config *c)
{
    if (!cJSON_IsString(v))
        return rt_fail(RT_E_USAGE,
                       "eval_dataset_name: expected a file, a list of files or a mapping of names "
                       "to files, found %s in it",
                       fmt_json_kind(v));
    if (c->n_eval_files == TR_EVAL_FILES)
        return rt_fail(RT_E_USAGE, "eval_dataset_name: expected up to %d files, found more",
                       TR_EVAL_FILES);
    c->eval_files[c->n_eval_files++] = (struct tr_eval_file){v->string, v->valuestring};
    return RT_OK;
}

static enum rt_err resolve_files(const cJSON *v, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    const cJSON *item;

    if (v && !cJSON_IsArray(v) && !cJSON_IsObject(v)) {
        RT_TRY(add_file(v, c));
        c->eval_files[0].name = NULL; // the node's name is the option's
        goto done;
    }
    cJSON_ArrayForEach(item, v) RT_TRY(add_file(item, c));
done:
    return err;
}

enum rt_err opt_resolve_eval(const struct options *o, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    const char *strategy = text_of(o, "eval_strategy");
    const double steps = num_of(o, "eval_steps");

    c->eval_strategy = strcmp(strategy, "steps") == 0   ? TR_EVAL_STEPS
                       : strcmp(strategy, "epoch") == 0 ? TR_EVAL_EPOCH
                                                        : TR_EVAL_NO;
    c->sample_prompts = text_of(o, "sample_prompts");
    c->sample_max_new_tokens = (uint32_t) num_of(o, "sample_max_new_tokens");
    if (c->sample_prompts && c->eval_strategy == TR_EVAL_NO)
        RT_TRY(rt_fail(RT_E_USAGE, "sample_prompts are answered at each evaluation: expected "
                                   "eval_strategy steps or epoch"));
    c->per_row = text_of(o, "per_row");
    c->eval_on_start = bool_of(o, "eval_on_start");
    c->eval_delay = num_of(o, "eval_delay");
    c->eval_steps = steps > 0.0 ? steps : num_of(o, "logging_steps"); // as in transformers
    c->per_device_eval_batch_size = (uint32_t) num_of(o, "per_device_eval_batch_size");
    c->dataset_test_split = text_of(o, "dataset_test_split");
    RT_TRY(resolve_files(given(o, "eval_dataset_name"), c));
    if (steps > 1.0 && fabs(steps - nearbyint(steps)) > 0.0)
        RT_TRY(rt_fail(RT_E_USAGE, "eval_steps: expected an integer above 1, found %g", steps));
    if (c->eval_strategy == TR_EVAL_STEPS && !(c->eval_steps > 0.0))
        RT_TRY(
            rt_fail(RT_E_USAGE, "eval_strategy steps: expected eval_steps, as logging_steps is 0"));
done:
    return err;
}

enum rt_err opt_resolve_reference(const struct options *o, struct tr_config *c)
{
    c->sync_ref_model = bool_of(o, "sync_ref_model");
    c->ref_model_mixup_alpha = num_of(o, "ref_model_mixup_alpha");
    c->ref_model_sync_steps = (uint32_t) num_of(o, "ref_model_sync_steps");
    c->precompute_ref_log_probs = bool_of(o, "precompute_ref_log_probs");
    c->precompute_ref_batch_size = (uint32_t) num_of(o, "precompute_ref_batch_size");
    c->ref_log_probs_file = text_of(o, "ref_log_probs_file");
    if (c->reference_free && (c->sync_ref_model || c->precompute_ref_log_probs))
        return rt_fail(RT_E_USAGE, "%s: the loss_type given has no reference",
                       c->sync_ref_model ? "sync_ref_model" : "precompute_ref_log_probs");
    if (c->sync_ref_model && c->precompute_ref_log_probs)
        return rt_fail(RT_E_USAGE,
                       "sync_ref_model and precompute_ref_log_probs do not go together: "
                       "a synced reference has other log-probs after each sync");
    if (c->ref_log_probs_file && !c->precompute_ref_log_probs)
        return rt_fail(RT_E_USAGE,
                       "ref_log_probs_file: it is read with precompute_ref_log_probs true only");
    if (c->sync_ref_model && c->lora.use)
        return rt_fail(RT_E_USAGE,
                       "sync_ref_model does not go with LoRA: the reference is the base "
                       "model, of which there is no copy to move");
    return RT_OK;
}
