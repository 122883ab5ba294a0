// src/cli/eval.c -- `anydpo eval`: a model on held-out preference rows, a line of JSON a file.
#include <stdio.h>
#include <string.h>

#include "src/cli/cmd.h"
#include "src/cli/job.h"

// A file's name may come from a recipe's key.
static void print_text(const char *s)
{
    putchar('"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char) *s < 0x20)
            printf("\\u%04x", (unsigned) *s);
        else
            putchar(*s);
    putchar('"');
}

static void print(void *user, const char *name, const struct anydpo_eval *e)
{
    (void) user;
    printf("{\"set\": ");
    print_text(name);
    printf(", \"pairs\": %u, \"dropped\": %u, \"loss\": %.6f, \"rewards_accuracies\": %.4f, "
           "\"rewards_margins\": %.6f, \"ranked\": %u, \"ranked_per_token\": %u, "
           "\"logps_chosen\": %.4f, \"logps_rejected\": %.4f}\n",
           e->pairs, e->dropped, e->loss, e->rewards_accuracies, e->rewards_margins, e->ranked,
           e->ranked_per_token, e->logps_chosen, e->logps_rejected);
    fflush(stdout);
}

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct anydpo_job *job = NULL;
    int kept = 0;

    (void) opt;
    for (int i = 0; i < n; i++) // what comes out is JSON in any case
        if (strcmp(words[i], "--json") != 0)
            words[kept++] = words[i];
    RT_TRY(cmd_job_make("eval", kept, words, &job));
    if (!job)
        goto done;
    RT_TRY(cmd_job_err(anydpo_evaluate_each(job, print, NULL)));
done:
    anydpo_job_destroy(&job);
    return err;
}

const struct cmd cmd_eval = {"eval", "log-probs and rewards of held-out pairs",
                             "[--config RECIPE] [--OPTION VALUE]...", NULL, run};
