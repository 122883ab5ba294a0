// src/data/encode.h -- one row to tokens. Private to src/data.
#ifndef DATA_ENCODE_H
#define DATA_ENCODE_H

#include "src/data/row.h"

// What rows go through; the scratch is reused from row to row. Each thread has its own; { 0 } with
// the first three set is ready.
struct ds_encoder {
    const struct txt_tokenizer *tok;
    const struct txt_chat *chat; // NULL: conversational rows are refused
    int64_t now;                 // clock of the chat template
    struct str text;             // private
    struct txt_ids prompt, chosen, rejected;
};

// The tokens of the prompt alone, and of prompt + completion each, into e->prompt, chosen and
// rejected. `where` ("file:line") names the row. Errors: RT_E_FORMAT as ds_read; those of
// txt_chat_render and txt_encode; RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_encode(struct ds_encoder *e, const struct ds_row *row,
                                   const char *where);
void ds_encoder_free(struct ds_encoder *e);

// Tokens that the prompt alone shares with both sequences: where the completions begin.
uint32_t ds_encoded_prompt(const struct ds_encoder *e);

#endif // DATA_ENCODE_H
