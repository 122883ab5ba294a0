// src/data/pairs.h -- preference rows -> pairs of token sequences, exactly as TRL makes them.
//
// Source: reference/trl.md sections 0 (10, 11), 1.8 and 3 of the project's notes on TRL 1.16's
// dpo_trainer.py and data_utils.py.
#ifndef DATA_PAIRS_H
#define DATA_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/text/chat.h"
#include "src/text/tokenizer.h"

enum ds_truncation { DS_KEEP_START, DS_KEEP_END };

// One row's tokens, before truncation: prompt, then each completion, in ds_set.ids.
struct ds_pair {
    uint32_t row;                      // 0-based line or array index in the file
    uint64_t first;                    // offset of the prompt in ds_set.ids
    uint32_t prompt, chosen, rejected; // lengths; the three lie behind each other
    uint32_t cut; // tokens that the prompt alone has at its end and prompt + completion has not
};

// A file's pairs. Owned by whoever declares it; { 0 } is empty. Read-only once read.
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
};

struct ds_read_args {
    const char *path; // .jsonl: an object a line, empty lines skipped; .json: an array of objects
    const struct txt_tokenizer *tok;
    const struct txt_chat *chat; // needed by conversational rows
    uint32_t max_length;         // 0 = no limit
    enum ds_truncation truncation;
    bool strict; // a cut prompt is an error
    int64_t now; // clock of the chat template
};

// Errors: RT_E_NOT_FOUND, RT_E_IO  the file
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
