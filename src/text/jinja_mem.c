// The interpreter's context: errors, limits, the two arenas, strings, sequences and dicts.
#include "src/text/jinja_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_MIN = 16 << 10, CHUNK_MAX = 1 << 20, DEPTH_MAX = 1500, INDEX_ABOVE = 8 };

const struct jstr JSTR_EMPTY = {.p = ""};

void jc_fail(struct jc *c, enum rt_err err, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    size_t n;

    if (c->err != RT_OK)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    n = strlen(text);
    while (n > 0 && !jcp_valid(text, n)) // a character may have been cut in two
        n--;
    c->err = err;
    if ((c->line && str_printf(c->reason, "line %u: ", (unsigned) c->line) != RT_OK) ||
        str_append(c->reason, text, n) != RT_OK)
        c->err = RT_E_NOMEM;
}

void jc_fail_str(struct jc *c, const struct jstr *text)
{
    if (c->err != RT_OK)
        return;
    c->err = str_append(c->reason, text->p, text->len) == RT_OK ? RT_E_FORMAT : RT_E_NOMEM;
    c->raised = true;
}

bool jc_step(struct jc *c, size_t n)
{
    c->steps += n;
    if (c->steps <= c->step_limit)
        return c->err == RT_OK;
    jc_fail(c, RT_E_UNSUPPORTED, "more than %llu steps: an endless loop?",
            (unsigned long long) c->step_limit);
    return false;
}

bool jc_enter(struct jc *c)
{
    if (c->err != RT_OK)
        return false;
    if (c->depth >= DEPTH_MAX) {
        jc_fail(c, RT_E_UNSUPPORTED, "nested more than %d deep", DEPTH_MAX);
        return false;
    }
    c->depth++;
    return true;
}

void jc_leave(struct jc *c)
{
    c->depth--;
}

static bool count_memory(struct jc *c, size_t n)
{
    if (c->err != RT_OK)
        return false;
    if (n > c->mem_limit - c->mem) {
        jc_fail(c, RT_E_UNSUPPORTED, "more than %zu bytes of memory", c->mem_limit);
        return false;
    }
    c->mem += n;
    return true;
}

// Room for n bytes at the top of an arena; NULL after an error.
static struct jchunk *chunk_with(struct jc *c, struct jchunk **list, size_t n)
{
    struct jchunk *k = *list;
    size_t size = k ? u64_min(2 * k->size, CHUNK_MAX) : CHUNK_MIN;

    if (c->err != RT_OK)
        return NULL;
    if (k && n <= k->size - k->used)
        return k;
    if (n > c->mem_limit)
        n = c->mem_limit; // refused below, without an overflow
    while (size < n)
        size *= 2;
    if (!count_memory(c, size))
        return NULL;
    k = calloc(1, sizeof(*k) + size);
    if (!k) {
        jc_fail(c, RT_E_NOMEM, "out of memory: %zu bytes", size);
        return NULL;
    }
    k->size = size;
    k->next = *list;
    *list = k;
    return n <= size ? k : NULL;
}

void *jc_alloc(struct jc *c, size_t n)
{
    const size_t size = n > SIZE_MAX / 2 ? SIZE_MAX / 2 : (n + 15) / 16 * 16;
    struct jchunk *k = chunk_with(c, &c->values, size);
    void *p;

    if (!k || size > k->size - k->used)
        return NULL;
    p = k->data + k->used;
    k->used += size;
    return p;
}

void *jc_alloc_array(struct jc *c, size_t n, size_t size)
{
    size_t bytes;
    return jc_alloc(c, size_mul(n, size, &bytes) ? bytes : SIZE_MAX);
}

void jchunk_free(struct jchunk *list)
{
    while (list) {
        struct jchunk *next = list->next;
        free(list);
        list = next;
    }
}

void jc_free(struct jc *c)
{
    jchunk_free(c->values);
    jchunk_free(c->bytes);
    c->values = c->bytes = NULL;
    str_free(&c->out);
}

