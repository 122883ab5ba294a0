// src/text/tokenizer_parts.h -- the tokenizer's inside: one struct for each stage, made by its read
// function and immutable from then on. Private to src/text/.
#ifndef TEXT_TOKENIZER_PARTS_H
#define TEXT_TOKENIZER_PARTS_H

#include <cjson/cJSON.h>

#include "src/base/hash.h"
#include "src/text/regex.h"
#include "src/text/tokenizer.h"
#include "src/text/tokenizer_json.h"
#include "src/text/unicode.h"
#include "src/text/vocab.h"

#define TXT_STEPS_MAX 64 // components of one stage, nested sequences laid flat

// ---- normalizer.c ----
enum txt_norm_kind {
    TXT_NORM_FORM,
    TXT_NORM_LOWER,
    TXT_NORM_ACCENTS,
    TXT_NORM_REPLACE,
    TXT_NORM_STRIP,
    TXT_NORM_PREPEND
};
struct txt_norm {
    enum txt_norm_kind kind;
    enum txt_form form;   // FORM
    struct txt_regex *re; // REPLACE
    char *text;           // REPLACE, PREPEND: what is put in (heap), with its length
    size_t len;
    bool left, right; // STRIP
};
struct txt_norms {
    struct txt_norm *steps;
    size_t n;
};
RT_NODISCARD enum rt_err txt_norms_read(struct txt_tokenizer *tok, const struct txt_node *at);
void txt_norms_free(struct txt_norms *n);

// The normalized form of text[0..len) (valid UTF-8): *out and *out_len are the text itself where
// nothing changes, else lie in the scratch. *moved: characters were taken away at the left. Errors:
// those of txt_scan_next; RT_E_NOMEM.
struct txt_norm_scratch { // { 0 } is valid
    struct str a, b;
    struct txt_scan scan;
};
RT_NODISCARD enum rt_err txt_normalize(const struct txt_tokenizer *tok,
                                       struct txt_norm_scratch *scratch, const char *text,
                                       size_t len, const char **out, size_t *out_len, bool *moved);
void txt_norm_scratch_free(struct txt_norm_scratch *s);

// Append text[0..len) to *out with every match of the expression replaced.
struct txt_replace {
    const struct txt_regex *re;
    const char *text;
    size_t len;
    bool *moved; // or NULL; set when characters are taken away at the left
};
RT_NODISCARD enum rt_err txt_replace_all(struct txt_scan *scan, const struct txt_replace *r,
                                         const uint8_t *chars, const char *text, size_t len,
                                         struct str *out);

// The member `key`: {"String": ...} or {"Regex": ...}, compiled.
RT_NODISCARD enum rt_err txt_node_pattern(const struct txt_node *of, const char *key,
                                          struct txt_regex **out);

// ---- trie.c: the tokens that begin at a place of a text ----
struct txt_trie_node {
    uint32_t child, sibling; // indices; 0 is none
    uint32_t token;          // what was added, plus 1; 0: no key ends here
    uint8_t byte;
};
struct txt_trie {
    struct txt_trie_node *nodes; // node 0 is not used
    size_t n, cap;
    uint32_t root[256]; // first byte -> node
};
// The first of equal keys stays; an empty key is left out. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_trie_add(struct txt_trie *t, const char *key, size_t len,
                                      uint32_t token);
void txt_trie_free(struct txt_trie *t);

// The child of a node for a byte; 0 is none.
static inline uint32_t txt_trie_down(const struct txt_trie *t, uint32_t node, uint8_t byte)
{
    uint32_t at = t->nodes[node].child;
    while (at && t->nodes[at].byte != byte)
        at = t->nodes[at].sibling;
    return at;
}

