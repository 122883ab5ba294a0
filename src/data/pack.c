#include "src/data/pack.h"

#include <stdlib.h>

#include "src/base/arith.h"

// How a pair is laid out: shared = one row with a common prompt.
struct layout {
    struct ds_sequence c, r;
    bool shared, last_tokens;
};

static struct layout layout_of(const struct ds_set *set, uint32_t pair)
{
    struct layout l = {ds_sequence_of(set, pair, true), ds_sequence_of(set, pair, false), false,
                       set->last_tokens};
    l.shared = l.c.n_prompt > 0 && l.c.n_prompt == l.r.n_prompt && l.c.prompt == l.r.prompt;
    return l;
}

// Tokens of a completion that a pass takes in.
static uint32_t inputs(uint32_t n_completion, bool last_tokens)
{
    return n_completion && !last_tokens ? n_completion - 1 : n_completion;
}

static uint32_t scored(const struct ds_sequence *s)
{
    return s->n_prompt ? s->n_completion : inputs(s->n_completion, false);
}

struct ds_pack_size ds_pack_measure(const struct ds_set *set, uint32_t pair)
{
    const struct layout l = layout_of(set, pair);
    const uint32_t c = l.c.n_prompt + inputs(l.c.n_completion, l.last_tokens),
                   r = l.r.n_prompt + inputs(l.r.n_completion, l.last_tokens);
    return (struct ds_pack_size){.tokens = c + r - (l.shared ? l.c.n_prompt : 0),
                                 .rows = scored(&l.c) + scored(&l.r),
                                 .segments = 4,
                                 .positions = u32_max(c, r)};
}

static bool grow(uint32_t **p, uint64_t n)
{
    uint32_t *q = realloc(*p, n * sizeof(*q));
    if (q)
        *p = q;
    return q != NULL;
}

static enum rt_err reserve(struct ds_pack *p, uint64_t tokens, uint64_t rows, uint32_t pairs)
{
    bool ok = tokens <= UINT32_MAX && rows <= UINT32_MAX;
    if (ok && tokens > p->cap_tokens) {
        ok = grow(&p->ids, tokens) && grow(&p->pos, tokens) && grow(&p->counts, tokens);
        p->cap_tokens = ok ? (uint32_t) tokens : p->cap_tokens;
    }
    if (ok && rows > p->cap_rows) {
        ok = grow(&p->rows, rows) && grow(&p->targets, rows);
        p->cap_rows = ok ? (uint32_t) rows : p->cap_rows;
    }
    if (ok && pairs > p->cap_pairs) {
        struct ds_segment *s = realloc(p->segs, 4 * (size_t) pairs * sizeof(*s));
        ok = s && grow(&p->seq_starts, 2 * (uint64_t) pairs + 1) &&
             grow(&p->lengths, 2 * (uint64_t) pairs);
        p->segs = s ? s : p->segs;
        p->cap_pairs = ok ? pairs : p->cap_pairs;
    }
    return ok ? RT_OK
              : rt_fail(RT_E_NOMEM, "out of memory: a pass of %llu tokens",
                        (unsigned long long) tokens);
}

static void add_tokens(struct ds_pack *p, const uint32_t *ids, uint32_t n, uint32_t pos,
                       uint32_t count)
{
    for (uint32_t i = 0; i < n; i++, p->n_tokens++) {
        p->ids[p->n_tokens] = ids[i];
        p->pos[p->n_tokens] = pos + i;
        p->counts[p->n_tokens] = count;
    }
}

static void add_segment(struct ds_pack *p, uint32_t begin, uint32_t row_begin, uint32_t prompt_end)
{
    if (begin < p->n_tokens)
        p->segs[p->n_segments++] = (struct ds_segment){begin, p->n_tokens, row_begin, prompt_end};
}