void jc_set_var(struct jc *c, const char *name, struct jv v)
{
    jdict_set(c, c->vars, jv_str(jstr_copy(c, name, strlen(name))), v);
}

// ---- strings ------------------------------------------------------------------------------------

static size_t count_points(const char *p, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char) p[i] & 0xc0) != 0x80;
    return n;
}

static const struct jstr *new_str(struct jc *c, const char *p, size_t len, size_t cps)
{
    struct jstr *s = jc_alloc(c, sizeof(*s));
    if (!s)
        return &JSTR_EMPTY;
    *s = (struct jstr){.p = p, .len = len, .cps = cps};
    return s;
}

const struct jstr *jstr_share(struct jc *c, const char *p, size_t len)
{
    return len ? new_str(c, p, len, count_points(p, len)) : &JSTR_EMPTY;
}

// n bytes of string memory, or NULL after an error.
static char *take_bytes(struct jc *c, size_t n)
{
    struct jchunk *k = chunk_with(c, &c->bytes, n);
    char *p;
    if (!k || n > k->size - k->used)
        return NULL;
    p = k->data + k->used;
    k->used += n;
    return p;
}

const struct jstr *jstr_copy(struct jc *c, const char *p, size_t len)
{
    char *bytes = len && jc_step(c, len / 64) ? take_bytes(c, len) : NULL;
    if (!bytes)
        return &JSTR_EMPTY;
    memcpy(bytes, p, len);
    return new_str(c, bytes, len, count_points(bytes, len));
}

// In place if a's bytes are the last ones in the arena: building a text piece by piece is linear.
const struct jstr *jstr_concat(struct jc *c, const struct jstr *a, const struct jstr *b)
{
    struct jchunk *k = c->bytes;
    char *p;

    if (a->len == 0 || b->len == 0)
        return a->len == 0 ? b : a;
    if (!jc_step(c, b->len / 64))
        return &JSTR_EMPTY;
    if (k && a->p >= k->data && a->p + a->len == k->data + k->used && b->len <= k->size - k->used) {
        memcpy(k->data + k->used, b->p, b->len);
        k->used += b->len;
        return new_str(c, a->p, a->len + b->len, a->cps + b->cps);
    }
    p = jc_step(c, a->len / 64) ? take_bytes(c, a->len + b->len) : NULL;
    if (!p)
        return &JSTR_EMPTY;
    memcpy(p, a->p, a->len);
    memcpy(p + a->len, b->p, b->len);
    return new_str(c, p, a->len + b->len, a->cps + b->cps);
}

const struct jstr *jstr_take(struct jc *c, struct str *s)
{
    const struct jstr *r = jstr_copy(c, s->data, s->len);
    c->mem -= u64_min(c->mem, s->len); // counted by jsb
    str_free(s);
    return r;
}

const struct jstr *jstr_safe(struct jc *c, const struct jstr *s, bool safe)
{
    struct jstr *r = s->safe == safe ? NULL : jc_alloc(c, sizeof(*r));
    if (!r)
        return s;
    *r = *s;
    r->safe = safe;
    return r;
}

bool jstr_is(const struct jstr *s, const char *text)
{
    return s->len == strlen(text) && memcmp(s->p, text, s->len) == 0;
}

bool jsb(struct jc *c, struct str *s, const char *p, size_t n)
{
    if (!jc_step(c, n / 64) || !count_memory(c, n))
        return false;
    if (str_append(s, p, n) != RT_OK)
        jc_fail(c, RT_E_NOMEM, "out of memory");
    return c->err == RT_OK;
}

// ---- sequences ----------------------------------------------------------------------------------

struct jseq *jseq_new(struct jc *c, size_t cap)
{
    struct jseq *s = jc_alloc(c, sizeof(*s));
    if (!s)
        return &c->dead_seq;
    if (cap) {
        s->v = jc_alloc_array(c, cap, sizeof(*s->v));
        s->cap = s->v ? cap : 0;
    }
    return s;
}

