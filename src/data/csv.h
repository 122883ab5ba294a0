// src/data/csv.h -- records of comma separated values (RFC 4180). Private to src/data.
#ifndef DATA_CSV_H
#define DATA_CSV_H

#include <stdint.h>

#include <jansson.h>

#include "src/base/str.h"

// Finds the end of a record byte by byte. { 0 } is its beginning.
enum ds_csv_state { DS_CSV_START, DS_CSV_PLAIN, DS_CSV_QUOTED, DS_CSV_CLOSED };
static inline enum ds_csv_state ds_csv_step(enum ds_csv_state s, char c, char comma)
{
    if (s == DS_CSV_QUOTED)
        return c == '"' ? DS_CSV_CLOSED : DS_CSV_QUOTED;
    if (c == '"' && (s == DS_CSV_START || s == DS_CSV_CLOSED))
        return DS_CSV_QUOTED; // of a closed one: a doubled quote
    return c == comma ? DS_CSV_START : s == DS_CSV_CLOSED ? DS_CSV_CLOSED : DS_CSV_PLAIN;
}

// Where a record is, for messages.
struct ds_csv_at {
    const char *path;
    uint64_t line;
    char comma;
};

// The fields of text[0..n), a record without its newline, as an array of strings.
// Errors: RT_E_FORMAT  not UTF-8, an open quote, something behind a closing quote; RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_csv_fields(const struct ds_csv_at *at, const char *text, size_t n,
                                       json_t **out);

#endif // DATA_CSV_H