// ---- added.c: tokens that are found in the text before all else ----
struct txt_added_token {
    uint32_t id;
    bool lstrip, rstrip, single_word, normalized, special;
    bool skipped; // left out of a text without special tokens: what is decoded is the name of a
                  // special one
    char *shown; // what is decoded in place of the name: its normalized form (heap); NULL: the name
    size_t shown_len;
};
struct txt_added {
    struct txt_vocab names;         // of added tokens only
    struct txt_added_token *tokens; // (n)
    size_t renumbered;              // those that have another id than the file says
    uint32_t *by_id;                // (names.rows) index in tokens plus 1; 0: not an added token
    size_t n;
    struct txt_trie raw, normal; // patterns for the raw text, and for the normalized one
};
// After normalizer and model. Errors: RT_E_FORMAT, RT_E_NOMEM, those of txt_normalize.
RT_NODISCARD enum rt_err txt_added_read(struct txt_tokenizer *tok, const struct txt_node *at);
void txt_added_free(struct txt_added *a);

// The next piece of text[*at..len) and what it is: *token NULL for plain text, else an added token.
// { .at = 0 } begins. False at the end. Pieces may be empty, and a token's may overlap what was
// before.
struct txt_cut {
    size_t at, search;                  // end of the last piece; where to look on
    const struct txt_added_token *next; // found, but plain text comes before it
    size_t next_start, next_end;
};
bool txt_added_next(const struct txt_tokenizer *tok, const struct txt_trie *trie, const char *text,
                    size_t len, struct txt_cut *cut, size_t *start, size_t *end,
                    const struct txt_added_token **token);

// ---- pretokenizer.c ----
enum txt_pre_kind {
    TXT_PRE_PREFIX,
    TXT_PRE_GPT2,
    TXT_PRE_BYTES,
    TXT_PRE_CLASS,
    TXT_PRE_REGEX,
    TXT_PRE_METASPACE,
    TXT_PRE_CHAR
};
enum txt_behavior { TXT_REMOVED, TXT_ISOLATED, TXT_WITH_PREVIOUS, TXT_WITH_NEXT, TXT_CONTIGUOUS };
enum txt_prepend { TXT_PREPEND_ALWAYS, TXT_PREPEND_FIRST, TXT_PREPEND_NEVER };
struct txt_pre {
    enum txt_pre_kind kind;
    enum txt_behavior behavior; // CLASS, REGEX, CHAR
    bool invert;                // REGEX
    uint16_t flags;             // CLASS: characters with any of these properties match
    uint32_t c;                 // CHAR: the character that matches; METASPACE: the replacement
    enum txt_prepend prepend;   // METASPACE
    struct txt_regex *re;       // REGEX
};
struct txt_pres {
    struct txt_pre *steps;
    size_t n;
};
RT_NODISCARD enum rt_err txt_pres_read(struct txt_tokenizer *tok, const struct txt_node *at);
void txt_pres_free(struct txt_pres *p);

// The options of Metaspace, in a pre-tokenizer or a decoder.
RT_NODISCARD enum rt_err txt_read_metaspace(const struct txt_node *at, uint32_t *c,
                                            enum txt_prepend *prepend, bool *split);

// ---- the model: bpe.c, unigram.c ----
struct txt_pair {
    uint64_t key;   // left id << 32 | right id
    uint64_t value; // rank << 32 | new id; TXT_NO_PAIR: a free slot
};
#define TXT_NO_PAIR UINT64_MAX
struct txt_bpe {
    struct txt_pair *pairs; // open addressing, cap a power of two
    size_t n, cap;
    bool ignore_merges, byte_fallback, fuse_unk, unk_missing;
    int64_t unk;           // id or -1
    int64_t bytes[256];    // id of a byte, by name in ByteLevel's alphabet; -1: none
    bool all_bytes;        // every byte has one
    int64_t fallback[256]; // ids of <0x00> ..; -1
    struct txt_table raw;  // words as bytes -> id, for ignore_merges on bytes
};
static inline size_t txt_pair_slot(uint64_t key, size_t cap)
{
    uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 32;
    return (size_t) h & (cap - 1);
}

