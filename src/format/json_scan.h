// src/format/json_scan.h -- private to src/format: what JSON texts are checked for before a library
// sees them.
#ifndef FORMAT_JSON_SCAN_H
#define FORMAT_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "src/base/err.h"

// First bytes of the strings that stand for NaN, Infinity and -Infinity after a rewrite. None can
// begin UTF-8, so no string of the file can be taken for one.
enum { FMT_JSON_NAN = 0xff, FMT_JSON_INF = 0xfe, FMT_JSON_NEG_INF = 0xfd };

struct fmt_json_scan {
    const char *text; // not NUL-terminated
    size_t len;
    const char *where;  // file, for messages
    size_t line;        // of the text's first byte, from 1
    bool allow_nul;     // \u0000 in strings
    char *rewrite;      // NULL, or len bytes equal to text: NaN and its like become strings there
    bool has_constants; // out: NaN, Infinity or -Infinity occurs outside strings
};

// One pass over the text: UTF-8, control characters in strings, \u0000, nesting and the number of
// values. The grammar is left to the library. Errors: RT_E_FORMAT, naming where:line:column.
RT_NODISCARD enum rt_err fmt_json_scan(struct fmt_json_scan *s);

// Log "where:line:column: what" for the byte at `off` and return RT_E_FORMAT.
RT_NODISCARD enum rt_err fmt_json_fail_at(const struct fmt_json_scan *s, size_t off,
                                          const char *what);

// Bytes of the UTF-8 sequence at p, 1 .. 4, or 0 if the next n bytes do not begin with a valid one
// (overlong forms and surrogates are invalid). n > 0. *point = the code point.
size_t fmt_utf8(const char *p, size_t n, unsigned *point);

#endif // FORMAT_JSON_SCAN_H
