// src/format/json.h -- JSON of configs, options and state (cJSON) and of data rows (jansson).
// Both libraries by design: cJSON's tree is plain and small; jansson keeps U+0000 inside strings
// and integers apart from reals. Objects are owned by the caller and are not shared between
// threads.
#ifndef FORMAT_JSON_H
#define FORMAT_JSON_H

#include <cjson/cJSON.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"

#define FMT_JSON_DEPTH 128u         // deepest nesting that is read or written
#define FMT_JSON_VALUES (16u << 20) // most values in one text: a bound on memory

// ---- reading with cJSON ----

// Parse text[0, len), which must be one JSON value and nothing else, into *out (free with
// cJSON_Delete). `where` names the file in messages, which read "where:line:column: ...". Beyond
// JSON, NaN, Infinity and -Infinity are numbers, as in Python. A key given twice is an error.
// Errors: RT_E_FORMAT  not JSON or not UTF-8; nested or large beyond the limits above; a duplicate
//                      key; a string with U+0000, which cJSON would cut
//         RT_E_NOMEM   (within cJSON, which does not tell the two apart, it is RT_E_FORMAT)
RT_NODISCARD enum rt_err fmt_json_parse(const char *text, size_t len, const char *where,
                                        cJSON **out);

// The same for a file. Errors: as above, and those of file_map_open().
RT_NODISCARD enum rt_err fmt_json_read(const char *path, cJSON **out);

// An object of a parsed tree and the name of its file, for messages. Borrows both.
struct fmt_json {
    const cJSON *node;
    const char *where;
};

// The member `key` (case matters), or NULL when it is absent or null, or when j is no object.
const cJSON *fmt_json_get(const struct fmt_json *j, const char *key);

// Typed members. Strings and nodes are borrowed from the tree. The plain form requires the key; the
// _or form gives `def` when it is absent or null (for objects and arrays: node NULL).
// Errors, each naming file and key: RT_E_NOT_FOUND  the key is absent
//                                   RT_E_FORMAT     it is of another type, no integer, or out of
//                                   range
// Integers are exact: |value| < 2^53 for int. On error *out is 0, false, NULL.
RT_NODISCARD enum rt_err fmt_json_num(const struct fmt_json *j, const char *key, double *out);
RT_NODISCARD enum rt_err fmt_json_num_or(const struct fmt_json *j, const char *key, double def,
                                         double *out);
RT_NODISCARD enum rt_err fmt_json_int(const struct fmt_json *j, const char *key, int64_t *out);
RT_NODISCARD enum rt_err fmt_json_int_or(const struct fmt_json *j, const char *key, int64_t def,
                                         int64_t *out);
RT_NODISCARD enum rt_err fmt_json_u32(const struct fmt_json *j, const char *key, uint32_t *out);
RT_NODISCARD enum rt_err fmt_json_u32_or(const struct fmt_json *j, const char *key, uint32_t def,
                                         uint32_t *out);
RT_NODISCARD enum rt_err fmt_json_bool(const struct fmt_json *j, const char *key, bool *out);
RT_NODISCARD enum rt_err fmt_json_bool_or(const struct fmt_json *j, const char *key, bool def,
                                          bool *out);
RT_NODISCARD enum rt_err fmt_json_str(const struct fmt_json *j, const char *key, const char **out);
RT_NODISCARD enum rt_err fmt_json_str_or(const struct fmt_json *j, const char *key, const char *def,
                                         const char **out);
RT_NODISCARD enum rt_err fmt_json_object(const struct fmt_json *j, const char *key,
                                         struct fmt_json *out);
RT_NODISCARD enum rt_err fmt_json_object_or_null(const struct fmt_json *j, const char *key,
                                                 struct fmt_json *out);
RT_NODISCARD enum rt_err fmt_json_array(const struct fmt_json *j, const char *key,
                                        const cJSON **out);
RT_NODISCARD enum rt_err fmt_json_array_or_null(const struct fmt_json *j, const char *key,
                                                const cJSON **out);

