#include "src/format/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/format/quant.h"

// Bytes of a value of each type; 0: they vary.
static const unsigned char SIZES[FMT_GGUF_TYPE_COUNT] = {
    [FMT_GGUF_U8] = 1,  [FMT_GGUF_I8] = 1,  [FMT_GGUF_U16] = 2, [FMT_GGUF_I16] = 2,
    [FMT_GGUF_U32] = 4, [FMT_GGUF_I32] = 4, [FMT_GGUF_F32] = 4, [FMT_GGUF_BOOL] = 1,
    [FMT_GGUF_U64] = 8, [FMT_GGUF_I64] = 8, [FMT_GGUF_F64] = 8,
};
enum { MIN_KV = 8 + 1 + 4 + 1, MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8, MIN_ARRAY = 4 + 8 };

static uint64_t load(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t) p[i] << (8 * i);
    return v;
}

// ---- a cursor over the bytes ----

struct cursor {
    const unsigned char *at;
    size_t left;
    const char *where; // file
    const char *what;  // key or tensor that is being read
};

static enum rt_err fail(const struct cursor *c, const char *reason, uint64_t value)
{
    return rt_fail(RT_E_FORMAT, "%s: %s: %s (%llu; %zu bytes are left)", c->where, c->what, reason,
                   (unsigned long long) value, c->left);
}

static enum rt_err take(struct cursor *c, uint64_t n, const unsigned char **out)
{
    *out = c->at;
    if (n > c->left)
        return fail(c, "truncated, or a length that exceeds the file", n);
    c->at += n;
    c->left -= (size_t) n;
    return RT_OK;
}

// An unsigned number of `n` bytes.
static enum rt_err number(struct cursor *c, size_t n, uint64_t *out)
{
    const unsigned char *p;
    const enum rt_err err = take(c, n, &p);
    *out = err == RT_OK ? load(p, n) : 0;
    return err;
}

static enum rt_err string(struct cursor *c, struct fmt_gguf_str *out)
{
    enum rt_err err = RT_OK;
    const unsigned char *p = NULL;
    uint64_t n;

    RT_TRY(number(c, 8, &n));
    RT_TRY(take(c, n, &p));
    *out = (struct fmt_gguf_str){(const char *) p, (size_t) n};
done:
    return err;
}

// A key or tensor name, into a new string.
static enum rt_err name(struct cursor *c, char **out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str s = {0};

    RT_TRY(string(c, &s));
    if (s.len == 0 || s.len > FMT_GGUF_MAX_NAME || memchr(s.data, 0, s.len))
        RT_TRY(fail(c, "a name is empty, longer than 65535 bytes or holds U+0000", s.len));
    RT_TRY(str_dup_n(s.data, s.len, out));
done:
    return err;
}

static enum rt_err type_number(struct cursor *c, enum fmt_gguf_type *out)
{
    uint64_t type;
    const enum rt_err err = number(c, 4, &type);
    *out = FMT_GGUF_U8;
    if (err == RT_OK && type >= FMT_GGUF_TYPE_COUNT)
        return fail(c, "unknown value type", type);
    *out = (enum fmt_gguf_type) type;
    return err;
}

// ---- metadata ----

static enum rt_err skip_array(struct cursor *c, unsigned depth, enum fmt_gguf_type *type,
                              uint64_t *count);

// Step over `count` values of a type.
static enum rt_err skip(struct cursor *c, enum fmt_gguf_type type, uint64_t count, unsigned depth)
{
    enum rt_err err = RT_OK;
    const unsigned char *p;
    struct fmt_gguf_str s;
    enum fmt_gguf_type inner;
    uint64_t n;

    if (SIZES[type]) {
        if (count > c->left / SIZES[type])
            RT_TRY(fail(c, "a count that exceeds the file", count));
        RT_TRY(take(c, count * SIZES[type], &p));
        for (uint64_t i = 0; type == FMT_GGUF_BOOL && i < count; i++)
            if (p[i] > 1)
                RT_TRY(fail(c, "a boolean that is neither 0 nor 1", p[i]));
        goto done;
    }
    if (count > c->left / (type == FMT_GGUF_STR ? 8 : MIN_ARRAY))
        RT_TRY(fail(c, "a count that exceeds the file", count));
    for (uint64_t i = 0; i < count; i++)
        RT_TRY(type == FMT_GGUF_STR ? string(c, &s) : skip_array(c, depth + 1, &inner, &n));
done:
    return err;
}

