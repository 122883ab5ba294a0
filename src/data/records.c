#include "src/data/records.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/data/csv.h"
#include "src/format/json.h"

enum { READ = 1 << 18, LONGEST = 1 << 30 };

// How the text is cut into rows.
enum cut { CUT_LINES, CUT_ARRAY, CUT_CSV };

struct ds_records {
    struct fmt_stream *stream;
    char *path;
    enum cut cut;
    char comma;
    json_t *header; // array of names; CSV
    struct str buf; // what is read and not handed out yet begins at `at`
    size_t at;
    uint64_t line; // of buf[at]
    bool ended;    // the stream
    bool closed;   // the array
    bool begun;    // the array has a row already
};

// ---- names --------------------------------------------------------------------------------------

static const struct {
    const char *end;
    enum ds_format format;
} FORMATS[] = {{".jsonl", DS_JSON},
               {".ndjson", DS_JSON},
               {".json", DS_JSON},
               {".csv", DS_CSV},
               {".tsv", DS_TSV}};

static const struct {
    const char *end;
    enum fmt_packing packing;
} PACKINGS[] = {{".gz", FMT_GZIP}, {".zst", FMT_ZSTD}};

static const struct {
    const char *end, *advice;
} REFUSED[] = {
    {".parquet", "convert it: python3 -c \"import pandas; pandas.read_parquet('IN').to_json("
                 "'OUT.jsonl', orient='records', lines=True)\""},
    {".arrow", "convert it: python3 -c \"import datasets; datasets.Dataset.from_file('IN').to_json("
               "'OUT.jsonl')\""},
    {".feather", "convert it with pandas.read_feather('IN').to_json('OUT.jsonl', orient='records', "
                 "lines=True)"},
    {".xz", "unpack it, or pack it with gzip or zstd"},
    {".bz2", "unpack it, or pack it with gzip or zstd"},
    {".zip", "unpack it, or pack it with gzip or zstd"},
};

// Length of `name` without a packing's ending.
static size_t unpacked(const char *name, enum fmt_packing *packing)
{
    *packing = FMT_PLAIN;
    for (size_t i = 0; i < COUNT_OF(PACKINGS); i++)
        if (str_has_suffix(name, PACKINGS[i].end)) {
            *packing = PACKINGS[i].packing;
            return strlen(name) - strlen(PACKINGS[i].end);
        }
    return strlen(name);
}

static bool ends_with(const char *name, size_t n, const char *end)
{
    const size_t k = strlen(end);
    return n >= k && memcmp(name + n - k, end, k) == 0;
}

enum rt_err ds_kind_of(const char *path, struct ds_kind *out)
{
    const size_t n = unpacked(path, &out->packing);

    out->format = DS_JSON;
    for (size_t i = 0; i < COUNT_OF(REFUSED); i++)
        if (ends_with(path, n, REFUSED[i].end))
            return rt_fail(RT_E_UNSUPPORTED, "%s: %s is not read here; %s", path,
                           REFUSED[i].end + 1, REFUSED[i].advice);
    for (size_t i = 0; i < COUNT_OF(FORMATS); i++)
        if (ends_with(path, n, FORMATS[i].end))
            out->format = FORMATS[i].format;
    return RT_OK;
}

bool ds_is_split(const char *name, const char *stem)
{
    enum fmt_packing packing;
    const size_t n = unpacked(name, &packing), k = strlen(stem);
    size_t end = 0;

    for (size_t i = 0; i < COUNT_OF(FORMATS); i++)
        if (ends_with(name, n, FORMATS[i].end))
            end = strlen(FORMATS[i].end);
    for (size_t i = 0; i < COUNT_OF(REFUSED); i++)
        if (ends_with(name, n, REFUSED[i].end))
            end = strlen(REFUSED[i].end);
    return end && n >= k + end && memcmp(name, stem, k) == 0 && (n == k + end || name[k] == '-');
}

// ---- the buffer ---------------------------------------------------------------------------------

// Read more behind buf; r->ended when there is none.
static enum rt_err fill(struct ds_records *r)
{
    enum rt_err err = RT_OK;
    size_t n;

    if (r->at) {
        memmove(r->buf.data, r->buf.data + r->at, r->buf.len - r->at);
        r->buf.len -= r->at;
        r->at = 0;
    }
    if (r->buf.len >= LONGEST)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%llu: expected a row of less than 1 GiB", r->path,
                       (unsigned long long) r->line));
    RT_TRY(str_reserve(&r->buf, READ > r->buf.len ? READ : r->buf.len));
    RT_TRY(fmt_stream_read(r->stream, r->buf.data + r->buf.len, r->buf.cap - r->buf.len - 1, &n));
    r->buf.len += n;
    r->ended = n == 0;
