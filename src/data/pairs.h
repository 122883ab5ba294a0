// src/data/pairs.h -- preference rows -> pairs of token sequences, exactly as TRL makes them.
//
// Source: reference/trl.md sections 0 (10, 11), 1.8 and 3 of the project's notes on TRL 1.16's
// dpo_trainer.py and data_utils.py.
#ifndef DATA_PAIRS_H
#define DATA_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/file.h"
#include "src/data/source.h"
#include "src/text/chat.h"
#include "src/text/tokenizer.h"

enum ds_truncation { DS_KEEP_START, DS_KEEP_END };

// One row's tokens, before truncation: prompt, then each completion, in ds_set.ids.
struct ds_pair {
    uint32_t row;                      // number in the data, from 0: the files' rows in order
    uint64_t first;                    // offset of the prompt in ds_set.ids
    uint32_t prompt, chosen, rejected; // lengths; the three lie behind each other
    uint32_t cut; // tokens that the prompt alone has at its end and prompt + completion has not
};

// The pairs of the files. Owned by whoever declares it; { 0 } is empty. Read-only once read: where
// it comes from the cache, ids, pairs and dropped lie in `map`, which the system reads as needed.
struct ds_set {
    struct txt_ids ids;
    struct ds_pair *pairs; // those that are kept, in file order
    uint32_t n, cap;
    uint32_t *dropped; // rows whose prompt leaves no room for a completion
    uint32_t n_dropped, cap_dropped;
    uint32_t n_read; // rows of the file
    uint32_t
        n_cut; // rows whose prompt was cut: it is not a prefix of prompt + completion in tokens
    uint32_t n_truncated; // kept rows of which at least one sequence is longer than max_length
    uint32_t max_length;  // 0 = no limit
    enum ds_truncation truncation;
    bool last_tokens; // passes take in the last token of a completion too, which predicts nothing
    struct file_map map;
};

struct ds_read_args {
    const struct ds_part *parts; // in this order, file by file; formats: src/data/records.h
    uint32_t n_parts;            // >= 1
    const struct txt_tokenizer *tok;
    const struct txt_chat *chat; // needed by conversational rows
    uint32_t max_length;         // 0 = no limit
    enum ds_truncation truncation;
    bool strict;           // a cut prompt is an error
    int64_t now;           // clock of the chat template
    const char *cache_dir; // the tokens are kept in a file there and mapped; NULL: in memory
    uint64_t cache_bytes;  // where a file was added, of all of them; see ds_cache_trim
};

// Rows are tokenised on all cores; ids, order and messages do not depend on how many there are.
// With cache_dir, a set that was made of the same contents with the same tokenizer, template,
// columns, fractions and truncation is read instead (src/data/cache.h); where the folder cannot be
// written, that is logged and the tokens stay in memory.
// Errors: those of ds_files_find, ds_limits and ds_records_next
//         RT_E_FORMAT  a row is no JSON object, lacks chosen or rejected, or a column has the wrong
//                      type; no row, or none left; strict; the template failed. Messages name file
//                      and line.
//         RT_E_NOMEM
RT_NODISCARD enum rt_err ds_read(const struct ds_read_args *args, struct ds_set *out);
void ds_set_free(struct ds_set *set);

// One sequence as it is trained on, after truncation to max_length. Borrowed from the set.
struct ds_sequence {
    const uint32_t *prompt, *completion;
    uint32_t n_prompt, n_completion;
};
struct ds_sequence ds_sequence_of(const struct ds_set *set, uint32_t pair, bool chosen);

#endif // DATA_PAIRS_H
