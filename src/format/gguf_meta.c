// Typed access to the metadata of a GGUF file; gguf.c has checked that all values lie in the map.
#include <stdlib.h>
#include <string.h>

#include "src/format/gguf.h"

static const struct {
    const char *name;
    unsigned char bytes; // of an integer; 0 for the others
    bool is_signed;
} TYPES[FMT_GGUF_TYPE_COUNT] = {
    [FMT_GGUF_U8] = {"u8", 1, false},      [FMT_GGUF_I8] = {"i8", 1, true},
    [FMT_GGUF_U16] = {"u16", 2, false},    [FMT_GGUF_I16] = {"i16", 2, true},
    [FMT_GGUF_U32] = {"u32", 4, false},    [FMT_GGUF_I32] = {"i32", 4, true},
    [FMT_GGUF_F32] = {"f32", 0, false},    [FMT_GGUF_BOOL] = {"bool", 1, false},
    [FMT_GGUF_STR] = {"string", 0, false}, [FMT_GGUF_ARRAY] = {"array", 0, false},
    [FMT_GGUF_U64] = {"u64", 8, false},    [FMT_GGUF_I64] = {"i64", 8, true},
    [FMT_GGUF_F64] = {"f64", 0, false},
};

const struct fmt_gguf_kv *fmt_gguf_find(const struct fmt_gguf *g, const char *key)
{
    size_t low = 0, high = g->n_kvs;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const int order = strcmp(key, g->kvs[mid].key);
        if (order == 0)
            return &g->kvs[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

// The bits of integer i, sign-extended; false if there is none.
static bool bits_at(const struct fmt_gguf_kv *kv, uint64_t i, uint64_t *out)
{
    const unsigned n = TYPES[kv->type].bytes;
    *out = 0;
    if (n == 0 || i >= kv->count)
        return false;
    for (unsigned k = 0; k < n; k++)
        *out |= (uint64_t) kv->data[i * n + k] << (8 * k);
    if (TYPES[kv->type].is_signed && n < 8 && (*out >> (8 * n - 1) & 1) != 0)
        *out |= UINT64_MAX << (8 * n);
    return true;
}

bool fmt_gguf_int_at(const struct fmt_gguf_kv *kv, uint64_t i, int64_t *out)
{
    uint64_t bits;
    const bool is_int = bits_at(kv, i, &bits);
    *out = 0;
    if (!is_int || (!TYPES[kv->type].is_signed && bits > INT64_MAX))
        return false;
    memcpy(out, &bits, sizeof(*out));
    return true;
}

bool fmt_gguf_num_at(const struct fmt_gguf_kv *kv, uint64_t i, double *out)
{
    uint64_t bits;
    int64_t v;
    float f;

    *out = 0.0;
    if (i >= kv->count)
        return false;
    if (kv->type == FMT_GGUF_F32) {
        memcpy(&f, kv->data + i * sizeof(f), sizeof(f));
        *out = (double) f;
    } else if (kv->type == FMT_GGUF_F64) {
        memcpy(out, kv->data + i * sizeof(*out), sizeof(*out));
    } else if (fmt_gguf_int_at(kv, i, &v)) {
        *out = (double) v;
    } else if (bits_at(kv, i, &bits)) {
        *out = (double) bits;
    } else {
        return false;
    }
    return true;
}

static enum rt_err fail_key(const struct fmt_gguf *g, const char *key, const char *want)
{
    const struct fmt_gguf_kv *kv = fmt_gguf_find(g, key);
    if (!kv)
        return rt_fail(RT_E_NOT_FOUND, "%s: key %s is missing: expected %s", g->path, key, want);
    return rt_fail(RT_E_FORMAT, "%s: key %s: expected %s, found %s%s", g->path, key, want,
                   kv->is_array ? "an array of " : "", TYPES[kv->type].name);
}

// The entry if it is a single value, else NULL.
static const struct fmt_gguf_kv *single(const struct fmt_gguf *g, const char *key)
{
    const struct fmt_gguf_kv *kv = fmt_gguf_find(g, key);
    return kv && !kv->is_array ? kv : NULL;
}

enum rt_err fmt_gguf_u64(const struct fmt_gguf *g, const char *key, uint64_t *out)
{
    const struct fmt_gguf_kv *kv = single(g, key);
    *out = 0;
    if (!kv || kv->type == FMT_GGUF_BOOL || !bits_at(kv, 0, out) ||
        (TYPES[kv->type].is_signed && *out > INT64_MAX)) {
        *out = 0;
        return fail_key(g, key, "an integer that is not negative");
    }
    return RT_OK;
}

enum rt_err fmt_gguf_u32(const struct fmt_gguf *g, const char *key, uint32_t *out)
{
    uint64_t v;
    const enum rt_err err = fmt_gguf_u64(g, key, &v);
    *out = v <= UINT32_MAX ? (uint32_t) v : 0;
    if (err == RT_OK && v > UINT32_MAX)
        return fail_key(g, key, "an integer up to 4294967295");
    return err;
}

enum rt_err fmt_gguf_u32_or(const struct fmt_gguf *g, const char *key, uint32_t def, uint32_t *out)
{
    *out = def;
    return fmt_gguf_find(g, key) ? fmt_gguf_u32(g, key, out) : RT_OK;
}

enum rt_err fmt_gguf_f32(const struct fmt_gguf *g, const char *key, float *out)
{
    const struct fmt_gguf_kv *kv = single(g, key);
    double v = 0.0;
    const bool is_float =
        kv && (kv->type == FMT_GGUF_F32 || kv->type == FMT_GGUF_F64) && fmt_gguf_num_at(kv, 0, &v);
    *out = (float) v;
    return is_float ? RT_OK : fail_key(g, key, "a float");
}

enum rt_err fmt_gguf_f32_or(const struct fmt_gguf *g, const char *key, float def, float *out)
{
    *out = def;
    return fmt_gguf_find(g, key) ? fmt_gguf_f32(g, key, out) : RT_OK;
}

enum rt_err fmt_gguf_bool(const struct fmt_gguf *g, const char *key, bool *out)
{
    const struct fmt_gguf_kv *kv = single(g, key);
    const bool is_bool = kv && kv->type == FMT_GGUF_BOOL;
    *out = is_bool && kv->data[0] != 0;
    return is_bool ? RT_OK : fail_key(g, key, "a boolean");
}

enum rt_err fmt_gguf_bool_or(const struct fmt_gguf *g, const char *key, bool def, bool *out)
{
    *out = def;
    return fmt_gguf_find(g, key) ? fmt_gguf_bool(g, key, out) : RT_OK;
}

enum rt_err fmt_gguf_text(const struct fmt_gguf *g, const char *key, struct fmt_gguf_str *out)
{
    const struct fmt_gguf_kv *kv = single(g, key);
    struct fmt_gguf_iter it;
    *out = (struct fmt_gguf_str){0};
    if (!kv)
        return fail_key(g, key, "a string");
    it = fmt_gguf_iter(kv);
    return fmt_gguf_next(&it, out) ? RT_OK : fail_key(g, key, "a string");
}

enum rt_err fmt_gguf_array(const struct fmt_gguf *g, const char *key, enum fmt_gguf_type type,
                           const struct fmt_gguf_kv **out)
{
    const struct fmt_gguf_kv *kv = fmt_gguf_find(g, key);
    char want[32] = "an array of ";
    *out = NULL;
    if ((unsigned) type >= FMT_GGUF_TYPE_COUNT)
        return rt_fail(RT_E_ARG, "%s: key %s: no such type: %d", g->path, key, (int) type);
    if (!kv || !kv->is_array || kv->type != type)
        return fail_key(g, key, strcat(want, TYPES[type].name));
    *out = kv;
    return RT_OK;
}

struct fmt_gguf_iter fmt_gguf_iter(const struct fmt_gguf_kv *kv)
{
    return (struct fmt_gguf_iter){kv->data, kv->type == FMT_GGUF_STR ? kv->count : 0};
}

bool fmt_gguf_next(struct fmt_gguf_iter *it, struct fmt_gguf_str *out)
{
    uint64_t n = 0;
    *out = (struct fmt_gguf_str){0};
    if (it->left == 0)
        return false;
    for (unsigned i = 0; i < 8; i++)
        n |= (uint64_t) it->at[i] << (8 * i);
    *out = (struct fmt_gguf_str){(const char *) it->at + 8, (size_t) n};
    it->at += 8 + n;
    it->left--;
    return true;
}
