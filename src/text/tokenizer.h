// src/text/tokenizer.h -- text <-> token ids, by a Hugging Face folder's tokenizer.json.
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"

// Reads tokenizer.json (normalizer, added tokens, pre-tokenizer, BPE or Unigram model,
// post-processor, decoder), and the names of the special tokens from tokenizer_config.json and,
// where that is silent, special_tokens_map.json. Ids and texts are those of the Rust library
// `tokenizers` 0.23.
//
// Text is UTF-8 with a length and may hold U+0000. Bytes that are not UTF-8 count as U+FFFD, one
// for each maximal ill-formed part, as Python's bytes.decode(errors="replace") has it.
//
// A tokenizer never changes after it was opened: any number of threads may use one at the same
// time.
struct txt_tokenizer;

// Token ids. Owned by whoever declares it; { 0 } is empty and valid.
struct txt_ids {
    uint32_t *data;
    size_t len, cap;
};
void txt_ids_free(struct txt_ids *ids);  // accepts empty; leaves { 0 }
void txt_ids_clear(struct txt_ids *ids); // length 0, memory kept
RT_NODISCARD enum rt_err txt_ids_append(struct txt_ids *ids, const uint32_t *data, size_t n);

// Open the tokenizer of the folder `folder`. *out is NULL on error.
// Errors: RT_E_NOT_FOUND    no tokenizer.json there
//         RT_E_IO           it cannot be read
//         RT_E_FORMAT       it is damaged: the message names file and place
//         RT_E_UNSUPPORTED  a kind of component, or an option that would change ids, is not known:
//                           `tokenizer.json: pre_tokenizer.pretokenizers[1]: unsupported type "X"`
//         RT_E_NOMEM
RT_NODISCARD enum rt_err txt_tokenizer_open(const char *folder, struct txt_tokenizer **out);

// The same for a tokenizer.json in memory, with no special tokens named. `where` names it in
// messages.
RT_NODISCARD enum rt_err txt_tokenizer_parse(const char *json, size_t len, const char *where,
                                             struct txt_tokenizer **out);
// A number that changes with tokenizer.json and the named special tokens.
uint64_t txt_tokenizer_digest(const struct txt_tokenizer *tok);

void txt_tokenizer_close(struct txt_tokenizer **tok); // accepts NULL; leaves NULL

// Append the ids of text[0..len) to *out, with what the post-processor adds (bos, eos, ...) where
// `add_special`. Special tokens that are spelled out in the text are always recognised. Truncation
// and padding that tokenizer.json may ask for are ignored. len < 2^31. Errors: RT_E_ARG len is too
// large; RT_E_FORMAT the model has no id for a character and no unknown token where it needs one;
// RT_E_UNSUPPORTED a regular expression ran into its limits; RT_E_NOMEM. On error *out is as it
// was.
RT_NODISCARD enum rt_err txt_encode(const struct txt_tokenizer *tok, const char *text, size_t len,
                                    bool add_special, struct txt_ids *out);

// Append the text of ids[0..n) to *out: valid UTF-8; bytes that do not form a character become
// U+FFFD. Ids that the tokenizer does not have are left out; special ones too where `skip_special`.
// No clean-up of spaces. Errors: RT_E_NOMEM, with *out as it was.
RT_NODISCARD enum rt_err txt_decode(const struct txt_tokenizer *tok, const uint32_t *ids, size_t n,
                                    bool skip_special, struct str *out);

// One id at a time, for generation. { 0 } is the start of a text; free with txt_stream_free.
// Each push appends to *out the text that no later id can change: bytes of a character that is not
// whole yet are held back (with byte fallback, until a token that is no byte). The pieces together,
// with what txt_stream_end appends, are what txt_decode gives for all ids. Errors: RT_E_NOMEM.
struct txt_stream {
    bool skip_special; // set before the first push
    bool started;      // private
    struct txt_ids held;
};
RT_NODISCARD enum rt_err txt_stream_push(const struct txt_tokenizer *tok, struct txt_stream *s,
                                         uint32_t id, struct str *out);
RT_NODISCARD enum rt_err txt_stream_end(const struct txt_tokenizer *tok, struct txt_stream *s,
                                        struct str *out);
void txt_stream_free(struct txt_stream *s);

// The bytes that an id stands for in the middle of a text (not always whole characters). False,
// with *bytes NULL, for an id that the tokenizer does not have. They live as long as the tokenizer.
bool txt_token_bytes(const struct txt_tokenizer *tok, uint32_t id, const char **bytes, size_t *len);

// The name of an id as tokenizer.json writes it ("Ġthe"), NUL-terminated; NULL for an unknown id.
const char *txt_token_name(const struct txt_tokenizer *tok, uint32_t id);

// The id of a token by its name as tokenizer.json writes it; added tokens come first. False if
// none.
bool txt_token_id(const struct txt_tokenizer *tok, const char *name, size_t len, uint32_t *id);

// True for an added token that has the flag `special`.
bool txt_is_special(const struct txt_tokenizer *tok, uint32_t id);

// Largest id + 1: the rows that a model's embedding must at least have.
uint32_t txt_vocab_size(const struct txt_tokenizer *tok);

enum txt_special { TXT_BOS, TXT_EOS, TXT_PAD, TXT_UNK, TXT_SPECIAL_COUNT };

// A named special token. `text` is NULL when the folder names none; it lives as long as the
// tokenizer. has_id is false when the tokenizer has no such token.
struct txt_special_token {
    const char *text;
    size_t len;
    bool has_id;
    uint32_t id;
};
struct txt_special_token txt_special(const struct txt_tokenizer *tok, enum txt_special which);

#endif // TEXT_TOKENIZER_H
