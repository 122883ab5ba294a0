// src/cli/plan.c -- `anydpo plan`: the device memory of a run, before anything of it is loaded.
#include <stdio.h>
#include <string.h>

#include "src/base/str.h"
#include "src/cli/cmd.h"
#include "src/cli/job.h"

enum { SMALL = 1 << 16 };

struct table {
    bool json;
    uint32_t rows;
    char group[32];          // that the last row was of
    uint64_t saves;          // rows of that group so far
    uint64_t small, n_small; // bytes of rows too small for a line of their own, and their number
};

static void print_row(void *user, const struct anydpo_plan_row *r)
{
    struct table *t = user;
    const bool saves = strcmp(r->group, "saves") == 0;
    char a[32];

    if (t->json) {
        printf("%s{\"group\": \"%s\", \"name\": \"%s\", \"bytes\": %llu, \"buffers\": %u}",
               t->rows++ ? ",\n  " : "{\"rows\": [\n  ", r->group, r->name,
               (unsigned long long) r->bytes, r->buffers);
        return;
    }
    if (!saves && r->bytes < SMALL) {
        t->small += r->bytes;
        t->n_small++;
        return;
    }
    if (saves && t->saves++ == 0)
        printf("\nwhat would save memory, each alone\n");
    if (saves)
        printf("  %-38s %12s\n", r->name, str_bytes(a, (double) r->bytes));
    else
        printf("%-16s %-32s %12s  %u\n", strcmp(t->group, r->group) == 0 ? "" : r->group, r->name,
               str_bytes(a, (double) r->bytes), r->buffers);
    snprintf(t->group, sizeof(t->group), "%s", r->group);
}

// "50 s", "12 min", "3.4 h", "2.1 days".
static const char *span(char out[static 32], double s)
{
    static const struct {
        double from, unit;
        const char *name;
    } UNITS[] = {
        {172800.0, 86400.0, "days"}, {5400.0, 3600.0, "h"}, {90.0, 60.0, "min"}, {0.0, 1.0, "s"}};
    size_t i = 0;
    while (s < UNITS[i].from)
        i++;
    snprintf(out, 32, "%.3g %s", s / UNITS[i].unit, UNITS[i].name);
    return out;
}

static void print_end(const struct table *t, const struct anydpo_plan *p)
{
    char a[32], b[32], c[32], d[32], e[32];

    if (t->json)
        printf("],\n \"bytes\": %llu, \"limit\": %llu, \"max_tokens\": %u, \"max_rows\": %u, "
               "\"recomputed\": \"%s\", \"head\": \"%s\", \"steps\": %llu, \"step_flops\": %.6g, "
               "\"step_s\": %.4g, \"run_s\": %.4g}\n",
               (unsigned long long) p->bytes, (unsigned long long) p->limit, p->max_tokens,
               p->max_rows, p->recomputed, p->head, (unsigned long long) p->steps, p->step_flops,
               p->step_s, p->run_s);
    else
        printf("\n%llu kinds of buffers below 64 KiB: %s\nin all %s of %s%s; the largest pass has "
               "%u tokens, %u of them scored; "
               "recomputed: %s; head: %s\n"
               "roughly %s a step (%.0f GFLOP; an estimate, within a factor of two) and %s for "
               "%llu steps\n",
               (unsigned long long) t->n_small, str_bytes(c, (double) t->small),
               str_bytes(a, (double) p->bytes),
               p->limit ? str_bytes(b, (double) p->limit) : "an unknown size",
               p->limit && p->bytes > p->limit ? ": it does not fit" : "", p->max_tokens,
               p->max_rows, p->recomputed, p->head, span(e, p->step_s), p->step_flops / 1e9,
               span(d, p->run_s), (unsigned long long) p->steps);
}

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct anydpo_job *job = NULL;
    struct anydpo_plan plan;
    struct table t = {0};
    int k = 0;

    (void) opt;
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], "--json") == 0)
            t.json = true;
        else
            words[k++] = words[i];
    RT_TRY(cmd_job_make("plan", k, words, &job));
    if (!job)
        goto done;
    if (!t.json)
        printf("%-16s %-32s %12s  %s\n", "group", "name", "bytes", "buffers");
    RT_TRY(cmd_job_err(anydpo_plan(job, print_row, &t, &plan)));
    print_end(&t, &plan);
done:
    anydpo_job_destroy(&job);
    return err;
}

const struct cmd cmd_plan = {"plan", "device memory of a run, without loading weights",
                             "[--config RECIPE] [--OPTION VALUE]... [--json]", NULL, run};
