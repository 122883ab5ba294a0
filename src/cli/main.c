// src/cli/main.c -- the command line: finds the subcommand, parses its table, maps errors to the
// exit status.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anydpo.h"
#include "src/base/arith.h"
#include "src/base/str.h"
#include "src/cli/cmd.h"

static const struct cmd *const COMMANDS[] = {
    &cmd_train,   &cmd_generate, &cmd_eval, &cmd_devices, &cmd_conform,
    &cmd_convert, &cmd_tokenize, &cmd_chat, &cmd_inspect, &cmd_bench_step,
    &cmd_bench,   &cmd_plan,     &cmd_tune};

enum { MOST_OPTIONS = 32 };

static void usage(FILE *out)
{
    fprintf(out,
            "anydpo %s: Direct Preference Optimization on any GPU\n\nusage: anydpo COMMAND "
            "[OPTIONS]\n\n",
            anydpo_version());
    for (size_t i = 0; i < COUNT_OF(COMMANDS); i++)
        fprintf(out, "  %-10s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    fprintf(out, "\nanydpo COMMAND --help says more.\n");
}

static void help(const struct cmd *c)
{
    printf("usage: anydpo %s %s\n%s\n", c->name, c->usage, c->summary);
    for (const struct cmd_opt *o = c->opts; o->name; o++)
        printf("  --%-24s %s%s%s%s\n", o->name, o->help, o->def ? " (default: " : "",
               o->def ? o->def : "", o->def ? ")" : "");
}

static enum rt_err set_value(const struct cmd *c, const struct cmd_opt *o, const char *text,
                             union cmd_val *out)
{
    char *end;
    double x;

    if (o->kind == CMD_STR) {
        out->str = text;
        return RT_OK;
    }
    if (o->kind == CMD_FLAG) {
        out->flag = strcmp(text, "true") == 0;
        return RT_OK;
    }
    x = strtod(text, &end);
    if (end == text || *end || !(x >= o->min && x <= o->max) ||
        (o->kind == CMD_INT && x < 9e15 && x > -9e15 && (double) (int64_t) x != x))
        return rt_fail(RT_E_USAGE, "%s: --%s: expected %s in %g .. %g, found %.60s", c->name,
                       o->name, o->kind == CMD_INT ? "an integer" : "a number", o->min, o->max,
                       text);
    if (o->kind == CMD_INT)
        out->num = (int64_t) x;
    else
        out->real = x;
    return RT_OK;
}

static enum rt_err fail_unknown(const struct cmd *c, const char *word)
{
    const char *best = "help";
    unsigned least = 255;
    for (const struct cmd_opt *o = c->opts; o->name; o++)
        if (str_distance(word + 2, o->name) < least) {
            least = str_distance(word + 2, o->name);
            best = o->name;
        }
    return rt_fail(RT_E_USAGE, "%s: unknown option %.60s; did you mean --%s?", c->name, word, best);
}

// Options by the table into `val`; other words are moved to the front of argv. Returns their number
// in *n_words.
static enum rt_err parse(const struct cmd *c, int argc, char **argv, union cmd_val *val,
                         int *n_words)
{
    enum rt_err err = RT_OK;

    *n_words = 0;
    for (size_t i = 0; c->opts[i].name; i++)
        if (c->opts[i].def)
            RT_TRY(set_value(c, &c->opts[i], c->opts[i].def, &val[i]));
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *eq = strchr(word, '=');
        const size_t n = eq ? (size_t) (eq - word) : strlen(word);
        size_t k = 0;
        if (strncmp(word, "--", 2) != 0) {
            argv[(*n_words)++] = argv[i];
            continue;
        }
        while (c->opts[k].name &&
               (strlen(c->opts[k].name) != n - 2 || memcmp(c->opts[k].name, word + 2, n - 2) != 0))
            k++;
        if (!c->opts[k].name)
            RT_TRY(fail_unknown(c, word));
        const char *text = eq                            ? eq + 1
                           : c->opts[k].kind == CMD_FLAG ? "true"
                           : i + 1 < argc                ? argv[++i]
                                                         : NULL;
        if (!text)
            RT_TRY(rt_fail(RT_E_USAGE, "%s: --%s: expected a value", c->name, c->opts[k].name));
        RT_TRY(set_value(c, &c->opts[k], text, &val[k]));
    }
done:
    return err;
}

static enum rt_err run(const struct cmd *c, int argc, char **argv)
{
    enum rt_err err = RT_OK;
    union cmd_val val[MOST_OPTIONS] = {0};
    int n = argc;

    if (c->opts) {
        if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
            help(c);
            goto done;
        }
        RT_TRY(parse(c, argc, argv, val, &n));
    }
    err = c->run(val, n, argv);
done:
    return err;
}

static int exit_status(enum rt_err err)
{
    if (err == RT_E_INTERRUPTED)
        return 128 + cmd_signal();
    return err == RT_OK ? 0 : err == RT_E_USAGE ? 2 : 1;
}

// How many of the words are the command's name, which may be two; 0: they are another's.
static int words_of(const struct cmd *c, int n, char **words)
{
    const char *second = strchr(c->name, ' ');
    const size_t first = second ? (size_t) (second - c->name) : strlen(c->name);

    if (n < 1 || strlen(words[0]) != first || memcmp(words[0], c->name, first) != 0)
        return 0;
    if (!second)
        return 1;
    return n > 1 && strcmp(words[1], second + 1) == 0 ? 2 : 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        usage(stdout);
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("anydpo %s\n", anydpo_version());
        return 0;
    }
    for (size_t i = 0; i < COUNT_OF(COMMANDS); i++)
        if (words_of(COMMANDS[i], argc - 1, argv + 1) > 0) {
            const int n = 1 + words_of(COMMANDS[i], argc - 1, argv + 1);
            const int status = exit_status(run(COMMANDS[i], argc - n, argv + n));
            if (fflush(stdout) != 0 || ferror(stdout)) {
                fprintf(stderr, "anydpo: error: standard output cannot be written\n");
                return 1;
            }
            return status;
        }
    if (argc >= 2)
        fprintf(stderr, "anydpo: error: unknown command %.60s\n\n", argv[1]);
    usage(stderr);
    return 2;
}
