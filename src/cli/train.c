// src/cli/train.c -- `anydpo train`: align a model by DPO.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "anydpo.h"
#include "src/api/options.h"
#include "src/cli/cmd.h"

static struct anydpo_job *g_job; // for the signal handler alone

static void on_signal(int sig)
{
    anydpo_stop(g_job);
    signal(sig, SIG_DFL); // a second one ends the program at once
}

static enum rt_err help(void)
{
    struct str s = { 0 };
    const enum rt_err err = options_help(&s, false);
    if (err == RT_OK)
        printf("usage: anydpo train [--config RECIPE] [--OPTION VALUE]...\n\n%s", s.data);
    str_free(&s);
    return err;
}

static enum rt_err to_err(enum anydpo_status status)
{
    return status == ANYDPO_OK ? RT_OK : status == ANYDPO_USAGE ? RT_E_USAGE : status == ANYDPO_STOPPED ? RT_E_INTERRUPTED
        : RT_E_IO;
}

// --name value..., --name=value, --flag, --no_flag, --no-flag; several words make a list.
static enum rt_err parse(int n, char **words, const char **recipe)
{
    enum rt_err err = RT_OK;
    struct str list = { 0 };

    for (int i = 0; i < n;) {
        char name[80], *eq = strchr(words[i], '='), *value = NULL;
        if (strncmp(words[i], "--", 2) != 0)
            RT_TRY(rt_fail(RT_E_USAGE, "train: expected --OPTION, found %.60s", words[i]));
        const size_t len = eq ? (size_t) (eq - words[i]) - 2 : strlen(words[i]) - 2;
        snprintf(name, sizeof(name), "%.*s", (int) (len < sizeof(name) ? len : sizeof(name) - 1), words[i] + 2);
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : *c;
        value = eq ? eq + 1 : NULL;
        i++;
        int k = 0;
        while (!value && i + k < n && strncmp(words[i + k], "--", 2) != 0)
            k++;
        str_clear(&list);
        for (int j = 0; k > 1 && j < k; j++)
            RT_TRY(str_printf(&list, "%s\"%s\"%s", j ? "," : "[", words[i + j], j + 1 == k ? "]" : ""));
        const bool negated = k == 0 && !value && strncmp(name, "no_", 3) == 0;
        if (!value)
            value = k > 1 ? list.data : k == 1 ? words[i] : negated ? "false" : "true";
        i += k;
        if (strcmp(name, "config") == 0)
            *recipe = value;
        else
            RT_TRY(to_err(anydpo_set(g_job, name + (negated ? 3 : 0), value)));
    }
done:
    str_free(&list);
    return err;
}

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    const char *recipe = NULL;

    (void) opt;
    if (n > 0 && (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0))
        return help();
    RT_TRY(to_err(anydpo_job_create(&g_job)));
    RT_TRY(parse(n, words, &recipe));
    if (recipe)
        RT_TRY(to_err(anydpo_load(g_job, recipe)));
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    err = to_err(anydpo_train(g_job));
done:
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    anydpo_job_destroy(&g_job);
    return err;
}

const struct cmd cmd_train = { "train", "align a model by DPO", "[--config RECIPE] [--OPTION VALUE]...", NULL, run };
