// src/cli/train.c -- `anydpo train`: align a model by DPO.
#include <signal.h>
#include <stddef.h>

#include "src/cli/cmd.h"
#include "src/cli/job.h"

// For the signal handler alone.
static struct anydpo_job *g_job;
static volatile sig_atomic_t g_signal;

int cmd_signal(void)
{
    return g_signal;
}

static void on_signal(int sig)
{
    g_signal = sig;
    anydpo_stop(g_job);
    signal(sig, SIG_DFL); // a second one ends the program at once
}

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;

    (void) opt;
    RT_TRY(cmd_job_make("train", n, words, &g_job));
    if (!g_job)
        goto done;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    err = cmd_job_err(anydpo_train(g_job));
done:
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    anydpo_job_destroy(&g_job);
    return err;
}

const struct cmd cmd_train = {"train", "align a model by DPO",
                              "[--config RECIPE] [--OPTION VALUE]...", NULL, run};