// rank << 32 | new id of a pair, or TXT_NO_PAIR.
static inline uint64_t txt_pair_find(const struct txt_bpe *b, uint32_t left, uint32_t right)
{
    const uint64_t key = (uint64_t) left << 32 | right;
    for (size_t i = txt_pair_slot(key, b->cap);; i = (i + 1) & (b->cap - 1))
        if (b->pairs[i].key == key || b->pairs[i].value == TXT_NO_PAIR)
            return b->pairs[i].value;
}

// The ids of the tokens <0x00> .. <0xFF>; -1 where there is none.
void txt_fallback_ids(const struct txt_vocab *v, int64_t fallback[256]);

struct txt_unigram {
    double *scores; // (vocab.rows)
    double unk_score;
    int64_t unk; // id or -1
    bool byte_fallback;
    struct txt_trie trie; // token of a node: id plus 1
    int64_t fallback[256];
};
RT_NODISCARD enum rt_err txt_bpe_read(struct txt_tokenizer *tok, const struct txt_node *at);
RT_NODISCARD enum rt_err txt_unigram_read(struct txt_tokenizer *tok, const struct txt_node *at);
RT_NODISCARD enum rt_err
txt_bpe_use_bytes(struct txt_tokenizer *tok); // words come as bytes from now on
void txt_bpe_free(struct txt_bpe *b);
void txt_unigram_free(struct txt_unigram *u);

// Memory of one txt_encode call. { 0 } is valid.
struct txt_word_memo;
struct txt_model_scratch {
    struct txt_word_memo *memo; // (memo_n) words seen; memo_n is 0 or a power of two
    size_t memo_n;
    struct txt_ids symbols; // the word's ids
    uint32_t *prev, *next;  // links of a long word
    uint64_t *heap;         // rank << 32 | position
    size_t links_cap, heap_n, heap_cap;
    void *best; // Unigram: best paths
    size_t best_cap;
};
// Append the ids of one word. Errors: RT_E_FORMAT no id and no unknown token; RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_bpe_word(const struct txt_tokenizer *tok,
                                      struct txt_model_scratch *scratch, const char *word,
                                      size_t len, struct txt_ids *out);
RT_NODISCARD enum rt_err txt_unigram_word(const struct txt_tokenizer *tok,
                                          struct txt_model_scratch *scratch, const char *word,
                                          size_t len, struct txt_ids *out);
RT_NODISCARD enum rt_err txt_model_scratch_begin(struct txt_model_scratch *s, size_t text_len);
void txt_model_scratch_free(struct txt_model_scratch *s);

// ---- postprocessor.c ----
#define TXT_POST_TEXT UINT32_MAX // stands for the text's own ids
struct txt_post {
    struct txt_ids items; // ids, and TXT_POST_TEXT
};
RT_NODISCARD enum rt_err txt_post_read(struct txt_tokenizer *tok, const struct txt_node *at);

// ---- decoder.c ----
enum txt_dec_kind {
    TXT_DEC_BYTE_LEVEL,
    TXT_DEC_REPLACE,
    TXT_DEC_FALLBACK,
    TXT_DEC_FUSE,
    TXT_DEC_STRIP,
    TXT_DEC_METASPACE
};
struct txt_dec {
    enum txt_dec_kind kind;
    struct txt_regex *re; // REPLACE
    char *text;
    size_t len;
    uint32_t c;           // STRIP, METASPACE
    uint32_t start, stop; // STRIP
    bool drop_first;      // METASPACE: the first token loses its replacement characters
};
struct txt_decs {
    struct txt_dec *steps;
    size_t n;
    bool spaced; // no decoder: names with a space between
    bool
        streams; // the text of tokens does not depend on those behind, but for bytes of a character
    bool fallback;    // <0x41> stands for a byte
    struct str bytes; // of all ids, each with a NUL behind
    size_t *bytes_at; // (rows + 1) where in `bytes`
};
RT_NODISCARD enum rt_err txt_decs_read(struct txt_tokenizer *tok, const struct txt_node *at);
RT_NODISCARD enum rt_err
txt_decs_bytes(struct txt_tokenizer *tok); // fills bytes and bytes_at, last of all
void txt_decs_free(struct txt_decs *d);

