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

enum rt_err tr_profile_write(const struct rt_dev *dev, const char *dir)
{
    struct row rows[MOST_ROWS];
    uint64_t n;
    const struct rt_profile_event *e = rt_dev_profile(dev, &n);

    if (n == 0)
        return RT_OK;
    print_table(rows, rows_of(e, n, rows));
    return write_trace(e, n, dir);
}