done:
    return err;
}

static void skip(struct ds_records *r, size_t n)
{
    for (const char *p = r->buf.data + r->at, *end = p + n;
         n && (p = memchr(p, '\n', (size_t) (end - p))) != NULL; p++)
        r->line++;
    r->at += n;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Skip blanks; *c is the next byte, 0 at the end.
static enum rt_err peek(struct ds_records *r, char *c)
{
    enum rt_err err = RT_OK;

    *c = 0;
    for (;;) {
        size_t n = 0;
        while (r->at + n < r->buf.len && is_blank(r->buf.data[r->at + n]))
            n++;
        skip(r, n);
        if (r->at < r->buf.len) {
            *c = r->buf.data[r->at];
            break;
        }
        if (r->ended)
            break;
        RT_TRY(fill(r));
    }
done:
    return err;
}

// ---- rows ---------------------------------------------------------------------------------------

// Hand out n bytes, and skip `more` behind them.
static void take(struct ds_records *r, size_t n, size_t more, struct ds_record *out)
{
    *out = (struct ds_record){r->buf.data + r->at, n, r->line};
    skip(r, n + more);
}

// An object a line.
static enum rt_err next_line(struct ds_records *r, struct ds_record *out)
{
    enum rt_err err = RT_OK;
    const char *end = NULL;
    char c;

    RT_TRY(peek(r, &c));
    if (r->at == r->buf.len)
        goto done;
    for (size_t seen = 0;;) {
        end = memchr(r->buf.data + r->at + seen, '\n', r->buf.len - r->at - seen);
        if (end || r->ended)
            break;
        seen = r->buf.len - r->at;
        RT_TRY(fill(r));
    }
    const size_t n = end ? (size_t) (end - r->buf.data) - r->at : r->buf.len - r->at;
    take(r, n, end != NULL, out);
done:
    return err;
}

static enum rt_err fail_array(const struct ds_records *r, const char *what)
{
    return rt_fail(RT_E_FORMAT, "%s:%llu: %s", r->path, (unsigned long long) r->line, what);
}

// Length of the array's element at buf[at], up to the comma or bracket behind it.
static enum rt_err measure_element(struct ds_records *r, size_t *out)
{
    enum rt_err err = RT_OK;
    uint64_t depth = 0;
    bool text = false, escaped = false;

    for (size_t i = 0;; i++) {
        while (r->at + i >= r->buf.len) {
            if (r->ended)
                RT_TRY(fail_array(r, "expected an array of rows, found one without its end"));
            RT_TRY(fill(r));
        }
        const char c = r->buf.data[r->at + i];
        if (text) {
            text = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
        } else if (depth == 0 && (c == ',' || c == ']')) {
            *out = i;
            break;
        } else if (c == '"') {
            text = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
done:
    return err;
}

static enum rt_err next_element(struct ds_records *r, struct ds_record *out)
{
    enum rt_err err = RT_OK;
    size_t n;
    char c;

    RT_TRY(peek(r, &c));
    if (c == ']' && !r->begun) { // an empty array
        skip(r, 1);
        r->closed = true;
    }
    if (!r->closed) {
        if (c == ',' || c == ']')
            RT_TRY(fail_array(r, "expected a row between commas, found none"));
        RT_TRY(measure_element(r, &n));
        r->begun = true;
        r->closed = r->buf.data[r->at + n] == ']';
        take(r, n, 1, out);
        goto done;
    }
    RT_TRY(peek(r, &c));
    if (r->at < r->buf.len)
        RT_TRY(fail_array(r, "expected nothing behind the array of rows"));
done:
    return err;
}

static enum rt_err next_csv(struct ds_records *r, struct ds_record *out)
{
    enum rt_err err = RT_OK;
    enum ds_csv_state state = DS_CSV_START;
    size_t i = 0;

    for (;; i++) {
        while (r->at + i >= r->buf.len && !r->ended)
            RT_TRY(fill(r));
        const bool end = r->at + i >= r->buf.len;
        const char c = end ? '\n' : r->buf.data[r->at + i];
        if (end && i == 0)
            goto done;
        if (c == '\n' && (state != DS_CSV_QUOTED || end)) {
            const size_t n = i > 0 && r->buf.data[r->at + i - 1] == '\r' ? i - 1 : i;
            if (n > 0) {
                take(r, n, i - n + !end, out);
                goto done;
            }
            skip(r, i + !end); // a blank line
            i = SIZE_MAX;
            state = DS_CSV_START;
            continue;
        }
        state = ds_csv_step(state, c, r->comma);
    }
done:
    return err;
}

enum rt_err ds_records_next(struct ds_records *r, struct ds_record *out)
{
    *out = (struct ds_record){0};
    return r->cut == CUT_CSV     ? next_csv(r, out)
           : r->cut == CUT_ARRAY ? next_element(r, out)
                                 : next_line(r, out);
}

// ---- open ---------------------------------------------------------------------------------------

static enum rt_err read_header(struct ds_records *r)
{
    enum rt_err err = RT_OK;
    struct ds_record rec = {0};
    const json_t *a, *b;
    size_t i, k;

    RT_TRY(next_csv(r, &rec));
    if (!rec.text)
        goto done; // an empty file has no rows
    RT_TRY(ds_csv_fields(&(struct ds_csv_at){r->path, rec.line, r->comma}, rec.text, rec.len,
                         &r->header));
    json_array_foreach(r->header, i, a)
    {
        if (json_string_length(a) == 0)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s:1: expected a name for column %zu of the header",
                           r->path, i + 1));
        for (k = 0; k < i; k++) {
            b = json_array_get(r->header, k);
            if (json_equal(a, b))
                RT_TRY(rt_fail(RT_E_FORMAT, "%s:1: the header names the column \"%s\" twice",
                               r->path, json_string_value(a)));
        }
    }
done:
    return err;
}

enum rt_err ds_records_open(struct fmt_stream **stream, enum ds_format format, const char *path,
                            struct ds_records **out)
{
    enum rt_err err = RT_OK;
    struct ds_records *r = calloc(1, sizeof(*r));
    char c;

    *out = NULL;
    RT_REQUIRE(r, RT_E_NOMEM);
    r->stream = *stream;
    *stream = NULL;
    r->line = 1;
    r->comma = format == DS_TSV ? '\t' : ',';
    RT_TRY(str_dup(path, &r->path));
    while (r->buf.len < 3 && !r->ended)
        RT_TRY(fill(r));
    if (r->buf.len >= 3 && memcmp(r->buf.data, "\xef\xbb\xbf", 3) == 0)
        r->at = 3;
    if (format != DS_JSON) {
        r->cut = CUT_CSV;
        RT_TRY(read_header(r));
    } else {
        RT_TRY(peek(r, &c));
        r->cut = c == '[' ? CUT_ARRAY : CUT_LINES;
        if (c == '[')
            skip(r, 1);
    }
    *out = r;
    r = NULL;
done:
    ds_records_close(&r);
    fmt_stream_close(stream);
    return err;
}

void ds_records_close(struct ds_records **records)
{
    struct ds_records *r = *records;
    if (!r)
        return;
    fmt_stream_close(&r->stream);
    json_decref(r->header);
    str_free(&r->buf);
    free(r->path);
    free(r);
    *records = NULL;
}

// ---- parsing ------------------------------------------------------------------------------------

static enum rt_err parse_csv(const struct ds_records *r, const char *text, size_t len,
                             uint64_t line, json_t **out)
{
    enum rt_err err = RT_OK;
    json_t *fields = NULL, *object = json_object();
    const size_t n = json_array_size(r->header);

    RT_TRY(ds_csv_fields(&(struct ds_csv_at){r->path, line, r->comma}, text, len, &fields));
    if (json_array_size(fields) != n)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%llu: expected %zu fields as in the header, found %zu",
                       r->path, (unsigned long long) line, n, json_array_size(fields)));
    for (size_t i = 0; i < n; i++)
        if (!object || json_object_set(object, json_string_value(json_array_get(r->header, i)),
                                       json_array_get(fields, i)) != 0)
            RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: a row"));
    *out = object;
    object = NULL;
done:
    json_decref(fields);
    json_decref(object);
    return err;
}

enum rt_err ds_record_parse(const struct ds_records *r, const char *text, size_t len, uint64_t line,
                            json_t **out)
{
    *out = NULL;
    return r->cut == CUT_CSV ? parse_csv(r, text, len, line, out)
                             : fmt_jansson_parse(text, len, r->path, (size_t) line, out);
}
