#include "src/format/gguf_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/half.h"

enum { ALIGN = 32, CHUNK = 1 << 15 }; // elements encoded at once, a multiple of every block

struct entry {
    char *name;
    const struct fmt_quant *quant;
    uint32_t kind, rank;
    uint64_t shape[FMT_GGUF_MAX_RANK], count;
    size_t bytes;
};

struct fmt_gguf_writer {
    char *path;
    struct str kvs; // as they lie in the file
    char **keys;
    uint32_t n_keys;
    enum fmt_gguf_type item; // of the array that was begun last,
    uint64_t left;           // and how many elements it lacks
    struct entry *entries;
    uint32_t n, cap;
    struct file_out file;
    bool begun, done;
    uint32_t at;  // the tensor that the next data belong to,
    uint64_t put; // and how many elements it has
};

enum rt_err fmt_gguf_writer_create(const char *path, struct fmt_gguf_writer **out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_writer *w = calloc(1, sizeof(*w));

    *out = NULL;
    RT_REQUIRE(w, RT_E_NOMEM);
    RT_TRY(str_dup(path, &w->path));
    *out = w;
    w = NULL;
done:
    fmt_gguf_writer_destroy(&w);
    return err;
}

void fmt_gguf_writer_destroy(struct fmt_gguf_writer **writer)
{
    struct fmt_gguf_writer *w = *writer;

    if (!w)
        return;
    file_out_close(&w->file);
    for (uint32_t i = 0; i < w->n_keys; i++)
        free(w->keys[i]);
    for (uint32_t i = 0; i < w->n; i++)
        free(w->entries[i].name);
    free(w->keys);
    free(w->entries);
    str_free(&w->kvs);
    free(w->path);
    free(w);
    *writer = NULL;
}

// ---- metadata ----

static enum rt_err put_int(struct str *s, uint64_t v, unsigned bytes)
{
    char le[8];
    for (unsigned i = 0; i < bytes; i++)
        le[i] = (char) (v >> (8 * i));
    return str_append(s, le, bytes);
}

static enum rt_err put_string(struct str *s, const char *text, size_t len)
{
    enum rt_err err = RT_OK;
    RT_TRY(put_int(s, len, 8));
    RT_TRY(str_append(s, text, len));
done:
    return err;
}

static enum rt_err check_whole(const struct fmt_gguf_writer *w)
{
    if (w->left)
        return rt_fail(RT_E_ARG, "%s: key %s: %llu elements are missing", w->path,
                       w->keys[w->n_keys - 1], (unsigned long long) w->left);
    return RT_OK;
}

// Key and type of a new entry.
static enum rt_err put_key(struct fmt_gguf_writer *w, const char *key, enum fmt_gguf_type type)
{
    enum rt_err err = RT_OK;
    const size_t len = strlen(key);
    char **keys;

    RT_REQUIRE(!w->begun, RT_E_ARG);
    RT_TRY(check_whole(w));
    if (len == 0 || len > FMT_GGUF_MAX_NAME || w->n_keys == FMT_GGUF_MAX_ITEMS)
        RT_TRY(rt_fail(RT_E_ARG, "%s: a key of %zu bytes, expected 1 .. %u", w->path, len,
                       FMT_GGUF_MAX_NAME));
    for (uint32_t i = 0; i < w->n_keys; i++)
        if (strcmp(w->keys[i], key) == 0)
            RT_TRY(rt_fail(RT_E_ARG, "%s: key %s is put twice", w->path, key));
    keys = realloc(w->keys, (w->n_keys + (size_t) 1) * sizeof(*keys));
    RT_REQUIRE(keys, RT_E_NOMEM);
    w->keys = keys;
    RT_TRY(str_dup(key, &keys[w->n_keys]));
    w->n_keys++;
    RT_TRY(put_string(&w->kvs, key, len));
    RT_TRY(put_int(&w->kvs, type, 4));
done:
    return err;
}

enum rt_err fmt_gguf_put_u32(struct fmt_gguf_writer *w, const char *key, uint32_t v)
{
    enum rt_err err = RT_OK;
    RT_TRY(put_key(w, key, FMT_GGUF_U32));
    RT_TRY(put_int(&w->kvs, v, 4));
done:
    return err;
}

enum rt_err fmt_gguf_put_f32(struct fmt_gguf_writer *w, const char *key, float v)
{
    enum rt_err err = RT_OK;
    RT_TRY(put_key(w, key, FMT_GGUF_F32));
    RT_TRY(put_int(&w->kvs, f32_bits(v), 4));
done:
    return err;
}

enum rt_err fmt_gguf_put_bool(struct fmt_gguf_writer *w, const char *key, bool v)
{
    enum rt_err err = RT_OK;
    RT_TRY(put_key(w, key, FMT_GGUF_BOOL));
    RT_TRY(put_int(&w->kvs, v, 1));
done:
    return err;
}

