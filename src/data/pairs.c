#include "src/data/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/thread.h"
#include "src/data/cache.h"
#include "src/data/encode.h"
#include "src/data/records.h"

// Rows are read in batches, each tokenised on all cores and then added in order.
enum { BATCH_BYTES = 8 << 20, BATCH_ROWS = 1 << 14, SAY_EVERY_S = 10 };

// One row of a batch. Its messages are held back until the rows before it are through.
struct item {
    size_t begin, len; // in reader.texts
    uint64_t line;
    struct txt_ids ids;      // prompt, chosen, rejected
    uint32_t prompt, chosen; // lengths
    uint32_t cut;            // as in ds_pair
    enum rt_err err;
    struct str log;
};

// What one read carries along.
struct reader {
    const struct ds_read_args *args;
    const struct ds_file *file;
    const struct ds_records *records;
    struct ds_set *set;
    struct ds_cache_out *cache; // NULL: the ids stay in the set
    struct str texts;
    struct item *items; // (BATCH_ROWS)
    uint32_t n_items;
    uint64_t n_ids;
    double said; // when progress was last shown, seconds
};

// ---- One row ----------------------------------------------------------------------------------

static enum rt_err keep_dropped(struct ds_set *set, uint32_t row)
{
    if (set->n_dropped == set->cap_dropped) {
        const uint32_t cap = set->cap_dropped ? 2 * set->cap_dropped : 64;
        uint32_t *p = realloc(set->dropped, cap * sizeof(*p));
        if (!p)
            return rt_fail(RT_E_NOMEM, "out of memory: list of dropped rows");
        set->dropped = p;
        set->cap_dropped = cap;
    }
    set->dropped[set->n_dropped++] = row;
    return RT_OK;
}

static enum rt_err keep_pair(struct ds_set *set, struct ds_pair pair)
{
    if (set->n == set->cap) {
        const uint32_t cap = set->cap ? 2 * set->cap : 256;
        struct ds_pair *p = realloc(set->pairs, cap * sizeof(*p));
        if (!p)
            return rt_fail(RT_E_NOMEM, "out of memory: list of pairs");
        set->pairs = p;
        set->cap = cap;
    }
    set->pairs[set->n++] = pair;
    return RT_OK;
}

static enum rt_err keep_tokens(struct item *it, const struct ds_encoder *e)
{
    enum rt_err err = RT_OK;
    const uint32_t n = ds_encoded_prompt(e);

    txt_ids_clear(&it->ids);
    RT_TRY(txt_ids_append(&it->ids, e->prompt.data, n));
    RT_TRY(txt_ids_append(&it->ids, e->chosen.data + n, e->chosen.len - n));
    RT_TRY(txt_ids_append(&it->ids, e->rejected.data + n, e->rejected.len - n));
    it->prompt = n;
    it->chosen = (uint32_t) (e->chosen.len - n);
    it->cut = (uint32_t) (e->prompt.len - n);
done:
    return err;
}

// The completions begin where the prompt's tokens end being a prefix of both sequences.
static enum rt_err tokenize(const struct reader *r, struct item *it, struct ds_encoder *e,
                            struct str *where)
{
    enum rt_err err = RT_OK;
    struct ds_row row = {0};
    json_t *object = NULL;

    str_clear(where);
    RT_TRY(str_printf(where, "%s:%llu", r->file->path, (unsigned long long) it->line));
    RT_TRY(ds_record_parse(r->records, r->texts.data + it->begin, it->len, it->line, &object));
    RT_TRY(ds_rename(&r->args->parts[r->file->part], where->data, object));
    RT_TRY(ds_row_make(object, where->data, &row));
    RT_TRY(ds_encode(e, &row, where->data));
    RT_TRY(keep_tokens(it, e));
    if (it->cut && r->args->strict)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: the prompt's tokens are not a prefix of prompt + completion: %zu "
                       "tokens, %u shared (strict)",
                       where->data, e->prompt.len, it->prompt));
done:
    ds_row_free(&row);
    json_decref(object);
    return err;
}

static void tokenize_range(void *user, uint64_t begin, uint64_t end)
{
    struct reader *r = user;
    struct ds_encoder e = {.tok = r->args->tok, .chat = r->args->chat, .now = r->args->now};
    struct str where = {0};
    enum rt_err err = RT_OK;

    for (uint64_t i = begin; i < end && err == RT_OK; i++) {
        log_capture(&r->items[i].log);
        err = r->items[i].err = tokenize(r, &r->items[i], &e, &where);
        log_capture(NULL);
    }
    ds_encoder_free(&e);
    str_free(&where);
}