// An array from its element type on.
static enum rt_err skip_array(struct cursor *c, unsigned depth, enum fmt_gguf_type *type,
                              uint64_t *count)
{
    enum rt_err err = RT_OK;
    *type = FMT_GGUF_U8;
    *count = 0;
    if (depth > FMT_GGUF_MAX_NESTING)
        RT_TRY(fail(c, "arrays nested deeper than 4", depth));
    RT_TRY(type_number(c, type));
    RT_TRY(number(c, 8, count));
    RT_TRY(skip(c, *type, *count, depth));
done:
    return err;
}

static enum rt_err read_kv(struct cursor *c, struct fmt_gguf_kv *kv)
{
    enum rt_err err = RT_OK;
    struct cursor copy;
    enum fmt_gguf_type type = FMT_GGUF_U8;

    c->what = "metadata";
    RT_TRY(name(c, &kv->key));
    c->what = kv->key;
    RT_TRY(type_number(c, &kv->type));
    kv->count = 1;
    kv->is_array = kv->type == FMT_GGUF_ARRAY;
    copy = *c;
    RT_TRY(kv->is_array ? skip_array(c, 1, &type, &kv->count) : skip(c, kv->type, 1, 0));
    if (kv->is_array) {
        kv->type = type;
        RT_TRY(take(&copy, MIN_ARRAY, &kv->data)); // the elements lie behind it
    }
    kv->data = copy.at;
    kv->bytes = copy.left - c->left;
done:
    return err;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct fmt_gguf_kv *) a)->key, ((const struct fmt_gguf_kv *) b)->key);
}

static enum rt_err read_kvs(struct fmt_gguf *g, struct cursor *c, uint64_t n)
{
    enum rt_err err = RT_OK;

    if (n > FMT_GGUF_MAX_ITEMS || n > c->left / MIN_KV)
        RT_TRY(fail(c, "a number of keys that exceeds the file or 1048576", n));
    g->kvs = calloc(n ? (size_t) n : 1, sizeof(*g->kvs));
    RT_REQUIRE(g->kvs, RT_E_NOMEM);
    for (; g->n_kvs < n; g->n_kvs++) {
        err = read_kv(c, &g->kvs[g->n_kvs]);
        if (err != RT_OK)
            free(g->kvs[g->n_kvs].key);
        RT_TRY(err);
    }
    qsort(g->kvs, g->n_kvs, sizeof(*g->kvs), by_key);
    for (uint32_t i = 1; i < g->n_kvs; i++)
        if (strcmp(g->kvs[i - 1].key, g->kvs[i].key) == 0)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s is given twice", g->path, g->kvs[i].key));
done:
    return err;
}

static enum rt_err apply_keys(struct fmt_gguf *g)
{
    enum rt_err err = RT_OK;
    uint32_t parts;

    RT_TRY(fmt_gguf_u32_or(g, "general.alignment", 32, &g->alignment));
    if (g->alignment == 0 || (g->alignment & (g->alignment - 1)) != 0)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: general.alignment: expected a power of two, found %u",
                       g->path, g->alignment));
    RT_TRY(fmt_gguf_u32_or(g, "split.count", 1, &parts));
    if (parts > 1)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: one of %u parts of a split model; join them with gguf-split --merge",
                       g->path, parts));
done:
    return err;
}

// ---- tensors ----

static enum rt_err read_shape(struct cursor *c, struct fmt_gguf_tensor *t)
{
    enum rt_err err = RT_OK;
    uint64_t rank;
    size_t count = 1;

    RT_TRY(number(c, 4, &rank));
    if (rank == 0 || rank > FMT_GGUF_MAX_RANK)
        RT_TRY(fail(c, "expected 1 to 4 dimensions", rank));
    t->rank = (uint32_t) rank;
    for (uint32_t i = t->rank; i-- > 0;) {
        RT_TRY(number(c, 8, &t->shape[i]));
        if (t->shape[i] == 0 || !size_mul(count, t->shape[i], &count))
            RT_TRY(fail(c, "a dimension is 0, or the product of all overflows", t->shape[i]));
    }
    t->count = count;
done:
    return err;
}

// Everything but data, which needs the end of the tensor list; *offset is relative to that.
static enum rt_err read_tensor(struct cursor *c, struct fmt_gguf_tensor *t, uint64_t *offset)
{
    enum rt_err err = RT_OK;
    const struct fmt_quant *q;
    uint64_t kind;
    size_t bytes = 0;

