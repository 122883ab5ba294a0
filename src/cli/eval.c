// src/cli/eval.c -- `anydpo eval`: a model on held-out preference rows, one line of JSON.
#include <stdio.h>

#include "src/cli/cmd.h"
#include "src/cli/job.h"

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct anydpo_job *job = NULL;
    struct anydpo_eval e;

    (void) opt;
    RT_TRY(cmd_job_make("eval", n, words, &job));
    if (!job)
        goto done;
    RT_TRY(cmd_job_err(anydpo_evaluate(job, &e)));
    printf("{\"pairs\": %u, \"dropped\": %u, \"loss\": %.6f, \"rewards_accuracies\": %.4f, "
           "\"rewards_margins\": %.6f, "
           "\"ranked\": %u, \"ranked_per_token\": %u, \"logps_chosen\": %.4f, \"logps_rejected\": "
           "%.4f}\n",
           e.pairs, e.dropped, e.loss, e.rewards_accuracies, e.rewards_margins, e.ranked,
           e.ranked_per_token, e.logps_chosen, e.logps_rejected);
done:
    anydpo_job_destroy(&job);
    return err;
}

const struct cmd cmd_eval = {"eval", "log-probs and rewards of held-out pairs",
                             "[--config RECIPE] [--OPTION VALUE]...", NULL, run};
