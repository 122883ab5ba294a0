#include "src/train/profile.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/str.h"

enum { MOST_ROWS = 256, SHOWN = 40 };

struct row {
    const char *phase, *kernel;
    uint64_t runs;
    double seconds, flops;
};

// ---- Steps ------------------------------------------------------------------------------------

void tr_profile_open(struct tr_profile *p, bool profile, uint64_t done, uint64_t total)
{
    *p = (struct tr_profile){0};
    if (profile && done < total)
        p->switch_at = done + (total - done + 1) / 2;
    p->warm = done + (total - done > 2);
}

void tr_profile_begin(struct tr_profile *p, struct rt_dev *dev, uint64_t step)
{
    if (!p->switch_at || p->open || step < p->warm)
        return;
    p->alone = step < p->switch_at;
    rt_dev_profile_pause(dev, !p->alone);
    p->open = true;
    p->from = step;
    (void) rt_dev_profile(dev, &p->events);
    p->stats = rt_dev_stats(dev);
    p->began = os_seconds();
}

void tr_profile_end(struct tr_profile *p, struct rt_dev *dev, uint64_t step)
{
    const struct rt_stats now = rt_dev_stats(dev);
    uint64_t n;
    const struct rt_profile_event *e = rt_dev_profile(dev, &n);

    if (!p->open)
        return;
    p->open = false;
    p->steps[p->alone] += step - p->from;
    p->flops[p->alone] += now.flops - p->stats.flops;
    for (uint64_t i = p->events; i < n && p->alone; i++)
        p->seconds[1] += e[i].seconds;
    if (!p->alone) {
        p->seconds[0] += os_seconds() - p->began;
        p->submits += now.submits - p->stats.submits;
        p->waits += now.waits - p->stats.waits;
        p->drains += now.drains - p->stats.drains;
    }
    rt_dev_profile_pause(dev, false); // evaluations and the like are profiled
}

// The halves' batches differ: kernels are taken to need the same time for the same work.
static void print_steps(const struct tr_profile *p)
{
    if (!p->steps[0] || !p->steps[1] || p->flops[1] <= 0.0)
        return;
    const double n = (double) p->steps[0], step = p->seconds[0] / n,
                 alone = p->seconds[1] * (p->flops[0] / p->flops[1]) / n;
    log_info(
        "profile: a step of the second half took %.4f s; its kernels alone would take %.4f s, so "
        "the device was busy for %.1f%%",
        step, alone, 100.0 * alone / step);
    log_info("profile: a step had %.1f submissions and %.1f waits, after %.1f of which the device "
             "had nothing to do",
             (double) p->submits / n, (double) p->waits / n, (double) p->drains / n);
}

// ---- Kernels ----------------------------------------------------------------------------------

static int by_seconds(const void *x, const void *y)
{
    const struct row *a = x, *b = y;
    return (a->seconds < b->seconds) - (a->seconds > b->seconds);
}

// Rows of runs of one kernel in one phase; their number is returned. The last one takes what is
// beyond.
static uint32_t rows_of(const struct rt_profile_event *e, uint64_t n, struct row rows[MOST_ROWS])
{
    uint32_t n_rows = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t k = 0;
        while (k < n_rows &&
               (strcmp(rows[k].kernel, e[i].kernel) != 0 || strcmp(rows[k].phase, e[i].phase) != 0))
            k++;
        if (k == n_rows && n_rows < MOST_ROWS)
            rows[n_rows++] = (struct row){.phase = e[i].phase, .kernel = e[i].kernel};
        struct row *r = &rows[u32_min(k, n_rows - 1)];
        r->runs++;
        r->seconds += e[i].seconds;
        r->flops += e[i].flops;
    }
    qsort(rows, n_rows, sizeof(*rows), by_seconds);
    return n_rows;
}

static void print_table(const struct row *rows, uint32_t n)
{
    double all = 0.0;
    for (uint32_t i = 0; i < n; i++)
        all += rows[i].seconds;
    log_info("profile: %.3f s on the device, each kernel run alone", all);
    log_info("%-12s %-24s %8s %10s %6s %9s", "phase", "kernel", "runs", "seconds", "share",
             "GFLOP/s");
    for (uint32_t i = 0; i < u32_min(n, SHOWN); i++)
        log_info("%-12s %-24s %8llu %10.4f %5.1f%% %9.1f", rows[i].phase, rows[i].kernel,
                 (unsigned long long) rows[i].runs, rows[i].seconds, 100.0 * rows[i].seconds / all,
                 rows[i].flops / rows[i].seconds / 1e9);
}

static enum rt_err write_trace(const struct rt_profile_event *e, uint64_t n, const char *dir)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    char *path = NULL;

    RT_TRY(str_puts(&s, "{\"traceEvents\": ["));
    for (uint64_t i = 0; i < n; i++)
        RT_TRY(str_printf(&s,
                          "%s\n{\"name\": \"%s\", \"cat\": \"%s\", \"ph\": \"X\", \"pid\": 1, "
                          "\"tid\": 1, \"ts\": %.1f, \"dur\": %.1f, \"args\": {\"gflop\": %.6g}}",
                          i ? "," : "", e[i].kernel, e[i].phase, 1e6 * e[i].begin_s,
                          1e6 * e[i].seconds, 1e-9 * e[i].flops));
    RT_TRY(str_puts(&s, "\n]}\n"));
    RT_TRY(path_join(dir, "profile.json", &path));
    RT_TRY(file_write(path, s.data, s.len));
done:
    free(path);
    str_free(&s);
    return err;
}

enum rt_err tr_profile_write(const struct tr_profile *p, const struct rt_dev *dev, const char *dir)
{
    struct row rows[MOST_ROWS];
    uint64_t n;
    const struct rt_profile_event *e = rt_dev_profile(dev, &n);

    if (n == 0)
        return RT_OK;
    print_table(rows, rows_of(e, n, rows));
    print_steps(p);
    return write_trace(e, n, dir);
}
