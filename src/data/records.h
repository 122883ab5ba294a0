// src/data/records.h -- the rows of one file as raw texts, in order, without the file in memory.
#ifndef DATA_RECORDS_H
#define DATA_RECORDS_H

#include <stdint.h>

#include <jansson.h>

#include "src/base/str.h"
#include "src/format/stream.h"

// What a file is by its name: NAME.EXT, NAME.EXT.gz, NAME.EXT.zst. Any other ending counts as JSON
// lines.
enum ds_format { DS_JSON, DS_CSV, DS_TSV };
struct ds_kind {
    enum ds_format format;
    enum fmt_packing packing;
};
// Errors: RT_E_UNSUPPORTED  a known format that is not read (parquet, arrow, xz, ...): the message
// says how to convert it.
RT_NODISCARD enum rt_err ds_kind_of(const char *path, struct ds_kind *out);

// Does `name` begin with `stem` and end with a known format's ending and packing, with nothing, or
// "-" and anything, between? ("train.jsonl", "train-00000-of-00002.csv.gz"; also "train.parquet".)
bool ds_is_split(const char *name, const char *stem);

// Rows of a file:
//   JSON  an object a line, blank lines skipped; or, where the text begins with [, an array of them
//   CSV   RFC 4180: a header with the columns' names, fields in quotes may hold commas, newlines
//         and doubled quotes; blank lines are skipped. TSV: the same with tabs.
// A byte order mark at the beginning is skipped. One thread reads.
struct ds_records;

// Takes ownership of *stream, also on error. `path` names the file in messages. Errors: those of
// fmt_stream_read; RT_E_FORMAT  a CSV file's header is missing, or has a column twice or without
// name; RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_records_open(struct fmt_stream **stream, enum ds_format format,
                                         const char *path, struct ds_records **out);
void ds_records_close(struct ds_records **r); // accepts NULL; leaves NULL

// One row's text. Borrowed until the next call.
struct ds_record {
    const char *text;
    size_t len;
    uint64_t line; // on which it begins, from 1
};

// The next row; text NULL at the end. Errors: those of fmt_stream_read; RT_E_FORMAT  an array or a
// quoted field that does not end, something behind the array, a row of 1 GiB or more; RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_records_next(struct ds_records *r, struct ds_record *out);

// A row's text as an object; of CSV all values are strings. Any number of threads may parse rows of
// one file at once. Errors: RT_E_FORMAT  no JSON; no UTF-8; CSV with another number of fields than
// the header, or with something between a closing quote and the comma; RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_record_parse(const struct ds_records *r, const char *text, size_t len,
                                         uint64_t line, json_t **out);

#endif // DATA_RECORDS_H
