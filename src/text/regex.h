// src/text/regex.h -- the regular expressions of tokenizer.json (Oniguruma, Ruby syntax), run by
// PCRE2.
#ifndef TEXT_REGEX_H
#define TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"

// Classes are those of the library's Unicode 16 (unicode.h), with one flaw: the marks
// U+10EFC..10EFF count as marks, but not as \p{Arabic}, and a few Cyrillic ones beyond U+FFFF
// likewise.

// A compiled expression. Immutable: any number of threads may match with it.
struct txt_regex;

// Append to *out the PCRE2 pattern that matches what Oniguruma matches with pattern[0..len).
// `where` names the pattern in messages. Not translated, but refused: back-references, look-behind
// of other kinds than PCRE2 has, set intersections, POSIX brackets, scripts beyond those of
// tools/make_unicode_tables.py. Errors: RT_E_UNSUPPORTED, RT_E_FORMAT (a bracket is not closed),
// RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_regex_translate(const char *pattern, size_t len, const char *where,
                                             struct str *out);

// Compile pattern[0..len), or, with `literal`, the string itself. *out is NULL on error.
// Errors: those of the translation; RT_E_UNSUPPORTED also when PCRE2 does not accept the result.
struct txt_regex_args {
    const char *pattern;
    size_t len;
    bool literal;
    const char *where;
};
RT_NODISCARD enum rt_err txt_regex_create(const struct txt_regex_args *args,
                                          struct txt_regex **out);
void txt_regex_destroy(struct txt_regex **re); // accepts NULL; leaves NULL

// The matches of one expression in one text, in order. { 0 } is closed; may be begun again and
// again, with the memory kept; free with txt_scan_free. The text must stay as it is from begin to
// the last next.
struct txt_scan {
    const struct txt_regex *re;
    const char *text; // what PCRE2 sees: the text, or `copy` with stand-ins (unicode.h)
    size_t len, at, last_end;
    bool any;
    void *match_data;
    struct str copy;
};
RT_NODISCARD enum rt_err txt_scan_begin(struct txt_scan *s, const struct txt_regex *re,
                                        const uint8_t *chars, const char *text, size_t len);

// *found: [*start, *end) is the next match. Never an empty one right behind the match before.
// Errors: RT_E_UNSUPPORTED the expression needs more steps or memory than are allowed (50 million,
// 256 MiB).
RT_NODISCARD enum rt_err txt_scan_next(struct txt_scan *s, size_t *start, size_t *end, bool *found);
void txt_scan_free(struct txt_scan *s);

#endif // TEXT_REGEX_H
