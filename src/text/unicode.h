// src/text/unicode.h -- UTF-8, character classes, case and normalization as the library
// `tokenizers` has them.
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"

#define TXT_CODE_POINTS 0x110000u
#define TXT_UTF8_MAX 4 // bytes of one character

// Properties of a code point. The library's parts carry different Unicode versions; these are
// theirs.
enum {
    TXT_L = 1,       // \p{L}, Unicode 16
    TXT_N = 2,       // \p{N}, Unicode 16
    TXT_SPACE = 4,   // \s, White_Space
    TXT_NUMERIC = 8, // char::is_numeric: what the pre-tokenizer Digits splits on
    TXT_PUNCT = 16,  // what the pre-tokenizer Punctuation splits on
    TXT_WORD = 32,   // what may not stand beside a single_word token
    TXT_ACCENT = 64, // what StripAccents takes away
    TXT_INERT =
        128, // newer than the normalization tables (Unicode 9): never composes, reorders or changes
    TXT_MOVED =
        256, // PCRE2 may class it otherwise than the library: it is shown `stand_in` instead
};

struct txt_char_class {
    uint16_t flags;
    uint32_t
        stand_in; // of the same length in UTF-8 and, in PCRE2 10.40 and later, of the class wanted
};
extern const struct txt_char_class txt_char_classes[];

// The tables behind these functions: runs of equal class, and rows first, last, step, delta.
struct txt_lower_row {
    uint32_t first, last;
    int32_t step, delta;
};
extern const uint32_t txt_char_runs[]; // first code point << 8 | class
extern const size_t txt_char_runs_n;
extern const struct txt_lower_row txt_lower_rows[];
extern const size_t txt_lower_rows_n;

// A byte for each code point: its class. Immutable once made; free with free().
RT_NODISCARD enum rt_err txt_chars_create(uint8_t **out);

static inline uint16_t txt_char_flags(const uint8_t *chars, uint32_t c)
{
    return txt_char_classes[chars[c]].flags;
}

// One character of valid UTF-8 at p; returns its length in bytes.
static inline size_t txt_utf8_get(const char *p, uint32_t *c)
{
    const unsigned char *u = (const unsigned char *) p;
    if (u[0] < 0x80) {
        *c = u[0];
        return 1;
    }
    if (u[0] < 0xe0) {
        *c = (uint32_t) (u[0] & 0x1f) << 6 | (u[1] & 0x3f);
        return 2;
    }
    if (u[0] < 0xf0) {
        *c = (uint32_t) (u[0] & 0x0f) << 12 | (uint32_t) (u[1] & 0x3f) << 6 | (u[2] & 0x3f);
        return 3;
    }
    *c = (uint32_t) (u[0] & 0x07) << 18 | (uint32_t) (u[1] & 0x3f) << 12 |
         (uint32_t) (u[2] & 0x3f) << 6 | (u[3] & 0x3f);
    return 4;
}

// The last character of the valid UTF-8 [begin, end), which is not empty; returns its length.
size_t txt_utf8_last(const char *begin, const char *end, uint32_t *c);

// Write c (not a surrogate) to p, which has room for 4 bytes; returns the length.
size_t txt_utf8_put(char *p, uint32_t c);

// Length of the longest prefix of s[0..n) that is valid UTF-8.
size_t txt_utf8_valid(const char *s, size_t n);

// How many bytes at the end of s[0..n) begin a character that more bytes could complete: 0..3.
size_t txt_utf8_tail(const char *s, size_t n);

// Append s[0..n) to *out with each maximal ill-formed part replaced by U+FFFD (Unicode 16, 3.9,
// "U+FFFD substitution of maximal subparts"; what Python and Rust do). Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_utf8_repair(const char *s, size_t n, struct str *out);

// Lower case of one character, to[0..1 or 2); returns how many.
size_t txt_lower(uint32_t c, uint32_t to[2]);

// NFC, NFD, NFKC or NFKD of the valid UTF-8 s[0..n), appended to *out. Linear, but for sorting long
// runs of marks (n log n). Errors: RT_E_NOMEM, with *out as it was.
enum txt_form { TXT_NFC, TXT_NFD, TXT_NFKC, TXT_NFKD };
RT_NODISCARD enum rt_err txt_normal_form(const uint8_t *chars, enum txt_form form, const char *s,
                                         size_t n, struct str *out);

#endif // TEXT_UNICODE_H