// Into the set, by TRL's rule for prompts that are too long.
static enum rt_err add_item(struct reader *r, struct item *it)
{
    enum rt_err err = RT_OK;
    struct ds_set *set = r->set;
    const struct ds_pair pair = {set->n_read,
                                 r->n_ids,
                                 it->prompt,
                                 it->chosen,
                                 (uint32_t) it->ids.len - it->prompt - it->chosen,
                                 it->cut};

    if (set->n_read == UINT32_MAX)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s:%llu: more than 4294967295 rows", r->file->path,
                       (unsigned long long) it->line));
    set->n_read++;
    set->n_cut += pair.cut > 0;
    if (set->max_length && set->truncation == DS_KEEP_START && pair.prompt >= set->max_length) {
        RT_TRY(keep_dropped(set, pair.row));
        goto done;
    }
    set->n_truncated +=
        set->max_length && pair.prompt + u32_max(pair.chosen, pair.rejected) > set->max_length;
    RT_TRY(r->cache ? ds_cache_add(r->cache, it->ids.data, it->ids.len)
                    : txt_ids_append(&set->ids, it->ids.data, it->ids.len));
    r->n_ids += it->ids.len;
    RT_TRY(keep_pair(set, pair));
done:
    return err;
}

// ---- Files ------------------------------------------------------------------------------------

static enum rt_err add_batch(struct reader *r)
{
    enum rt_err err = RT_OK;

    thread_for(r->n_items, 4, tokenize_range, r);
    for (uint32_t i = 0; i < r->n_items; i++) {
        if (r->items[i].log.len)
            log_replay(&r->items[i].log);
        RT_TRY(r->items[i].err);
        RT_TRY(add_item(r, &r->items[i]));
    }
    if (os_seconds() - r->said > SAY_EVERY_S) {
        r->said = os_seconds();
        log_info("%s: %u rows tokenised so far", r->file->path, r->set->n_read);
    }
done:
    r->n_items = 0;
    str_clear(&r->texts);
    return err;
}

// Up to `limit` rows of a file; less what was read is left in *limit.
static enum rt_err read_rows(struct reader *r, struct ds_records *records, uint64_t *limit)
{
    enum rt_err err = RT_OK, bad = RT_OK;
    struct ds_record rec = {0};
    struct str log = {0};

    for (bool more = true; more;) {
        log_capture(&log); // said when the rows before it are through
        bad = *limit ? ds_records_next(records, &rec) : RT_OK;
        log_capture(NULL);
        more = *limit && bad == RT_OK && rec.text;
        if (more) {
            struct item *it = &r->items[r->n_items++];
            it->begin = r->texts.len;
            it->len = rec.len;
            it->line = rec.line;
            it->err = RT_OK;
            RT_TRY(str_append(&r->texts, rec.text, rec.len));
            --*limit;
        }
        if (!more || r->n_items == BATCH_ROWS || r->texts.len >= BATCH_BYTES)
            RT_TRY(add_batch(r));
    }
    log_replay(&log);
    RT_TRY(bad);
done:
    str_free(&log);
    return err;
}

static enum rt_err read_file(struct reader *r, const struct ds_file *file, uint64_t *limit)
{
    enum rt_err err = RT_OK;
    struct fmt_stream *stream = NULL;
    struct ds_records *records = NULL;
    struct ds_kind kind;

    RT_TRY(ds_kind_of(file->path, &kind));
    RT_TRY(fmt_stream_open(file->path, kind.packing, &stream));
    RT_TRY(ds_records_open(&stream, kind.format, file->path, &records));
    r->file = file;
    r->records = records;
    RT_TRY(read_rows(r, records, limit));
done:
    ds_records_close(&records);
    fmt_stream_close(&stream);
    return err;
}

static enum rt_err check_rows(const struct ds_set *set, const struct ds_files *files)
{
    const char *more = files->n > 1 ? " and the files behind it" : "";
    if (set->n_read == 0)
        return rt_fail(RT_E_FORMAT, "%s%s: expected preference rows, found none", files->v[0].path,
                       more);
    if (set->n == 0)
        return rt_fail(RT_E_FORMAT,
                       "%s%s: none of %u rows is left: every prompt has max_length = %u tokens or "
                       "more",
                       files->v[0].path, more, set->n_read, set->max_length);
    return RT_OK;
}

// All rows into `set`, their ids into the cache if there is one. `limits` is changed.
static enum rt_err read_all(const struct ds_read_args *args, const struct ds_files *files,
                            uint64_t *limits, struct ds_cache_out *cache, struct ds_set *set)
{
    enum rt_err err = RT_OK;
    struct reader r = {.args = args, .set = set, .cache = cache, .said = os_seconds()};

    *set = (struct ds_set){.max_length = args->max_length, .truncation = args->truncation};
    r.items = calloc(BATCH_ROWS, sizeof(*r.items));
    RT_REQUIRE(r.items, RT_E_NOMEM);
    for (uint32_t i = 0; i < files->n; i++)
        RT_TRY(read_file(&r, &files->v[i], &limits[files->v[i].part]));
    RT_TRY(check_rows(set, files));
done:
    for (uint32_t i = 0; r.items && i < BATCH_ROWS; i++) {
        txt_ids_free(&r.items[i].ids);
        str_free(&r.items[i].log);
    }
    free(r.items);
    str_free(&r.texts);
    return err;
}

