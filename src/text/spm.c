#include "src/text/spm.h"

#include <stdlib.h>

#include "src/base/arith.h"

struct list {
    struct txt_spm_merge *at;
    size_t n, cap;
};

static int down(uint32_t a, uint32_t b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static int by_rank(const void *x, const void *y)
{
    const struct txt_spm_merge *a = x, *b = y;
    if (a->score < b->score || a->score > b->score)
        return a->score < b->score ? 1 : -1;
    const int keys[] = {down(a->n_left, b->n_left), down(a->n_right, b->n_right),
                        down(b->whole, a->whole), down(b->left, a->left), down(b->right, a->right)};
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (keys[i])
            return keys[i];
    return 0;
}

static enum rt_err add(struct list *l, const struct txt_spm_merge *m)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 1024;
        struct txt_spm_merge *at =
            cap <= SIZE_MAX / sizeof(*at) ? realloc(l->at, cap * sizeof(*at)) : NULL;
        if (!at)
            return rt_fail(RT_E_NOMEM, "out of memory: %zu merges", cap);
        l->at = at;
        l->cap = cap;
    }
    l->at[l->n++] = *m;
    return RT_OK;
}

static bool is_start(char byte)
{
    return ((unsigned char) byte & 0xc0) != 0x80;
}

static enum rt_err split(const struct txt_spm_args *a, uint32_t whole, struct list *l)
{
    enum rt_err err = RT_OK;
    size_t len = 0;
    const char *name = txt_vocab_name(a->vocab, whole, &len);
    struct txt_spm_merge m = {.score = a->scores[whole], .whole = whole};
    uint32_t chars = 0;

    if (len > TXT_SPM_LONGEST)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: token %u has %zu bytes, expected up to %u", a->where,
                       whole, len, TXT_SPM_LONGEST));
    for (size_t i = 0; i < len; i++)
        chars += is_start(name[i]);
    for (size_t i = 1; i < len; i++) {
        if (!is_start(name[i]))
            continue;
        m.n_left++;
        m.n_right = chars - m.n_left;
        if (txt_table_get(&a->vocab->ids, name, i, &m.left) && a->takes[m.left] &&
            txt_table_get(&a->vocab->ids, name + i, len - i, &m.right) && a->takes[m.right])
            RT_TRY(add(l, &m));
    }
done:
    return err;
}

enum rt_err txt_spm_merges(const struct txt_spm_args *args, struct txt_spm_merge **out, size_t *n)
{
    enum rt_err err = RT_OK;
    struct list l = {0};

    *out = NULL;
    *n = 0;
    for (uint32_t id = 0; id < args->vocab->rows; id++)
        if (args->takes[id])
            RT_TRY(split(args, id, &l));
    if (l.n)
        qsort(l.at, l.n, sizeof(*l.at), by_rank);
    *out = l.at;
    *n = l.n;
    l.at = NULL;
done:
    free(l.at);
    return err;
}
