#include "src/format/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/half.h"
#include "src/format/json.h"

#define HF_SHARD_BYTES 5000000000u // "5GB" is decimal
enum { CHUNK = 16384 };            // elements converted at a time

struct entry {
    char *name;
    enum fmt_dtype dtype;
    uint32_t rank;
    uint64_t shape[FMT_MAX_RANK];
    size_t bytes;
    uint32_t shard; // from 0, non-decreasing; set by begin
};

struct shard {
    char *path;
    struct file_out file;
};

struct fmt_st_writer {
    char *dir, *stem;
    uint64_t max_shard_bytes;
    struct entry *entries;
    uint32_t n, cap;
    struct shard *shards;
    uint32_t n_shards; // 0 until begin
    uint32_t at;       // entry that the next data belong to
    size_t put;        // bytes of it that were written
    bool done;
};

enum rt_err fmt_st_writer_create(const struct fmt_st_writer_args *args, struct fmt_st_writer **out)
{
    enum rt_err err = RT_OK;
    struct fmt_st_writer *w = NULL;

    *out = NULL;
    RT_REQUIRE(args->dir, RT_E_ARG);
    w = calloc(1, sizeof(*w));
    RT_REQUIRE(w, RT_E_NOMEM);
    w->max_shard_bytes = args->max_shard_bytes ? args->max_shard_bytes : HF_SHARD_BYTES;
    RT_TRY(str_dup(args->dir, &w->dir));
    RT_TRY(str_dup(args->stem ? args->stem : "model", &w->stem));
    *out = w;
    w = NULL;
done:
    fmt_st_writer_destroy(&w);
    return err;
}

void fmt_st_writer_destroy(struct fmt_st_writer **pw)
{
    struct fmt_st_writer *w = *pw;
    if (!w)
        return;
    for (uint32_t i = 0; i < w->n; i++)
        free(w->entries[i].name);
    for (uint32_t i = 0; i < w->n_shards; i++) {
        file_out_close(&w->shards[i].file);
        free(w->shards[i].path);
    }
    free(w->entries);
    free(w->shards);
    free(w->dir);
    free(w->stem);
    free(w);
    *pw = NULL;
}

static enum rt_err entry_bytes(struct entry *e)
{
    size_t bytes = fmt_dtype_bits(e->dtype) / 8;
    for (uint32_t i = 0; i < e->rank; i++)
        if (!size_mul(bytes, e->shape[i], &bytes) || bytes >= (size_t) 1 << 53)
            return rt_fail(RT_E_SHAPE, "tensor %s: the size of its shape overflows", e->name);
    e->bytes = bytes;
    return RT_OK;
}