// ---- With a cache -----------------------------------------------------------------------------

// Make the file; *out is mapped from it. *written false: that is not possible, which was logged as
// a warning, and nothing is left.
static enum rt_err make_cached(const struct ds_read_args *args, const struct ds_files *files,
                               const uint64_t *limits, const struct ds_key *key, const char *path,
                               struct ds_set *out, bool *written)
{
    enum rt_err err = RT_OK;
    struct ds_cache_out cache = {0};
    struct ds_set set = {0};
    uint64_t left[DS_PARTS];

    memcpy(left, limits, args->n_parts * sizeof(*left));
    *written = false;
    log_capture(&cache.why);
    err = dir_make(args->cache_dir);
    log_capture(NULL);
    RT_TRY(err);
    RT_TRY(ds_cache_begin(path, &cache));
    RT_TRY(read_all(args, files, left, &cache, &set));
    RT_TRY(ds_cache_commit(&cache, key, &set));
    RT_TRY(ds_cache_open(path, key, out, written));
done:
    if (err != RT_OK && cache.why.len) {
        log_warn("the tokens stay in memory: %s", cache.why.data + 1);
        err = RT_OK;
    }
    ds_set_free(&set);
    ds_cache_close(&cache);
    return err;
}

static enum rt_err read_cached(const struct ds_read_args *args, const struct ds_files *files,
                               const uint64_t *limits, struct ds_set *out, bool *done_with)
{
    enum rt_err err = RT_OK;
    struct ds_key key;
    char *path = NULL;

    RT_TRY(ds_key_make(args, files, limits, &key));
    RT_TRY(ds_cache_path(args->cache_dir, &key, &path));
    RT_TRY(ds_cache_open(path, &key, out, done_with));
    if (*done_with && out->n_cut && args->strict) { // read the rows for the message
        ds_set_free(out);
        *done_with = false;
    }
    if (*done_with) {
        log_info("%s: tokens of an earlier run", path);
        file_touch(path);
    } else {
        RT_TRY(make_cached(args, files, limits, &key, path, out, done_with));
        if (*done_with)
            ds_cache_trim(args->cache_dir, path, args->cache_bytes);
    }
    out->max_length = args->max_length;
    out->truncation = args->truncation;
done:
    free(path);
    return err;
}

enum rt_err ds_read(const struct ds_read_args *args, struct ds_set *out)
{
    enum rt_err err = RT_OK;
    struct ds_set set = {0};
    struct ds_files files = {0};
    uint64_t limits[DS_PARTS];
    bool ready = false;

    *out = set;
    RT_REQUIRE(args->n_parts >= 1 && args->n_parts <= DS_PARTS, RT_E_ARG);
    RT_TRY(ds_files_find(args->parts, args->n_parts, &files));
    RT_REQUIRE(files.n >= 1, RT_E_ARG);
    RT_TRY(ds_limits(args->parts, args->n_parts, &files, limits));
    if (args->cache_dir)
        RT_TRY(read_cached(args, &files, limits, &set, &ready));
    if (!ready)
        RT_TRY(read_all(args, &files, limits, NULL, &set));
    *out = set;
    set = (struct ds_set){0};
done:
    ds_set_free(&set);
    ds_files_free(&files);
    return err;
}

void ds_set_free(struct ds_set *set)
{
    if (!set->map.data) {
        txt_ids_free(&set->ids);
        free(set->pairs);
        free(set->dropped);
    }
    file_map_close(&set->map);
    *set = (struct ds_set){0};
}

struct ds_sequence ds_sequence_of(const struct ds_set *set, uint32_t pair, bool chosen)
{
    const struct ds_pair *p = &set->pairs[pair];
    const uint32_t *ids = set->ids.data + p->first, full = chosen ? p->chosen : p->rejected;
    struct ds_sequence s = {ids, ids + p->prompt + (chosen ? 0 : p->chosen), p->prompt, full};
    const uint32_t over = set->max_length && s.n_prompt + full > set->max_length
                              ? s.n_prompt + full - set->max_length
                              : 0;

    if (set->truncation == DS_KEEP_START) {
        s.n_completion -= u32_min(over, full);
    } else {
        const uint32_t from_prompt = u32_min(over, s.n_prompt);
        s.prompt += from_prompt;
        s.n_prompt -= from_prompt;
        s.completion += over - from_prompt;
        s.n_completion -= over - from_prompt;
    }
    return s;
}
