// The index of attention: which blocks of queries and of keys there are. Host only.
#include "src/op/attention.h"

#include "src/base/arith.h"

enum { WORDS = ATTENTION_WORDS };

uint32_t op_attention_index_max(const struct rt_dev *dev, uint32_t max_tokens,
                                uint32_t max_segments)
{
    const uint64_t q = (uint64_t) max_tokens / ATTENTION_Q_BLOCK + max_segments;
    const uint64_t k = (uint64_t) max_tokens / ATTENTION_K_BLOCK + max_segments;
    const uint64_t words = WORDS * (q + k) + max_tokens; // blocks, then positions
    (void) dev;                                          // the same for all devices today
    return words < UINT32_MAX ? (uint32_t) words : UINT32_MAX;
}

static bool empty(const struct op_segment *s)
{
    return s->q_begin == s->q_end;
}
static uint32_t own_end(const struct op_segment *s)
{
    return s->k_begin + (s->q_end - s->q_begin);
}
static enum rt_err check(const struct op_segment *segs, uint32_t i, uint32_t begin)
{
    const struct op_segment *s = &segs[i];
    if (s->q_begin < begin || s->q_end < s->q_begin)
        return rt_fail(
            RT_E_ARG, "attention: segment %u: queries [%u, %u) begin before %u, or are not a range",
            i, s->q_begin, s->q_end, begin);
    if (s->row_begin > s->prompt_end || s->prompt_end > s->seg_begin || s->seg_begin > s->k_begin ||
        s->k_begin > UINT32_MAX - (s->q_end - s->q_begin))
        return rt_fail(
            RT_E_ARG,
            "attention: segment %u: keys: row_begin %u, prompt_end %u, seg_begin %u, k_begin %u "
            "should not fall",
            i, s->row_begin, s->prompt_end, s->seg_begin, s->k_begin);
    return RT_OK;
}

static void count_segment(const struct op_segment *s, struct op_attention_index *info)
{
    const uint64_t n = s->q_end - s->q_begin,
                   before = s->prompt_end - s->row_begin + s->k_begin - s->seg_begin;
    info->n_tokens = u32_max(info->n_tokens, s->q_end);
    info->n_keys = u32_max(info->n_keys, own_end(s));
    info->n_pairs += n * before + n * (n + 1) / 2;
}

static void add_q_blocks(const struct op_segment *s, uint32_t *out, struct op_attention_index *info)
{
    for (uint32_t q = s->q_begin; q < s->q_end;) {
        const uint32_t n = u32_min(ATTENTION_Q_BLOCK, s->q_end - q);
        const uint32_t block[WORDS] = {
            q, n, s->k_begin + (q - s->q_begin), s->row_begin, s->prompt_end, s->seg_begin};
        for (uint32_t i = 0; i < WORDS; i++)
            out[info->words++] = block[i];
        info->n_q_blocks++;
        q += n;
    }
}

// A segment without a first range leads a row; those after it that have one follow.
static bool leads(const struct op_segment *s)
{
    return s->row_begin == s->prompt_end;
}

// Do the row's keys, segs[0 .. n) with segs[0] its leader, mirror its queries, so that key blocks
// can be made? *q_last is set to one past the row's last query.
static bool row_trains(const struct op_segment *segs, uint32_t n, uint32_t *q_last)
{
    const struct op_segment *lead = &segs[0];
    *q_last = lead->q_end;
    for (uint32_t i = 0; i < n; i++) {
        const struct op_segment *s = &segs[i];
        if (empty(s))
            continue;
        if (s->k_begin != s->seg_begin || s->k_begin - s->q_begin != lead->k_begin - lead->q_begin)
            return false;
        if (i > 0 && (s->q_begin != *q_last || s->row_begin != lead->k_begin ||
                      s->prompt_end != own_end(lead)))
            return false;
        *q_last = s->q_end;
    }
    return true;
}

static void add_k_blocks(const struct op_segment *s, uint32_t q_last, uint32_t *out,
                         struct op_attention_index *info)
{
    for (uint32_t q = s->q_begin; q < s->q_end;) {
        const uint32_t n = u32_min(ATTENTION_K_BLOCK, s->q_end - q),
                       shift = s->k_begin - s->q_begin;
        const uint32_t block[WORDS] = {q + shift, n, q, q_last, shift};
        for (uint32_t i = 0; i < WORDS; i++)
            out[info->words++] = block[i];
        info->n_k_blocks++;
        q += n;
    }
}

// Key blocks of all rows; false, with words and n_k_blocks as they were, if they cannot be made.
static bool add_rows(const struct op_segment *segs, uint32_t n_segs, uint32_t *out,
                     struct op_attention_index *info)
{
    const struct op_attention_index before = *info;
    uint32_t n, q_last;
    for (uint32_t i = 0; i < n_segs; i += n) {
        n = 1;
        if (empty(&segs[i]))
            continue;
        while (i + n < n_segs && (empty(&segs[i + n]) || !leads(&segs[i + n])))
            n++;
        if (!leads(&segs[i]) || !row_trains(&segs[i], n, &q_last)) {
            *info = before;
            return false;
        }
        for (uint32_t j = i; j < i + n; j++)
            add_k_blocks(&segs[j], j == i ? q_last : segs[j].q_end, out, info);
    }
    return true;
}

// Positions of all queries up to the last one's.
static void add_positions(const struct op_segment *segs, uint32_t n_segs, uint32_t *out,
                          struct op_attention_index *info)
{
    uint32_t q = 0;
    info->positions = info->words;
    for (uint32_t i = 0; i < n_segs; i++) {
        const struct op_segment *s = &segs[i];
        const uint32_t first = s->prompt_end - s->row_begin + s->k_begin - s->seg_begin;
        for (; q < s->q_begin; q++)
            out[info->words++] = 0;
        for (; q < s->q_end; q++)
            out[info->words++] = first + (q - s->q_begin);
    }
}

enum rt_err op_attention_index(const struct rt_dev *dev, const struct op_segment *segs,
                               uint32_t n_segs, uint32_t *out, uint32_t cap,
                               struct op_attention_index *info)
{
    enum rt_err err = RT_OK;
    struct op_attention_index x = {0};
    uint32_t begin = 0, tokens = 0;

    *info = (struct op_attention_index){0};
    for (uint32_t i = 0; i < n_segs; i++) {
        RT_TRY(check(segs, i, begin));
        begin = segs[i].q_end;
        tokens += segs[i].q_end - segs[i].q_begin;
    }
    // Queries of no segment have no block, but a position.
    RT_REQUIRE(op_attention_index_max(dev, tokens, n_segs) + (begin - tokens) <= cap, RT_E_ARG);
    for (uint32_t i = 0; i < n_segs; i++) {
        if (empty(&segs[i]))
            continue;
        count_segment(&segs[i], &x);
        add_q_blocks(&segs[i], out, &x);
    }
    x.k_blocks = x.words;
    x.backward = add_rows(segs, n_segs, out, &x);
    if (x.backward)
        add_positions(segs, n_segs, out, &x);
    *info = x;
done:
    return err;
}
