// Options of checkpoints.
#include "src/api/options_internal.h"
#include "src/base/arith.h"

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
    if (c->save_strategy == TR_SAVE_BEST)
        return rt_fail(RT_E_UNSUPPORTED, "save_strategy: best is not supported yet");
    c->save_total_limit = (uint32_t) num_of(o, "save_total_limit");
    c->save_only_model = bool_of(o, "save_only_model");
    if (resume && opt_to_bool(resume, &whether))
        c->resume_from_checkpoint = whether ? "true" : NULL;
    else if (resume)
        c->resume_from_checkpoint = resume->valuestring;
    return RT_OK;
}
