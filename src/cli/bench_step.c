// src/cli/bench_step.c -- `anydpo bench step`: whole training steps, and their share of the
// device's matmul.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cli/cmd.h"
#include "src/cli/job.h"

enum { STEPS = 5 };

static void print(const struct anydpo_step *s, bool json)
{
    const double share = s->matmul_gflops > 0.0 ? s->useful_gflops / s->matmul_gflops : 0.0;

    printf(json ? "{\"device\": \"%s\", \"storage\": \"%s\", \"steps\": %u, \"seconds\": %.4f, "
                  "\"pairs_per_s\": %.4f, \"tokens_per_s\": %.1f, \"useful_gflops\": %.2f, "
                  "\"matmul_gflops\": %.2f, \"share\": %.3f}\n"
                : "%s, %s: %u steps, median %.3f s; %.3f pairs/s, %.0f tokens/s (shared prompts "
                  "once); useful %.1f GFLOP/s, best matmul %.1f: a share of %.2f\n",
           s->device, s->storage, s->steps, s->seconds, s->pairs_per_s, s->tokens_per_s,
           s->useful_gflops, s->matmul_gflops, share);
}

// Its own words leave the list; the rest are options of train.
static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct anydpo_job *job = NULL;
    struct anydpo_step step;
    bool json = false;
    long steps = STEPS;
    int k = 0;

    (void) opt;
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], "--json") == 0)
            json = true;
        else if (strcmp(words[i], "--steps") == 0 && i + 1 < n)
            steps = strtol(words[++i], NULL, 10);
        else
            words[k++] = words[i];
    if (steps < 1 || steps > 1000)
        RT_TRY(rt_fail(RT_E_USAGE, "bench step: --steps: expected 1 .. 1000"));
    RT_TRY(cmd_job_make("bench step", k, words, &job));
    if (!job)
        goto done;
    RT_TRY(cmd_job_err(anydpo_bench_step(job, (uint32_t) steps, &step)));
    print(&step, json);
done:
    anydpo_job_destroy(&job);
    return err;
}

const struct cmd cmd_bench_step = {"bench step", "training steps, timed, nothing written",
                                   "[--steps N] [--json] [--config RECIPE] [--OPTION VALUE]...",
                                   NULL, run};
