// Options of checkpoints.
#include "src/api/options_internal.h"
#include "src/base/arith.h"

// Every checkpoint must have an evaluation of its step. Source: transformers' TrainingArguments.
static enum rt_err check_strategies(const struct tr_config *c)
{
    static const enum tr_eval_strategy OF[] = {TR_EVAL_NO, TR_EVAL_STEPS, TR_EVAL_EPOCH};
    const double times = c->save_steps / c->eval_steps;
    const bool shares = c->save_steps < 1.0 && c->eval_steps < 1.0;

    if (c->save_strategy == TR_SAVE_BEST || !c->load_best_model_at_end)
        return RT_OK;
    if (c->eval_strategy != OF[c->save_strategy])
        return rt_fail(RT_E_USAGE, "load_best_model_at_end: expected save_strategy and "
                                   "eval_strategy to be the same, or save_strategy best");
    if (c->eval_strategy != TR_EVAL_STEPS)
        return RT_OK;
    if ((c->save_steps < 1.0 || c->eval_steps < 1.0) && !shares)
        return rt_fail(RT_E_USAGE,
                       "load_best_model_at_end: expected save_steps and eval_steps to be both "
                       "numbers of steps or both shares, found %g and %g",
                       c->save_steps, c->eval_steps);
    if (fabs(times - nearbyint(times)) > 1e-6)
        return rt_fail(RT_E_USAGE,
                       "load_best_model_at_end: expected save_steps to be a multiple of "
                       "eval_steps, found %g and %g",
                       c->save_steps, c->eval_steps);
    return RT_OK;
}

static enum rt_err resolve_best(const struct options *o, struct tr_config *c)
{
    const char *metric = text_of(o, "metric_for_best_model");

    c->load_best_model_at_end = bool_of(o, "load_best_model_at_end");
    c->metric_for_best_model = !metric && c->load_best_model_at_end ? "loss" : metric;
    c->greater_is_better =
        given(o, "greater_is_better")
            ? bool_of(o, "greater_is_better")
            : c->metric_for_best_model && !str_has_suffix(c->metric_for_best_model, "loss");
    if (c->save_strategy == TR_SAVE_BEST && !c->metric_for_best_model)
        return rt_fail(RT_E_USAGE, "save_strategy best: expected metric_for_best_model (loss, "
                                   "rewards/accuracies, ...)");
    if (c->save_strategy == TR_SAVE_BEST && c->eval_strategy == TR_EVAL_NO)
        return rt_fail(RT_E_USAGE, "save_strategy best: expected eval_strategy steps or epoch");
    return check_strategies(c);
}

enum rt_err opt_resolve_saving(const struct options *o, struct tr_config *c)
{
    static const char *const STRATEGY[] = {"no", "steps", "epoch", "best"};
    const cJSON *resume = given(o, "resume_from_checkpoint");
    bool whether;

    for (size_t i = 0; i < COUNT_OF(STRATEGY); i++)
        if (strcmp(STRATEGY[i], text_of(o, "save_strategy")) == 0)
            c->save_strategy = (enum tr_save_strategy) i;
    c->save_steps = num_of(o, "save_steps");
    if (c->save_steps > 1.0 && fabs(c->save_steps - nearbyint(c->save_steps)) > 0.0)
        return rt_fail(RT_E_USAGE,
                       "save_steps: expected an integer, or a share of all steps below 1, found %g",
                       c->save_steps);
    c->save_total_limit = (uint32_t) num_of(o, "save_total_limit");
    c->save_only_model = bool_of(o, "save_only_model");
    if (resume && opt_to_bool(resume, &whether))
        c->resume_from_checkpoint = whether ? "true" : NULL;
    else if (resume)
        c->resume_from_checkpoint = resume->valuestring;
    return resolve_best(o, c);
}