    c->what = "tensors";
    RT_TRY(name(c, &t->name));
    c->what = t->name;
    RT_TRY(read_shape(c, t));
    RT_TRY(number(c, 4, &kind));
    RT_TRY(number(c, 8, offset));
    t->kind = (uint32_t) kind;
    q = fmt_quant_find(t->kind);
    if (q && t->shape[t->rank - 1] % q->elements != 0)
        RT_TRY(fail(c, "a row is no whole number of blocks", t->shape[t->rank - 1]));
    if (q && !size_mul((size_t) (t->count / q->elements), q->bytes, &bytes))
        RT_TRY(fail(c, "its size overflows", t->count));
    t->bytes = bytes;
done:
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct fmt_gguf_tensor *const *) a)->name,
                  (*(const struct fmt_gguf_tensor *const *) b)->name);
}

static int by_place(const void *a, const void *b)
{
    const struct fmt_gguf_tensor *x = *(const struct fmt_gguf_tensor *const *) a;
    const struct fmt_gguf_tensor *y = *(const struct fmt_gguf_tensor *const *) b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

// by_name serves for both orders; it ends sorted by name.
static enum rt_err check_tensors(struct fmt_gguf *g)
{
    enum rt_err err = RT_OK;
    const struct fmt_gguf_tensor **t = calloc(g->n_tensors + (size_t) 1, sizeof(*t));

    g->by_name = t;
    RT_REQUIRE(t, RT_E_NOMEM);
    for (uint32_t i = 0; i < g->n_tensors; i++)
        t[i] = &g->tensors[i];
    qsort(t, g->n_tensors, sizeof(*t), by_place);
    for (uint32_t i = 1; i < g->n_tensors; i++)
        if (t[i - 1]->bytes > (size_t) (t[i]->data - t[i - 1]->data))
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: tensor %s overlaps %s", g->path, t[i]->name,
                           t[i - 1]->name));
    qsort(t, g->n_tensors, sizeof(*t), by_name);
    for (uint32_t i = 1; i < g->n_tensors; i++)
        if (strcmp(t[i - 1]->name, t[i]->name) == 0)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: tensor %s is given twice", g->path, t[i]->name));
done:
    return err;
}

// Place the tensors behind the list, where the cursor stands.
static enum rt_err place_tensors(struct fmt_gguf *g, struct cursor *c, const uint64_t *offsets)
{
    enum rt_err err = RT_OK;
    const unsigned char *p;
    const uint64_t at = (uint64_t) (c->at - g->map.data);

    c->what = "tensor data";
    if (g->n_tensors)
        RT_TRY(take(c, round_up(at, g->alignment) - at, &p));
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        struct fmt_gguf_tensor *t = &g->tensors[i];
        c->what = t->name;
        if (offsets[i] % g->alignment != 0)
            RT_TRY(fail(c, "its offset is not aligned", offsets[i]));
        if (offsets[i] > c->left || t->bytes > c->left - offsets[i])
            RT_TRY(fail(c, "its data are outside the file, from offset", offsets[i]));
        t->data = c->at + offsets[i];
    }
    RT_TRY(check_tensors(g));
done:
    return err;
}

static enum rt_err read_tensors(struct fmt_gguf *g, struct cursor *c, uint64_t n)
{
    enum rt_err err = RT_OK;
    uint64_t *offsets = NULL;

    c->what = "tensors";
    if (n > FMT_GGUF_MAX_ITEMS || n > c->left / MIN_TENSOR)
        RT_TRY(fail(c, "a number of tensors that exceeds the file or 1048576", n));
    g->tensors = calloc(n ? (size_t) n : 1, sizeof(*g->tensors));
    offsets = calloc(n ? (size_t) n : 1, sizeof(*offsets));
    RT_REQUIRE(g->tensors && offsets, RT_E_NOMEM);
    for (; g->n_tensors < n; g->n_tensors++) {
        struct fmt_gguf_tensor *t = &g->tensors[g->n_tensors];
        err = read_tensor(c, t, &offsets[g->n_tensors]);
        if (err != RT_OK)
            free(t->name);
        RT_TRY(err);
    }
    RT_TRY(place_tensors(g, c, offsets));
done:
    free(offsets);
    return err;
}

// ---- open and close ----

static enum rt_err read_all(struct fmt_gguf *g)
{
    enum rt_err err = RT_OK;
    struct cursor c = {g->map.data, g->map.size, g->path, "header"};
    const unsigned char *magic;
    uint64_t version, tensors, kvs;