enum rt_err fmt_st_writer_add(struct fmt_st_writer *w, const char *name, enum fmt_dtype dtype,
                              uint32_t rank, const uint64_t *shape)
{
    enum rt_err err = RT_OK;
    struct entry e = {.dtype = dtype, .rank = rank};

    RT_REQUIRE(w->n_shards == 0, RT_E_ARG);
    RT_REQUIRE(name[0] && rank <= FMT_MAX_RANK && fmt_dtype_bits(dtype) >= 8, RT_E_ARG);
    if (w->n == w->cap) {
        const uint32_t cap = w->cap ? 2 * w->cap : 64;
        struct entry *p = realloc(w->entries, cap * sizeof(*p));
        RT_REQUIRE(p, RT_E_NOMEM);
        w->entries = p;
        w->cap = cap;
    }
    if (rank)
        memcpy(e.shape, shape, rank * sizeof(*shape));
    RT_TRY(str_dup(name, &e.name));
    RT_TRY(entry_bytes(&e));
    w->entries[w->n++] = e;
    e.name = NULL;
done:
    free(e.name);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static enum rt_err check_names(const struct fmt_st_writer *w)
{
    enum rt_err err = RT_OK;
    const char **names = malloc((w->n + (size_t) 1) * sizeof(*names));

    RT_REQUIRE(names, RT_E_NOMEM);
    for (uint32_t i = 0; i < w->n; i++)
        names[i] = w->entries[i].name;
    qsort(names, w->n, sizeof(*names), by_name);
    for (uint32_t i = 1; i < w->n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            RT_TRY(rt_fail(RT_E_ARG, "tensor %s is declared twice", names[i]));
done:
    free(names);
    return err;
}

// As huggingface_hub cuts: a shard takes tensors while they fit; one that is larger stands alone.
// Returns the number of shards, at least 1.
static uint32_t cut(struct fmt_st_writer *w)
{
    uint64_t bytes = 0;
    uint32_t shard = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        if (bytes &&
            w->entries[i].bytes > w->max_shard_bytes - u64_min(bytes, w->max_shard_bytes)) {
            shard++;
            bytes = 0;
        }
        w->entries[i].shard = shard;
        bytes += w->entries[i].bytes;
    }
    return shard + 1;
}

// Name of a shard without its folder.
static enum rt_err shard_name(const struct fmt_st_writer *w, uint32_t shard, struct str *out)
{
    if (w->n_shards == 1)
        return str_printf(out, "%s.safetensors", w->stem);
    return str_printf(out, "%s-%05u-of-%05u.safetensors", w->stem, shard + 1, w->n_shards);
}

static void describe(struct fmt_jw *jw, const struct entry *e, uint64_t begin)
{
    fmt_jw_key(jw, e->name);
    fmt_jw_object(jw);
    fmt_jw_put_str(jw, "dtype", fmt_dtype_name(e->dtype));
    fmt_jw_key(jw, "shape");
    fmt_jw_array(jw);
    for (uint32_t d = 0; d < e->rank; d++)
        fmt_jw_int(jw, (int64_t) e->shape[d]);
    fmt_jw_end(jw);
    fmt_jw_key(jw, "data_offsets");
    fmt_jw_array(jw);
    fmt_jw_int(jw, (int64_t) begin);
    fmt_jw_int(jw, (int64_t) (begin + e->bytes));
    fmt_jw_end(jw);
    fmt_jw_end(jw);
}

// Header of a shard, padded with spaces so that the data begin at a multiple of 8.
static enum rt_err write_header(struct fmt_st_writer *w, uint32_t shard)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    struct fmt_jw jw = {.out = &s};
    unsigned char length[8];
    uint64_t begin = 0;

    fmt_jw_object(&jw);
    fmt_jw_key(&jw, "__metadata__");
    fmt_jw_object(&jw);
    fmt_jw_put_str(&jw, "format", "pt");
    fmt_jw_end(&jw);
    for (uint32_t i = 0; i < w->n; i++) {
        if (w->entries[i].shard != shard)
            continue;
        describe(&jw, &w->entries[i], begin);
        begin += w->entries[i].bytes;
    }
    fmt_jw_end(&jw);
    RT_TRY(fmt_jw_done(&jw));
    while (s.len % 8)
        RT_TRY(str_putc(&s, ' '));
    for (unsigned i = 0; i < 8; i++)
        length[i] = (unsigned char) (s.len >> (8 * i));
    RT_TRY(file_out_write(&w->shards[shard].file, length, sizeof(length)));
    RT_TRY(file_out_write(&w->shards[shard].file, s.data, s.len));
done:
    str_free(&s);
    return err;
}

// Step over tensors that are complete, empty ones among them.
static void skip_complete(struct fmt_st_writer *w)
{
    while (w->at < w->n && w->put == w->entries[w->at].bytes) {
        w->at++;
        w->put = 0;
    }
}

enum rt_err fmt_st_writer_begin(struct fmt_st_writer *w)
{
    enum rt_err err = RT_OK;
    struct str name = {0};

    RT_REQUIRE(w->n_shards == 0, RT_E_ARG);
    RT_TRY(check_names(w));
    const uint32_t n = cut(w);
    w->shards = calloc(n, sizeof(*w->shards));
    RT_REQUIRE(w->shards, RT_E_NOMEM);
    w->n_shards = n;
    for (uint32_t i = 0; i < n; i++) {
        str_clear(&name);
        RT_TRY(shard_name(w, i, &name));
        RT_TRY(path_join(w->dir, name.data, &w->shards[i].path));
        RT_TRY(file_out_open(w->shards[i].path, &w->shards[i].file));
        RT_TRY(write_header(w, i));
    }
    skip_complete(w);
done:
    str_free(&name);
    return err;
}

// The entry that the next data belong to, which must have room for n (> 0) elements of `size`
// bytes, or of the entry's type if size is 0. *bytes = n * size.
static enum rt_err next_entry(const struct fmt_st_writer *w, uint64_t n, size_t size, size_t *bytes)
{
    const struct entry *e;
    *bytes = 0;
    if (w->n_shards == 0 || w->done)
        return rt_fail(RT_E_ARG, "%s: data put before begin or behind commit", w->dir);
    if (w->at == w->n)
        return rt_fail(RT_E_SHAPE, "%s: data put behind the last tensor", w->dir);
    e = &w->entries[w->at];
    if (!size_mul(n, size ? size : fmt_dtype_bits(e->dtype) / 8, bytes) ||
        *bytes > e->bytes - w->put)
        return rt_fail(RT_E_SHAPE, "tensor %s: %zu more bytes exceed it: %zu of %zu are put",
                       e->name, *bytes, w->put, e->bytes);
    return RT_OK;
}