void jseq_push(struct jc *c, struct jseq *s, struct jv v)
{
    if (c->err != RT_OK)
        return;
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 8;
        struct jv *grown = jc_alloc_array(c, cap, sizeof(*grown));
        if (!grown)
            return;
        if (s->n)
            memcpy(grown, s->v, s->n * sizeof(*grown));
        s->v = grown;
        s->cap = cap;
    }
    s->v[s->n++] = v;
}

// ---- dicts --------------------------------------------------------------------------------------

struct jdict *jdict_new(struct jc *c, size_t cap)
{
    struct jdict *d = jc_alloc(c, sizeof(*d));
    if (!d)
        return &c->dead_dict;
    if (cap) {
        d->e = jc_alloc_array(c, cap, sizeof(*d->e));
        d->cap = d->e ? cap : 0;
    }
    return d;
}

static struct jentry *find(struct jc *c, const struct jdict *d, struct jv key, uint64_t hash)
{
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++)
            if (d->e[i].hash == hash && jv_eq(c, d->e[i].key, key))
                return &d->e[i];
        return NULL;
    }
    for (size_t i = hash & (d->index_cap - 1); d->index[i]; i = (i + 1) & (d->index_cap - 1)) {
        struct jentry *e = &d->e[d->index[i] - 1];
        if (!jc_step(c, 1))
            return NULL;
        if (e->hash == hash && jv_eq(c, e->key, key))
            return e;
    }
    return NULL;
}

static void index_put(struct jdict *d, size_t entry)
{
    size_t i = d->e[entry].hash & (d->index_cap - 1);
    while (d->index[i])
        i = (i + 1) & (d->index_cap - 1);
    d->index[i] = (uint32_t) (entry + 1);
}

// Make room for one more entry: both the entries and, above INDEX_ABOVE, an index half empty.
static bool dict_grow(struct jc *c, struct jdict *d)
{
    if (d->n == d->cap) {
        const size_t cap = d->cap ? 2 * d->cap : 4;
        struct jentry *grown = jc_alloc_array(c, cap, sizeof(*grown));
        if (!grown)
            return false;
        if (d->n)
            memcpy(grown, d->e, d->n * sizeof(*grown));
        d->e = grown;
        d->cap = cap;
    }
    if (d->n + 1 > INDEX_ABOVE && 2 * (d->n + 1) > d->index_cap) {
        const size_t cap = d->index_cap ? 2 * d->index_cap : 32;
        uint32_t *index = jc_alloc_array(c, cap, sizeof(*index));
        if (!index)
            return false;
        d->index = index;
        d->index_cap = cap;
        for (size_t i = 0; i < d->n; i++)
            index_put(d, i);
    }
    return true;
}

void jdict_set(struct jc *c, struct jdict *d, struct jv key, struct jv val)
{
    const uint64_t hash = jv_hash(c, key);
    struct jentry *e = c->err == RT_OK ? find(c, d, key, hash) : NULL;

    if (c->err != RT_OK)
        return;
    if (e) {
        e->val = val;
        return;
    }
    if (!dict_grow(c, d))
        return;
    d->e[d->n] = (struct jentry){.key = key, .val = val, .hash = hash};
    if (d->index)
        index_put(d, d->n);
    d->n++;
}

const struct jv *jdict_get(struct jc *c, const struct jdict *d, struct jv key)
{
    const uint64_t hash = jv_hash(c, key);
    const struct jentry *e = c->err == RT_OK ? find(c, d, key, hash) : NULL;
    return e ? &e->val : NULL;
}

const struct jv *jdict_get_text(struct jc *c, const struct jdict *d, const char *key)
{
    const struct jstr s = {.p = key, .len = strlen(key), .cps = count_points(key, strlen(key))};
    return jdict_get(c, d, jv_str(&s));
}