// *out = the number in `node`: a JSON number, or a string that is wholly a decimal number such as
// "5e-7" (YAML 1.1 reads that as a string; Hugging Face's parser then converts). False otherwise.
bool fmt_json_to_num(const cJSON *node, double *out);

// "a string", "null", ... for messages; never NULL.
const char *fmt_json_kind(const cJSON *node);

// ---- reading with jansson ----

// Parse text[0, len), one JSON value of any type, into *out (free with json_decref). U+0000 is
// kept; a repeated key keeps its last value, as in Python. `line` is the line of `file` on which
// text begins; messages read "file:line: ...". Errors: RT_E_FORMAT  not JSON or UTF-8, nested
// beyond FMT_JSON_DEPTH, an integer outside int64, a
//                      real outside double, or NaN / Infinity; RT_E_NOMEM
RT_NODISCARD enum rt_err fmt_jansson_parse(const char *text, size_t len, const char *file,
                                           size_t line, json_t **out);

// ---- writing ----

// v as the shortest decimal that reads back as v, laid out as Python's repr: 1e-05, 0.1, 1e+16;
// NaN, Infinity and -Infinity. Integers below 1e16 are plain ("3") unless `point` ("3.0", as Python
// prints a float). Returns buf.
const char *fmt_num_print(char buf[32], double v, bool point);

// Append text[0, n) to *out as a JSON string with its quotes, escaped as Python's json does.
// `ascii`: everything outside ASCII becomes \uXXXX. A byte that is not UTF-8 becomes U+FFFD.
// RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_json_escape(struct str *out, const char *text, size_t n, bool ascii);

// A writer that lays JSON out as Python's json.dumps(indent=...). Declare it with its options, call
// the functions below in order, and end with fmt_jw_done(). The calls return nothing, against the
// rule, because a failure sticks in `err` and the last call reports it.
struct fmt_jw {
    struct str *out; // appended to; the caller owns it
    unsigned indent; // spaces a level; 0 = one line with ", " and ": " between
    bool ascii;      // escape what is not ASCII
    enum rt_err err; // below: private, start as 0
    unsigned depth;
    bool after_key, used[FMT_JSON_DEPTH + 1], array[FMT_JSON_DEPTH + 1];
};
void fmt_jw_object(struct fmt_jw *w); // begin {
void fmt_jw_array(struct fmt_jw *w);  // begin [
void fmt_jw_end(struct fmt_jw *w);    // close what was begun last
void fmt_jw_key(struct fmt_jw *w, const char *key);
void fmt_jw_num(struct fmt_jw *w, double v); // a Python float: 3.0, 1e-05, NaN
void fmt_jw_int(struct fmt_jw *w, int64_t v);
void fmt_jw_bool(struct fmt_jw *w, bool v);
void fmt_jw_null(struct fmt_jw *w);
void fmt_jw_str(struct fmt_jw *w, const char *text); // NULL writes null
void fmt_jw_str_n(struct fmt_jw *w, const char *text, size_t n);
// A key and its value.
void fmt_jw_put_num(struct fmt_jw *w, const char *key, double v);
void fmt_jw_put_int(struct fmt_jw *w, const char *key, int64_t v);
void fmt_jw_put_bool(struct fmt_jw *w, const char *key, bool v);
void fmt_jw_put_str(struct fmt_jw *w, const char *key, const char *text);
void fmt_jw_put_nums(struct fmt_jw *w, const char *key, const double *v, uint32_t n);
void fmt_jw_cjson(struct fmt_jw *w, const cJSON *node);    // a whole tree; integral numbers plain
void fmt_jw_jansson(struct fmt_jw *w, const json_t *node); // a whole tree; 1 and 1.0 stay apart

// Errors: RT_E_NOMEM; RT_E_ARG when begin, key and end do not match or nest too deep.
RT_NODISCARD enum rt_err fmt_jw_done(struct fmt_jw *w);

#endif // FORMAT_JSON_H
