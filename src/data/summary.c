#include "src/data/summary.h"

#include <stdlib.h>

#include "src/base/arith.h"

const char *ds_length_name(enum ds_length which)
{
    static const char *const NAMES[] = {[DS_PROMPT] = "prompt",
                                        [DS_CHOSEN] = "chosen",
                                        [DS_REJECTED] = "rejected",
                                        [DS_LONGER] = "pair"};
    return NAMES[which];
}

static uint32_t length_of(const struct ds_pair *p, enum ds_length which)
{
    return which == DS_PROMPT     ? p->prompt
           : which == DS_CHOSEN   ? p->chosen
           : which == DS_REJECTED ? p->rejected
                                  : p->prompt + u32_max(p->chosen, p->rejected);
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return (x > y) - (x < y);
}

static void count(uint32_t *lengths, uint32_t n, struct ds_histogram *h)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bar = 0;
        for (uint32_t x = lengths[i]; x; x >>= 1)
            bar++;
        h->bars[bar]++;
        sum += lengths[i];
    }
    qsort(lengths, n, sizeof(*lengths), compare);
    h->min = lengths[0];
    h->median = lengths[(n - 1) / 2];
    h->p95 = lengths[(uint32_t) (div_up((uint64_t) n * 95, 100) - 1)];
    h->max = lengths[n - 1];
    h->mean = sum / n;
}

enum rt_err ds_summarize(const struct ds_set *set, struct ds_histogram out[DS_LENGTHS])
{
    enum rt_err err = RT_OK;
    uint32_t *lengths = NULL;

    for (int w = 0; w < DS_LENGTHS; w++)
        out[w] = (struct ds_histogram){0};
    if (set->n == 0)
        goto done;
    lengths = malloc(set->n * sizeof(*lengths));
    if (!lengths)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: lengths of %u pairs", set->n));
    for (int w = 0; w < DS_LENGTHS; w++) {
        for (uint32_t i = 0; i < set->n; i++)
            lengths[i] = length_of(&set->pairs[i], (enum ds_length) w);
        count(lengths, set->n, &out[w]);
    }
done:
    free(lengths);
    return err;
}
