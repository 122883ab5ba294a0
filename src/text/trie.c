#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/text/tokenizer_parts.h"

static enum rt_err new_node(struct txt_trie *t, uint8_t byte, uint32_t *out)
{
    enum rt_err err = RT_OK;

    *out = 0;
    if (t->n == t->cap) {
        const size_t cap = t->cap ? 2 * t->cap : 256;
        struct txt_trie_node *nodes;
        RT_REQUIRE(cap <= UINT32_MAX / 2, RT_E_NOMEM);
        nodes = realloc(t->nodes, cap * sizeof(*nodes));
        RT_REQUIRE(nodes, RT_E_NOMEM);
        t->nodes = nodes;
        t->cap = cap;
        t->n = t->n ? t->n : 1;
    }
    t->nodes[t->n] = (struct txt_trie_node){.byte = byte};
    *out = (uint32_t) t->n++;
done:
    return err;
}

enum rt_err txt_trie_add(struct txt_trie *t, const char *key, size_t len, uint32_t token)
{
    enum rt_err err = RT_OK;
    uint32_t at, made;

    if (len == 0)
        goto done;
    at = t->root[(uint8_t) key[0]];
    if (!at) {
        RT_TRY(new_node(t, (uint8_t) key[0], &at));
        t->root[(uint8_t) key[0]] = at;
    }
    for (size_t i = 1; i < len; i++) {
        const uint32_t down = txt_trie_down(t, at, (uint8_t) key[i]);
        if (down) {
            at = down;
            continue;
        }
        RT_TRY(new_node(t, (uint8_t) key[i], &made));
        t->nodes[made].sibling = t->nodes[at].child;
        t->nodes[at].child = made;
        at = made;
    }
    if (!t->nodes[at].token)
        t->nodes[at].token = token + 1;
done:
    return err;
}

void txt_trie_free(struct txt_trie *t)
{
    free(t->nodes);
    *t = (struct txt_trie){0};
}
