// src/cli/inspect.c -- `anydpo inspect`: the rows of a run as the trainer sees them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/api/inspect.h"
#include "src/cli/cmd.h"
#include "src/cli/job.h"

static enum rt_err parse_row(const char *text, int64_t *out)
{
    char *end;
    const long long v = text ? strtoll(text, &end, 10) : -1;
    if (!text || end == text || *end || v < 0)
        return rt_fail(RT_E_USAGE, "inspect: --row: expected a row number from 0, found %.60s",
                       text ? text : "nothing");
    *out = v;
    return RT_OK;
}

// Take the words that are inspect's own out of words[0 .. *n); the rest are train's options.
static enum rt_err take_own(int *n, char **words, struct api_inspect_args *a)
{
    enum rt_err err = RT_OK;
    int kept = 0;

    *a = (struct api_inspect_args){.row = -1};
    for (int i = 0; i < *n; i++) {
        if (strcmp(words[i], "--summary") == 0)
            a->summary = true;
        else if (strcmp(words[i], "--json") == 0)
            a->json = true;
        else if (strcmp(words[i], "--row") == 0) {
            RT_TRY(parse_row(i + 1 < *n ? words[i + 1] : NULL, &a->row));
            i++;
        } else if (strncmp(words[i], "--row=", 6) == 0)
            RT_TRY(parse_row(words[i] + 6, &a->row));
        else
            words[kept++] = words[i];
    }
    *n = kept;
    if (a->summary && a->row >= 0)
        RT_TRY(rt_fail(RT_E_USAGE, "inspect: expected --summary or --row, found both"));
done:
    return err;
}

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct api_inspect_args args;
    struct anydpo_job *job = NULL;
    struct str out = {0};

    (void) opt;
    RT_TRY(take_own(&n, words, &args));
    RT_TRY(cmd_job_make("inspect [--row N | --summary] [--json]", n, words, &job));
    if (!job)
        goto done;
    RT_TRY(api_inspect(job, &args, &out));
    fwrite(out.data ? out.data : "", 1, out.len, stdout);
done:
    str_free(&out);
    anydpo_job_destroy(&job);
    return err;
}

const struct cmd cmd_inspect = {
    "inspect", "rows as the trainer sees them: tokens, what is trained on, what is cut",
    "[--row N | --summary] [--json] [--config RECIPE] [--OPTION VALUE]...", NULL, run};
