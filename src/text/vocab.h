// src/text/vocab.h -- string -> number map, and the two directions of a vocabulary.
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "src/base/err.h"
#include "src/base/str.h"

// Open addressing over keys kept in one arena, each with a NUL behind. { 0 } is empty. All keys
// together take less than 4 GiB.
struct txt_slot {
    uint32_t hash, off, len, value; // len is the key's plus 1; 0 marks a free slot
};
struct txt_table {
    struct str keys;
    struct txt_slot *slots;
    size_t n, cap; // cap is a power of two
};
RT_NODISCARD enum rt_err txt_table_reserve(struct txt_table *t, size_t n);
RT_NODISCARD enum rt_err txt_table_put(struct txt_table *t, const char *key, size_t len,
                                       uint32_t value);
void txt_table_free(struct txt_table *t);

static inline uint32_t txt_hash(const char *key, size_t len)
{
    uint64_t h = len * UINT64_C(0x9e3779b97f4a7c15), w;
    for (; len >= 8; key += 8, len -= 8) {
        memcpy(&w, key, 8);
        h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    if (len) {
        w = 0;
        memcpy(&w, key, len);
        h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t) (h >> 32);
}

// The value of a key; false if there is none.
static inline bool txt_table_get(const struct txt_table *t, const char *key, size_t len,
                                 uint32_t *value)
{
    uint32_t hash;
    if (t->n == 0)
        return false;
    hash = txt_hash(key, len);
    for (size_t i = hash & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
        const struct txt_slot *s = &t->slots[i];
        if (s->len == 0)
            return false;
        if (s->hash == hash && s->len == len + 1 && memcmp(t->keys.data + s->off, key, len) == 0) {
            *value = s->value;
            return true;
        }
    }
}

// Names of ids, and the ids of names. Ids stay below TXT_ID_LIMIT and below 16 times the tokens
// plus 65536, so that a hostile file cannot ask for a table out of proportion.
#define TXT_ID_LIMIT (1u << 28)
struct txt_name {
    uint32_t off, len; // where in ids.keys; len is the name's plus 1; 0: no such id
};
struct txt_vocab {
    struct txt_table ids;   // name -> id
    struct txt_name *names; // (cap, of which rows are in use)
    uint32_t rows, cap;
};
// The id must be free or have this name; the name may have had another id, which it loses.
// RT_E_FORMAT: the id is out of proportion to `expected`, the number of tokens that are to come in
// all, or has another name.
RT_NODISCARD enum rt_err txt_vocab_add(struct txt_vocab *v, const char *name, size_t len,
                                       uint32_t id, size_t expected);
void txt_vocab_free(struct txt_vocab *v);

// The name of an id with its length, NUL-terminated, or NULL.
const char *txt_vocab_name(const struct txt_vocab *v, uint32_t id, size_t *len);

#endif // TEXT_VOCAB_H
