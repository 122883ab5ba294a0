#include "src/train/limits.h"

#include "src/base/arith.h"
#include "src/data/pack.h"

static uint32_t pass_tokens(const struct tr_config *c)
{
    return c->pass_tokens ? c->pass_tokens : 1024;
}

// What a pass may hold.
struct room {
    uint64_t tokens, rows;
    uint32_t pairs;
};

// How many of n pairs, of a set in this order, a pass takes: while it stays within its room; one
// pair alone may exceed its tokens and rows.
static uint32_t fill_pass(const struct ds_set *set, const uint32_t *pairs, uint32_t n,
                          const struct room *most)
{
    uint64_t tokens = 0, rows = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct ds_pack_size s = ds_pack_measure(set, pairs[i]);
        tokens += s.tokens;
        rows += s.rows;
        if (i > 0 && (tokens > most->tokens || rows > most->rows || i >= most->pairs))
            return i;
    }
    return n;
}

uint32_t tr_pass_pairs(const struct tr_config *c, const struct md_model *m,
                       const struct ds_set *set, const uint32_t *pairs, uint32_t n)
{
    const struct room most = {u32_min(pass_tokens(c), m->max_tokens), m->max_rows,
                              u32_min(m->max_segments / 4, m->max_seqs / (c->ld ? 4 : 2))};
    return fill_pass(set, pairs, n, &most);
}

void tr_limits(const struct tr_config *c, const struct ds_set *set, uint32_t batch,
               struct md_model_desc *d)
{
    struct ds_pack_size most = {.tokens = 1, .positions = 1};

    batch = u32_min(batch, set->n);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct ds_pack_size s = ds_pack_measure(set, i);
        most.tokens = u32_max(most.tokens, s.tokens);
        most.rows = u32_max(most.rows, s.rows);
        most.positions = u32_max(most.positions, s.positions);
    }
    if (d->max_tokens == 0) { // many short pairs fill the budget, or one long pair exceeds it
        const uint64_t fill = u64_min(pass_tokens(c), (uint64_t) batch * most.tokens);
        d->max_tokens = (uint32_t) u64_max(most.tokens, fill);
        d->max_rows =
            (uint32_t) u64_min((uint64_t) batch * most.rows, d->max_tokens + 2 * (uint64_t) batch);
    }
    d->max_tokens = u32_max(d->max_tokens, most.tokens);
    d->max_rows = u32_max(d->max_rows, most.rows);
    d->max_seqs = u32_max(d->max_seqs, (c->ld ? 4 : 2) * batch); // heads and tails
    d->max_segments = u32_max(d->max_segments, 4 * batch);
    d->max_positions = u32_max(d->max_positions, most.positions);
}

void tr_limits_reference(const struct tr_config *c, const struct ds_set *set,
                         struct md_model_desc *d)
{
    enum { MOST = 256 };
    const struct room room = {u32_min(pass_tokens(c), d->max_tokens), d->max_rows, MOST};
    uint32_t pairs[MOST], most = 0;

    for (uint32_t i = 0; i < set->n; i++) { // do most + 1 pairs fit from here on?
        for (uint32_t n; (n = u32_min(most + 1, MOST)) > most && n <= set->n - i; most++) {
            for (uint32_t k = 0; k < n; k++)
                pairs[k] = i + k;
            if (fill_pass(set, pairs, n, &room) < n)
                break;
        }
    }
    d->max_seqs = u32_max(d->max_seqs, (c->ld ? 4 : 2) * most);
    d->max_segments = u32_max(d->max_segments, 4 * most);
}
