// src/base/str.h -- a growing byte string, and the few string helpers that everything needs.
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

#include "src/base/err.h"

// Owned by whoever declares it; { 0 } is empty and valid. `data` is NUL-terminated whenever it is
// not NULL, but may hold NULs inside: `len` counts. Not thread safe.
struct str {
    char *data;
    size_t len, cap;
};

void str_free(struct str *s);  // accepts empty; leaves { 0 }
void str_clear(struct str *s); // length 0, memory kept

// Append; RT_E_NOMEM leaves the string as it was.
RT_NODISCARD enum rt_err str_append(struct str *s, const void *bytes, size_t n);
RT_NODISCARD enum rt_err str_puts(struct str *s, const char *text);
RT_NODISCARD enum rt_err str_putc(struct str *s, char c);
RT_NODISCARD enum rt_err str_printf(struct str *s, const char *fmt, ...) RT_PRINTF(2, 3);

// Make room for `extra` more bytes behind len (and the NUL).
RT_NODISCARD enum rt_err str_reserve(struct str *s, size_t extra);

// Heap copy of `n` bytes with a NUL behind; *out NULL on error. Free with free().
RT_NODISCARD enum rt_err str_dup_n(const char *bytes, size_t n, char **out);
RT_NODISCARD enum rt_err str_dup(const char *text, char **out);

bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);

// Levenshtein distance of two short names, capped at 255; for "did you mean".
unsigned str_distance(const char *a, const char *b);

// Bytes as a person reads them, "1.50 GiB", into buf; returns buf.
const char *str_bytes(char buf[32], double bytes);

#endif // BASE_STR_H
