// src/data/pack.h -- pairs -> one pass: a flat token axis without padding, the prompt stored once.
//
// A pair is a row prompt | chosen | rejected; where truncation leaves the two sides with different
// prompts, or the prompt is empty, it is two rows. The last token of a completion predicts nothing
// and is left out, unless the set says otherwise.
#ifndef DATA_PACK_H
#define DATA_PACK_H

#include "src/data/pairs.h"

// As op_segment (src/op/attention.h): query tokens [begin, end) see keys [row_begin, prompt_end)
// and [begin, themselves].
struct ds_segment {
    uint32_t begin, end, row_begin, prompt_end;
};

// One pass. Owned by whoever declares it; arrays grow and are kept. { 0 } is empty.
struct ds_pack {
    uint32_t *ids, *pos;      // (n_tokens)
    uint32_t *counts;         // (n_tokens): 2 of a shared prompt, else 1
    uint32_t *rows, *targets; // (n_rows): token whose output predicts the target id
    uint32_t *seq_starts; // (2 * n_pairs + 1): rows of chosen 0 .. N-1, then of rejected 0 .. N-1
    uint32_t *lengths;    // (2 * n_pairs): completion tokens, also those that have no log-prob
    struct ds_segment *segs; // (n_segments)
    uint32_t n_tokens, n_rows, n_pairs, n_segments;
    uint64_t num_tokens; // TRL's count: prompt and completion of both sequences
    uint32_t cap_tokens, cap_rows, cap_pairs;
};

// Pack pairs[0 .. n) of the set, in order. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_pack_make(const struct ds_set *set, const uint32_t *pairs, uint32_t n,
                                      struct ds_pack *out);
void ds_pack_free(struct ds_pack *p);

// What one pair adds to a pass.
struct ds_pack_size {
    uint32_t tokens, rows, segments, positions; // positions: 1 + the largest
};
struct ds_pack_size ds_pack_measure(const struct ds_set *set, uint32_t pair);

#endif // DATA_PACK_H