static void add_prompt(struct ds_pack *p, const struct ds_sequence *s, uint32_t count)
{
    const uint32_t begin = p->n_tokens;
    add_tokens(p, s->prompt, s->n_prompt, 0, count);
    add_segment(p, begin, begin, begin);
}

// A completion behind its prompt, which lies at [row_begin, row_begin + n_prompt). Returns its
// first token.
static uint32_t add_completion(struct ds_pack *p, const struct ds_sequence *s, uint32_t row_begin,
                               bool last_token)
{
    const uint32_t begin = p->n_tokens;
    add_tokens(p, s->completion, inputs(s->n_completion, last_token), s->n_prompt, 1);
    if (s->n_prompt)
        add_segment(p, begin, row_begin, row_begin + s->n_prompt);
    else
        add_segment(p, begin, begin, begin);
    return begin;
}

static void add_rows(struct ds_pack *p, const struct ds_sequence *s, uint32_t row_begin,
                     uint32_t begin)
{
    for (uint32_t j = 0; j < s->n_completion; j++) {
        if (j == 0 && s->n_prompt == 0)
            continue; // nothing comes before it
        p->rows[p->n_rows] = j ? begin + j - 1 : row_begin + s->n_prompt - 1;
        p->targets[p->n_rows++] = s->completion[j];
    }
}

// Where the two completions of a pair begin, and their rows' prompts.
struct placed {
    uint32_t row_c, c, row_r, r;
};

static struct placed place(struct ds_pack *p, const struct layout *l)
{
    struct placed at = {.row_c = p->n_tokens};
    add_prompt(p, &l->c, l->shared ? 2 : 1);
    at.c = add_completion(p, &l->c, at.row_c, l->last_tokens);
    at.row_r = l->shared ? at.row_c : p->n_tokens;
    if (!l->shared)
        add_prompt(p, &l->r, 1);
    at.r = add_completion(p, &l->r, at.row_r, l->last_tokens);
    return at;
}

enum rt_err ds_pack_make(const struct ds_set *set, const uint32_t *pairs, uint32_t n,
                         struct ds_pack *out)
{
    enum rt_err err = RT_OK;
    struct ds_pack *p = out;
    uint64_t tokens = 0, rows = 0;
    struct placed *at = malloc((n ? n : 1) * sizeof(*at));

    RT_REQUIRE(at, RT_E_NOMEM);
    for (uint32_t i = 0; i < n; i++) {
        const struct ds_pack_size s = ds_pack_measure(set, pairs[i]);
        tokens += s.tokens;
        rows += s.rows;
    }
    RT_TRY(reserve(p, tokens, rows, n));
    p->n_tokens = p->n_rows = p->n_segments = 0;
    p->num_tokens = 0;
    p->n_pairs = n;
    for (uint32_t i = 0; i < n; i++) {
        const struct layout l = layout_of(set, pairs[i]);
        at[i] = place(p, &l);
        p->lengths[i] = l.c.n_completion;
        p->lengths[n + i] = l.r.n_completion;
        p->num_tokens +=
            (uint64_t) l.c.n_prompt + l.c.n_completion + l.r.n_prompt + l.r.n_completion;
    }
    for (uint32_t k = 0; k < 2 * n; k++) {
        const bool chosen = k < n;
        const struct placed *q = &at[chosen ? k : k - n];
        const struct ds_sequence s = ds_sequence_of(set, pairs[chosen ? k : k - n], chosen);
        p->seq_starts[k] = p->n_rows;
        add_rows(p, &s, chosen ? q->row_c : q->row_r, chosen ? q->c : q->r);
    }
    p->seq_starts[2 * n] = p->n_rows;
done:
    free(at);
    return err;
}

void ds_pack_free(struct ds_pack *p)
{
    free(p->ids);
    free(p->pos);
    free(p->counts);
    free(p->rows);
    free(p->targets);
    free(p->seq_starts);
    free(p->lengths);
    free(p->segs);
    *p = (struct ds_pack){0};
}