    RT_TRY(take(&c, 4, &magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: no GGUF file: it does not begin with GGUF", g->path));
    RT_TRY(number(&c, 4, &version));
    if (version == 1 || (version & 0xffffu) == 0)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: GGUF %s: expected version 2 or 3, little endian",
                       g->path, version == 1 ? "version 1" : "of big endian"));
    if (version > 3)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: GGUF version %llu: expected 2 or 3", g->path,
                       (unsigned long long) version));
    g->version = (uint32_t) version;
    RT_TRY(number(&c, 8, &tensors));
    RT_TRY(number(&c, 8, &kvs));
    RT_TRY(read_kvs(g, &c, kvs));
    RT_TRY(apply_keys(g));
    RT_TRY(read_tensors(g, &c, tensors));
done:
    return err;
}

enum rt_err fmt_gguf_open(const char *path, struct fmt_gguf *out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf g = {0};

    *out = (struct fmt_gguf){0};
    RT_TRY(str_dup(path, &g.path));
    RT_TRY(file_map_open(path, &g.map));
    RT_TRY(read_all(&g));
    *out = g;
    g = (struct fmt_gguf){0};
done:
    fmt_gguf_close(&g);
    return err;
}

enum rt_err fmt_gguf_open_memory(const void *bytes, size_t size, const char *where,
                                 struct fmt_gguf *out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf g = {.map = {bytes, size}, .borrowed = true};

    *out = (struct fmt_gguf){0};
    RT_TRY(str_dup(where, &g.path));
    RT_TRY(read_all(&g));
    *out = g;
    g = (struct fmt_gguf){0};
done:
    fmt_gguf_close(&g);
    return err;
}

void fmt_gguf_close(struct fmt_gguf *g)
{
    for (uint32_t i = 0; i < g->n_kvs; i++)
        free(g->kvs[i].key);
    for (uint32_t i = 0; i < g->n_tensors; i++)
        free(g->tensors[i].name);
    free(g->kvs);
    free(g->tensors);
    free((void *) g->by_name);
    free(g->path);
    if (!g->borrowed)
        file_map_close(&g->map);
    *g = (struct fmt_gguf){0};
}

// ---- use of tensors ----

const struct fmt_gguf_tensor *fmt_gguf_tensor(const struct fmt_gguf *g, const char *want)
{
    struct fmt_gguf_tensor t = {0};
    const struct fmt_gguf_tensor *key = &t, **at;
    if (g->n_tensors == 0)
        return NULL;
    t.name = (char *) (uintptr_t) want; // only compared
    at = bsearch(&key, g->by_name, g->n_tensors, sizeof(*g->by_name), by_name);
    return at ? *at : NULL;
}

enum rt_err fmt_gguf_to_f32(const struct fmt_gguf_tensor *t, uint64_t first, uint64_t count,
                            float *out)
{
    const struct fmt_quant *q = fmt_quant_find(t->kind);
    float block[FMT_QUANT_MAX_ELEMENTS];

    if (!q || !q->decode)
        return rt_fail(RT_E_UNSUPPORTED, "tensor %s: kind %s (%u) cannot be read", t->name,
                       q ? q->name : "unknown", t->kind);
    if (first > t->count || count > t->count - first)
        return rt_fail(RT_E_SHAPE, "tensor %s: elements %llu + %llu exceed its %llu", t->name,
                       (unsigned long long) first, (unsigned long long) count,
                       (unsigned long long) t->count);
    while (count) {
        const unsigned char *p = t->data + first / q->elements * q->bytes;
        const uint64_t skipped = first % q->elements, blocks = count / q->elements;
        uint64_t n = u64_min(q->elements - skipped, count);
        if (skipped == 0 && blocks) {
            n = blocks * q->elements;
            q->decode(p, blocks, out);
        } else { // a block of which only a part is wanted
            q->decode(p, 1, block);
            memcpy(out, block + skipped, (size_t) n * sizeof(*out));
        }
        out += n;
        first += n;
        count -= n;
    }
    return RT_OK;
}

void fmt_gguf_done_with(const struct fmt_gguf *g, const struct fmt_gguf_tensor *t)
{
    if (!g->borrowed)
        file_map_done_with(&g->map, (size_t) (t->data - g->map.data), t->bytes);
}

bool fmt_gguf_is(const char *path)
{
    char magic[4] = {0};
    FILE *f = file_exists(path) ? fopen(path, "rb") : NULL;
    const bool is = f && fread(magic, 1, sizeof(magic), f) == sizeof(magic) &&
                    memcmp(magic, "GGUF", sizeof(magic)) == 0;
    if (f)
        fclose(f);
    return is;
}
