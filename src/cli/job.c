// src/cli/job.c -- the options of a job from the command line: TRL's names, a recipe, a flag beats
// the file.
#include "src/cli/job.h"

#include <stdio.h>
#include <string.h>

#include "src/api/options.h"
#include "src/base/str.h"

static enum rt_err help(const char *command, bool markdown)
{
    struct str s = {0};
    const enum rt_err err = markdown ? options_markdown(&s) : options_help(&s);
    if (err == RT_OK && markdown)
        printf("%s", s.data);
    else if (err == RT_OK)
        printf("usage: anydpo %s [--config RECIPE] [--OPTION VALUE]...\n\n%s", command, s.data);
    str_free(&s);
    return err;
}

enum rt_err cmd_job_err(enum anydpo_status status)
{
    return status == ANYDPO_OK        ? RT_OK
           : status == ANYDPO_USAGE   ? RT_E_USAGE
           : status == ANYDPO_STOPPED ? RT_E_INTERRUPTED
                                      : RT_E_IO;
}

// One item of a list that is written as JSON.
static enum rt_err add_word(struct str *list, const char *word, bool first, bool last)
{
    enum rt_err err = RT_OK;

    RT_TRY(str_puts(list, first ? "[" : ""));
    RT_TRY(options_quote(list, word));
    RT_TRY(str_puts(list, last ? "]" : ","));
done:
    return err;
}

static bool is_option(const char *name)
{
    for (const struct opt_row *r = OPT_ROWS; r->name; r++)
        if (strcmp(r->name, name) == 0)
            return true;
    return false;
}

// --name value..., --name=value, --flag, --no_flag, --no-flag; several words make a list.
static enum rt_err parse(struct anydpo_job *job, int n, char **words, const char **recipe)
{
    enum rt_err err = RT_OK;
    struct str list = {0};

    for (int i = 0; i < n;) {
        char name[80], *eq = strchr(words[i], '='), *value = NULL;
        if (strncmp(words[i], "--", 2) != 0)
            RT_TRY(rt_fail(RT_E_USAGE, "expected --OPTION, found %.60s", words[i]));
        const size_t len = eq ? (size_t) (eq - words[i]) - 2 : strlen(words[i]) - 2;
        snprintf(name, sizeof(name), "%.*s", (int) (len < sizeof(name) ? len : sizeof(name) - 1),
                 words[i] + 2);
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : *c;
        value = eq ? eq + 1 : NULL;
        i++;
        int k = 0;
        while (!value && i + k < n && strncmp(words[i + k], "--", 2) != 0)
            k++;
        str_clear(&list);
        for (int j = 0; k > 1 && j < k; j++)
            RT_TRY(add_word(&list, words[i + j], j == 0, j + 1 == k));
        const bool negated = k == 0 && !value && strncmp(name, "no_", 3) == 0 && !is_option(name);
        if (!value)
            value = k > 1 ? list.data : k == 1 ? words[i] : negated ? "false" : "true";
        i += k;
        if (strcmp(name, "config") == 0)
            *recipe = value;
        else
            RT_TRY(cmd_job_err(anydpo_set(job, name + (negated ? 3 : 0), value)));
    }
done:
    str_free(&list);
    return err;
}

enum rt_err cmd_job_make(const char *command, int n, char **words, struct anydpo_job **out)
{
    enum rt_err err = RT_OK;
    const char *recipe = NULL;

    *out = NULL;
    if (n > 0 && (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0))
        return help(command, n > 1 && strcmp(words[1], "markdown") == 0);
    RT_TRY(cmd_job_err(anydpo_job_create(out)));
    RT_TRY(parse(*out, n, words, &recipe));
    if (recipe)
        RT_TRY(cmd_job_err(anydpo_load(*out, recipe)));
done:
    if (err != RT_OK)
        anydpo_job_destroy(out);
    return err;
}