enum rt_err fmt_gguf_put_text(struct fmt_gguf_writer *w, const char *key, const char *text,
                              size_t len)
{
    enum rt_err err = RT_OK;
    RT_TRY(put_key(w, key, FMT_GGUF_STR));
    RT_TRY(put_string(&w->kvs, text, len));
done:
    return err;
}

enum rt_err fmt_gguf_put_array(struct fmt_gguf_writer *w, const char *key, enum fmt_gguf_type type,
                               uint64_t count)
{
    enum rt_err err = RT_OK;

    RT_REQUIRE(type == FMT_GGUF_STR || type == FMT_GGUF_I32 || type == FMT_GGUF_F32, RT_E_ARG);
    RT_TRY(put_key(w, key, FMT_GGUF_ARRAY));
    RT_TRY(put_int(&w->kvs, type, 4));
    RT_TRY(put_int(&w->kvs, count, 8));
    w->item = type;
    w->left = count;
done:
    return err;
}

static enum rt_err take_item(struct fmt_gguf_writer *w, enum fmt_gguf_type type)
{
    if (w->left == 0 || w->item != type)
        return rt_fail(RT_E_ARG, "%s: an element of type %d where none is expected", w->path,
                       (int) type);
    w->left--;
    return RT_OK;
}

enum rt_err fmt_gguf_item_text(struct fmt_gguf_writer *w, const char *text, size_t len)
{
    enum rt_err err = RT_OK;
    RT_TRY(take_item(w, FMT_GGUF_STR));
    RT_TRY(put_string(&w->kvs, text, len));
done:
    return err;
}

enum rt_err fmt_gguf_item_i32(struct fmt_gguf_writer *w, int32_t v)
{
    enum rt_err err = RT_OK;
    RT_TRY(take_item(w, FMT_GGUF_I32));
    RT_TRY(put_int(&w->kvs, (uint32_t) v, 4));
done:
    return err;
}

enum rt_err fmt_gguf_item_f32(struct fmt_gguf_writer *w, float v)
{
    enum rt_err err = RT_OK;
    RT_TRY(take_item(w, FMT_GGUF_F32));
    RT_TRY(put_int(&w->kvs, f32_bits(v), 4));
done:
    return err;
}

// ---- tensors ----

static enum rt_err describe(const char *path, const char *name, const uint64_t *shape,
                            struct entry *e)
{
    size_t count = 1, bytes = 0;
    bool good = shape[e->rank - 1] % e->quant->elements == 0;

    for (uint32_t i = 0; i < e->rank; i++) {
        e->shape[i] = shape[i];
        good = good && shape[i] > 0 && size_mul(count, shape[i], &count);
    }
    good = good && size_mul(count / e->quant->elements, e->quant->bytes, &bytes) &&
           bytes <= SIZE_MAX / 4;
    e->count = count;
    e->bytes = bytes;
    return good ? RT_OK
                : rt_fail(RT_E_SHAPE, "%s: tensor %s: no shape for %s: rows of %llu, blocks of %u",
                          path, name, e->quant->name, (unsigned long long) shape[e->rank - 1],
                          e->quant->elements);
}