// txt_decode; *started says that tokens went before, and is set when there is one.
struct txt_decode_args {
    const uint32_t *ids;
    size_t n;
    bool skip_special;
};
RT_NODISCARD enum rt_err txt_decode_ids(const struct txt_tokenizer *tok,
                                        const struct txt_decode_args *args, bool *started,
                                        struct str *out);

// The byte that a name <0x41> stands for, or -1.
int txt_fallback_byte(const char *name, size_t len);

// ByteLevel's alphabet: a byte as a code point, and back (-1: not of the alphabet).
uint32_t txt_byte_char(uint8_t byte);
int txt_char_byte(uint32_t c);

// Append the bytes that a name in that alphabet stands for. False, and nothing appended, if it is
// not wholly in the alphabet. *err: RT_OK or RT_E_NOMEM.
bool txt_name_bytes(const char *name, size_t len, struct str *out, enum rt_err *err);

// ---- tokenizer.c ----
struct txt_tokenizer {
    uint32_t nul_key; // while it is read: stands for U+0000 in the keys of the vocabulary; 0:
                      // nothing does
    uint8_t *chars;   // unicode.h
    struct hash digest;
    struct txt_norms norms;
    struct txt_added added;
    struct txt_pres pres;
    bool bytes; // words reach the model as bytes: ByteLevel's alphabet is not spelled out
    struct txt_vocab vocab; // the model's
    enum rt_err (*word)(const struct txt_tokenizer *, struct txt_model_scratch *, const char *,
                        size_t,
                        struct txt_ids *); // the model
    struct txt_bpe bpe;
    struct txt_unigram unigram;
    struct txt_post post;
    struct txt_decs decs;
    uint32_t rows; // largest id + 1
    struct txt_special_token specials[TXT_SPECIAL_COUNT];
    char *special_text[TXT_SPECIAL_COUNT];
};

// State of one txt_encode call.
struct txt_encoding {
    const struct txt_tokenizer *tok;
    struct txt_ids *out;
    struct txt_norm_scratch norm;
    struct txt_model_scratch model;
    struct txt_scan scans[TXT_STEPS_MAX]; // of each pre-tokenizer
    struct str texts[TXT_STEPS_MAX];
};
// Append the ids of a piece of normalized text. `first`: it begins where the original text does.
RT_NODISCARD enum rt_err txt_pretokenize(struct txt_encoding *e, const char *text, size_t len,
                                         bool first);

// The name of an id, an added token's or the model's; NULL if none.
const char *txt_name_of(const struct txt_tokenizer *tok, uint32_t id, size_t *len);

// What the decoder gets to see of an id; NULL if there is no such id.
const char *txt_shown_name(const struct txt_tokenizer *tok, uint32_t id, size_t *len);

// True where txt_decode without special tokens leaves the id out.
bool txt_is_skipped(const struct txt_tokenizer *tok, uint32_t id);

// Grow the array whose pointer is at `array` from *n to *n + 1 elements of `size` bytes, the new
// one zero and its address at *item. For short arrays: each call reallocates. RT_E_NOMEM leaves the
// array as it was.
RT_NODISCARD enum rt_err txt_push(void *array, size_t *n, size_t size, void **item);

// Name the special tokens that `doc` (a tokenizer_config.json or special_tokens_map.json) has, but
// not those that are named already. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_specials_read(struct txt_tokenizer *tok, const cJSON *doc);

#endif // TEXT_TOKENIZER_PARTS_H