enum rt_err fmt_st_writer_put_raw(struct fmt_st_writer *w, const void *bytes, size_t n)
{
    enum rt_err err = RT_OK;
    size_t same;

    if (n == 0)
        goto done;
    RT_TRY(next_entry(w, n, 1, &same));
    RT_TRY(file_out_write(&w->shards[w->entries[w->at].shard].file, bytes, n));
    w->put += n;
    skip_complete(w);
done:
    return err;
}

// out[i] = x[i] in the dtype; room for n elements of 8 bytes.
static void narrow(enum fmt_dtype dtype, const float *x, size_t n, void *out)
{
    uint16_t *half = out;
    double *wide = out;
    for (size_t i = 0; i < n; i++) {
        if (dtype == FMT_F16)
            half[i] = f16_from_f32(x[i]);
        else if (dtype == FMT_BF16)
            half[i] = bf16_from_f32(x[i]);
        else
            wide[i] = (double) x[i];
    }
}

enum rt_err fmt_st_writer_put_f32(struct fmt_st_writer *w, const float *x, uint64_t count)
{
    enum rt_err err = RT_OK;
    enum fmt_dtype dtype;
    void *buf = NULL;
    size_t bytes;

    if (count == 0)
        goto done;
    RT_TRY(next_entry(w, count, 0, &bytes));
    dtype = w->entries[w->at].dtype;
    if (dtype > FMT_F64)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "tensor %s: floats cannot be stored as %s",
                       w->entries[w->at].name, fmt_dtype_name(dtype)));
    if (dtype == FMT_F32) {
        RT_TRY(fmt_st_writer_put_raw(w, x, bytes));
        goto done;
    }
    buf = malloc(CHUNK * sizeof(double));
    RT_REQUIRE(buf, RT_E_NOMEM);
    for (uint64_t i = 0, n; i < count; i += n) {
        n = u64_min(CHUNK, count - i);
        narrow(dtype, x + i, n, buf);
        RT_TRY(fmt_st_writer_put_raw(w, buf, n * fmt_dtype_bits(dtype) / 8));
    }
done:
    free(buf);
    return err;
}

static enum rt_err write_index(const struct fmt_st_writer *w, const char *path)
{
    enum rt_err err = RT_OK;
    struct str s = {0}, name = {0};
    struct fmt_jw jw = {.out = &s, .indent = 2};
    uint64_t total = 0;

    for (uint32_t i = 0; i < w->n; i++)
        total += w->entries[i].bytes;
    fmt_jw_object(&jw);
    fmt_jw_key(&jw, "metadata");
    fmt_jw_object(&jw);
    fmt_jw_put_int(&jw, "total_size", (int64_t) total);
    fmt_jw_end(&jw);
    fmt_jw_key(&jw, "weight_map");
    fmt_jw_object(&jw);
    for (uint32_t i = 0; i < w->n; i++) {
        str_clear(&name);
        RT_TRY(shard_name(w, w->entries[i].shard, &name));
        fmt_jw_put_str(&jw, w->entries[i].name, name.data);
    }
    fmt_jw_end(&jw);
    fmt_jw_end(&jw);
    RT_TRY(fmt_jw_done(&jw));
    RT_TRY(str_putc(&s, '\n'));
    RT_TRY(file_write(path, s.data, s.len));
done:
    str_free(&s);
    str_free(&name);
    return err;
}

enum rt_err fmt_st_writer_commit(struct fmt_st_writer *w)
{
    enum rt_err err = RT_OK;
    struct str index = {0}, single = {0};

    RT_REQUIRE(w->n_shards && !w->done, RT_E_ARG);
    if (w->at < w->n)
        RT_TRY(rt_fail(RT_E_SHAPE, "tensor %s: %zu bytes were put, expected %zu",
                       w->entries[w->at].name, w->put, w->entries[w->at].bytes));
    RT_TRY(str_printf(&index, "%s/%s.safetensors.index.json", w->dir, w->stem));
    RT_TRY(str_printf(&single, "%s/%s.safetensors", w->dir, w->stem));
    for (uint32_t i = 0; i < w->n_shards; i++)
        RT_TRY(file_out_commit(&w->shards[i].file));
    w->done = true;
    if (w->n_shards > 1)
        RT_TRY(write_index(w, index.data));
    // A reader prefers the single file; an index beside a new single file would be stale.
    const char *stale = w->n_shards > 1 ? single.data : index.data;
    if (file_exists(stale) && remove(stale) != 0)
        RT_TRY(rt_fail(RT_E_IO, "%s: cannot remove the file of an earlier save", stale));
done:
    str_free(&index);
    str_free(&single);
    return err;
}
