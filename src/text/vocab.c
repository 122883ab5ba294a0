#include "src/text/vocab.h"

#include <stdlib.h>

#include "src/base/arith.h"

enum rt_err txt_table_reserve(struct txt_table *t, size_t n)
{
    enum rt_err err = RT_OK;
    struct txt_slot *slots = NULL;
    size_t cap = t->cap ? t->cap : 16;

    RT_REQUIRE(n <= UINT32_MAX / 4, RT_E_NOMEM);
    while (cap < 2 * n)
        cap *= 2;
    if (cap == t->cap)
        goto done;
    slots = calloc(cap, sizeof(*slots));
    RT_REQUIRE(slots, RT_E_NOMEM);
    for (size_t i = 0; i < t->cap; i++) {
        size_t to = t->slots[i].hash & (cap - 1);
        if (t->slots[i].len == 0)
            continue;
        while (slots[to].len != 0)
            to = (to + 1) & (cap - 1);
        slots[to] = t->slots[i];
    }
    free(t->slots);
    t->slots = slots;
    t->cap = cap;
done:
    return err;
}

enum rt_err txt_table_put(struct txt_table *t, const char *key, size_t len, uint32_t value)
{
    enum rt_err err = RT_OK;
    const uint32_t hash = txt_hash(key, len);
    struct txt_slot *s;
    size_t i, off = t->keys.len;

    RT_TRY(txt_table_reserve(t, t->n + 1));
    for (i = hash & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
        s = &t->slots[i];
        if (s->len == 0)
            break;
        if (s->hash == hash && s->len == len + 1 && memcmp(t->keys.data + s->off, key, len) == 0) {
            s->value = value;
            goto done;
        }
    }
    RT_REQUIRE(len < UINT32_MAX - 1 && off <= UINT32_MAX - len - 1, RT_E_NOMEM);
    RT_TRY(str_append(&t->keys, key, len));
    RT_TRY(str_putc(&t->keys, 0));
    *s = (struct txt_slot){hash, (uint32_t) off, (uint32_t) len + 1, value};
    t->n++;
done:
    return err;
}

void txt_table_free(struct txt_table *t)
{
    str_free(&t->keys);
    free(t->slots);
    *t = (struct txt_table){0};
}

static enum rt_err grow_rows(struct txt_vocab *v, uint32_t rows)
{
    enum rt_err err = RT_OK;
    struct txt_name *names = NULL;
    uint32_t cap = v->cap ? v->cap : 256;

    if (rows <= v->cap)
        goto done;
    while (cap < rows)
        cap *= 2;
    names = realloc(v->names, (size_t) cap * sizeof(*names));
    RT_REQUIRE(names, RT_E_NOMEM);
    memset(names + v->cap, 0, (size_t) (cap - v->cap) * sizeof(*names));
    v->names = names;
    v->cap = cap;
done:
    return err;
}

enum rt_err txt_vocab_add(struct txt_vocab *v, const char *name, size_t len, uint32_t id,
                          size_t expected)
{
    enum rt_err err = RT_OK;
    size_t had_len;
    const char *had = txt_vocab_name(v, id, &had_len);
    uint32_t old, off;

    if (had && (had_len != len || memcmp(had, name, len) != 0))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "tokenizer.json: the tokens \"%.100s\" and \"%.100s\" both have the id %u",
                       had, name, id));
    if (id >= TXT_ID_LIMIT || id / 16 > expected + 4096)
        RT_TRY(
            rt_fail(RT_E_FORMAT,
                    "tokenizer.json: the token \"%.100s\" has the id %u, too large for %zu tokens",
                    name, id, expected));
    RT_TRY(grow_rows(v, id + 1));
    if (txt_table_get(&v->ids, name, len, &old)) {
        off = v->names[old].off;
        v->names[old] = (struct txt_name){0};
    } else {
        off = (uint32_t) v->ids.keys.len;
    }
    RT_TRY(txt_table_put(&v->ids, name, len, id));
    v->names[id] = (struct txt_name){off, (uint32_t) len + 1};
    v->rows = u32_max(v->rows, id + 1);
done:
    return err;
}

void txt_vocab_free(struct txt_vocab *v)
{
    txt_table_free(&v->ids);
    free(v->names);
    *v = (struct txt_vocab){0};
}

const char *txt_vocab_name(const struct txt_vocab *v, uint32_t id, size_t *len)
{
    *len = 0;
    if (id >= v->rows || v->names[id].len == 0)
        return NULL;
    *len = v->names[id].len - 1;
    return v->ids.keys.data + v->names[id].off;
}