enum rt_err fmt_gguf_writer_add(struct fmt_gguf_writer *w, const char *name, uint32_t kind,
                                uint32_t rank, const uint64_t *shape)
{
    enum rt_err err = RT_OK;
    struct entry e = {.quant = fmt_quant_find(kind), .kind = kind, .rank = rank};
    const size_t len = strlen(name);

    RT_REQUIRE(!w->begun && rank >= 1 && rank <= FMT_GGUF_MAX_RANK, RT_E_ARG);
    RT_REQUIRE(e.quant && e.quant->encode && w->n < FMT_GGUF_MAX_ITEMS, RT_E_ARG);
    RT_REQUIRE(len > 0 && len <= FMT_GGUF_MAX_NAME, RT_E_ARG);
    RT_TRY(describe(w->path, name, shape, &e));
    if (w->n == w->cap) {
        const uint32_t cap = u32_max(64, 2 * w->cap);
        struct entry *entries = realloc(w->entries, cap * sizeof(*entries));
        RT_REQUIRE(entries, RT_E_NOMEM);
        w->entries = entries;
        w->cap = cap;
    }
    RT_TRY(str_dup(name, &e.name));
    w->entries[w->n++] = e;
done:
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static enum rt_err check_names(const struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    char **names = malloc((w->n + (size_t) 1) * sizeof(*names));

    RT_REQUIRE(names, RT_E_NOMEM);
    for (uint32_t i = 0; i < w->n; i++)
        names[i] = w->entries[i].name;
    qsort(names, w->n, sizeof(*names), by_name);
    for (uint32_t i = 1; i < w->n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            RT_TRY(rt_fail(RT_E_ARG, "%s: tensor %s is declared twice", w->path, names[i]));
done:
    free(names);
    return err;
}

// Everything up to the data, padded.
static enum rt_err make_header(const struct fmt_gguf_writer *w, struct str *s)
{
    enum rt_err err = RT_OK;
    uint64_t offset = 0;

    RT_TRY(str_puts(s, "GGUF"));
    RT_TRY(put_int(s, 3, 4));
    RT_TRY(put_int(s, w->n, 8));
    RT_TRY(put_int(s, w->n_keys, 8));
    RT_TRY(str_append(s, w->kvs.len ? w->kvs.data : "", w->kvs.len));
    for (uint32_t i = 0; i < w->n; i++) {
        const struct entry *e = &w->entries[i];
        RT_TRY(put_string(s, e->name, strlen(e->name)));
        RT_TRY(put_int(s, e->rank, 4));
        for (uint32_t d = e->rank; d-- > 0;) // the fastest first
            RT_TRY(put_int(s, e->shape[d], 8));
        RT_TRY(put_int(s, e->kind, 4));
        RT_TRY(put_int(s, offset, 8));
        offset += round_up(e->bytes, ALIGN);
    }
    while (s->len % ALIGN)
        RT_TRY(str_putc(s, 0));
done:
    return err;
}

enum rt_err fmt_gguf_writer_begin(struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    struct str header = {0};

    RT_REQUIRE(!w->begun, RT_E_ARG);
    RT_TRY(check_whole(w));
    RT_TRY(check_names(w));
    RT_TRY(make_header(w, &header));
    RT_TRY(file_out_open(w->path, &w->file));
    RT_TRY(file_out_write(&w->file, header.data, header.len));
    w->begun = true;
done:
    str_free(&header);
    return err;
}

static enum rt_err check_finite(const struct fmt_gguf_writer *w, const struct entry *e,
                                const float *x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) < e->quant->limit))
            return rt_fail(RT_E_NUMERIC, "%s: tensor %s: %g is not finite, or not as %s", w->path,
                           e->name, (double) x[i], e->quant->name);
    return RT_OK;
}

// The padding behind a whole tensor.
static enum rt_err end_tensor(struct fmt_gguf_writer *w)
{
    static const char ZEROS[ALIGN] = {0};
    const size_t bytes = w->entries[w->at].bytes;

    w->at++;
    w->put = 0;
    return file_out_write(&w->file, ZEROS, (size_t) (round_up(bytes, ALIGN) - bytes));
}

enum rt_err fmt_gguf_writer_put_f32(struct fmt_gguf_writer *w, const float *x, uint64_t count)
{
    enum rt_err err = RT_OK;
    const struct entry *e;
    unsigned char *buf = NULL;

    RT_REQUIRE(w->begun && !w->done, RT_E_ARG);
    if (w->at == w->n)
        RT_TRY(rt_fail(RT_E_SHAPE, "%s: data put behind the last tensor", w->path));
    e = &w->entries[w->at];
    if (count > e->count - w->put || count % e->quant->elements)
        RT_TRY(rt_fail(RT_E_SHAPE, "%s: tensor %s: %llu more elements, %llu of %llu are put",
                       w->path, e->name, (unsigned long long) count, (unsigned long long) w->put,
                       (unsigned long long) e->count));
    buf = malloc(CHUNK * sizeof(float)); // no kind is wider
    RT_REQUIRE(buf, RT_E_NOMEM);
    for (uint64_t i = 0, n; i < count; i += n) {
        n = u64_min(CHUNK, count - i);
        const uint64_t blocks = n / e->quant->elements;
        RT_TRY(check_finite(w, e, x + i, n));
        e->quant->encode(x + i, blocks, buf);
        RT_TRY(file_out_write(&w->file, buf, blocks * e->quant->bytes));
        w->put += n;
    }
    if (w->put == e->count)
        RT_TRY(end_tensor(w));
done:
    free(buf);
    return err;
}

enum rt_err fmt_gguf_writer_commit(struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;

    RT_REQUIRE(w->begun && !w->done, RT_E_ARG);
    if (w->at < w->n)
        RT_TRY(rt_fail(RT_E_SHAPE, "%s: tensor %s: %llu elements were put, expected %llu", w->path,
                       w->entries[w->at].name, (unsigned long long) w->put,
                       (unsigned long long) w->entries[w->at].count));
    RT_TRY(file_out_commit(&w->file));
    w->done = true;
done:
    return err;
}

void fmt_gguf_writer_count(const struct fmt_gguf_writer *w, uint32_t *tensors, uint64_t *elements)
{
    *tensors = w->n;
    *elements = 0;
    for (uint32_t i = 0; i < w->n; i++)
        *elements += w->entries[i].count;
}
