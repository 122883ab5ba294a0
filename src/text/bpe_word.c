#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/text/tokenizer_parts.h"

// Words of up to SHORT symbols are merged by looking at all pairs for the best each time; longer
// ones with links and a heap, n log n. Either way the lowest rank goes first, and of equal ones the
// leftmost.
enum { SHORT = 40, MEMO_KEY = 26, MEMO_IDS = 8, MEMO_MAX = 4096 };
static const uint32_t NONE = UINT32_MAX,
                      GONE = UINT32_MAX; // no neighbour; a symbol that was merged away

struct txt_word_memo { // one cache line
    uint32_t hash;
    uint8_t len, n; // len 0: free
    char key[MEMO_KEY];
    uint32_t ids[MEMO_IDS];
};

enum rt_err txt_model_scratch_begin(struct txt_model_scratch *s, size_t text_len)
{
    enum rt_err err = RT_OK;
    size_t n = 16;

    while (n < MEMO_MAX && n < text_len / 8)
        n *= 2;
    s->memo = calloc(n, sizeof(*s->memo));
    RT_REQUIRE(s->memo, RT_E_NOMEM);
    s->memo_n = n;
done:
    return err;
}

void txt_model_scratch_free(struct txt_model_scratch *s)
{
    free(s->memo);
    txt_ids_free(&s->symbols);
    free(s->prev);
    free(s->next);
    free(s->heap);
    free(s->best);
    *s = (struct txt_model_scratch){0};
}

// ---- symbols ----

static enum rt_err add(struct txt_ids *ids, int64_t id)
{
    const uint32_t one = (uint32_t) id;
    if (ids->len < ids->cap) {
        ids->data[ids->len++] = one;
        return RT_OK;
    }
    return txt_ids_append(ids, &one, 1);
}

// The ids of the bytes of one character, if all have one.
static bool fallback(const struct txt_bpe *b, const char *s, size_t n, uint32_t ids[TXT_UTF8_MAX])
{
    for (size_t i = 0; i < n; i++) {
        if (b->fallback[(uint8_t) s[i]] < 0)
            return false;
        ids[i] = (uint32_t) b->fallback[(uint8_t) s[i]];
    }
    return true;
}

// A character without an id: fused unknowns are one symbol, and one that is pending comes after
// bytes that fell back (the library's order).
static enum rt_err char_symbols(const struct txt_tokenizer *tok, const char *word, size_t len,
                                struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    const struct txt_bpe *b = &tok->bpe;
    bool pending = false;

    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c, id, ids[TXT_UTF8_MAX];
        n = txt_utf8_get(word + i, &c);
        if (txt_table_get(&tok->vocab.ids, word + i, n, &id)) {
            if (pending)
                RT_TRY(add(out, b->unk));
            pending = false;
            RT_TRY(add(out, id));
        } else if (b->byte_fallback && fallback(b, word + i, n, ids)) {
            RT_TRY(txt_ids_append(out, ids, n));
        } else if (b->unk_missing) {
            RT_TRY(rt_fail(RT_E_FORMAT,
                           "tokenizer.json: model.unk_token is not in the vocabulary, but U+%04X "
                           "in a text needs it",
                           (unsigned) c));
        } else if (b->unk >= 0) {
            if (pending && !b->fuse_unk)
                RT_TRY(add(out, b->unk));
            pending = true;
        }
    }
    if (pending)
        RT_TRY(add(out, b->unk));
done:
    return err;
}

static enum rt_err byte_symbols(const struct txt_bpe *b, const char *word, size_t len,
                                struct txt_ids *out)
{
    enum rt_err err = RT_OK;

    for (size_t i = 0; i < len; i++)
        RT_TRY(add(out, b->bytes[(uint8_t) word[i]]));
done:
    return err;
}

// ---- merging ----

// Index of the lowest rank, the leftmost of equal ones; n >= 1.
static size_t lowest(const uint64_t *pairs, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (pairs[i] < pairs[best])
            best = i;
    return best;
}

static void merge_short(const struct txt_bpe *b, struct txt_ids *word)
{
    uint64_t pairs[SHORT]; // pairs[i]: of symbols i and i + 1
    uint32_t *ids = word->data;
    size_t n = word->len;

    for (size_t i = 0; i + 1 < n; i++)
        pairs[i] = txt_pair_find(b, ids[i], ids[i + 1]);
    while (n > 1) {
        const size_t i = lowest(pairs, n - 1);
        if (pairs[i] == TXT_NO_PAIR)
            break;
        ids[i] = (uint32_t) pairs[i];
        n--;
        memmove(ids + i + 1, ids + i + 2, (n - i - 1) * sizeof(*ids));
        if (i + 1 < n) {
            memmove(pairs + i + 1, pairs + i + 2, (n - i - 2) * sizeof(*pairs));
            pairs[i] = txt_pair_find(b, ids[i], ids[i + 1]);
        }
        if (i > 0)
            pairs[i - 1] = txt_pair_find(b, ids[i - 1], ids[i]);
    }
    word->len = n;
}

static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t v = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= v)
            break;
        heap[i] = heap[child];
    }
    heap[i] = v;
}

static void heap_push(struct txt_model_scratch *s, uint64_t pair, uint32_t at)
{
    const uint64_t v = (pair & ~(uint64_t) UINT32_MAX) | at;
    size_t i = s->heap_n++;

    for (size_t up; i > 0 && s->heap[up = (i - 1) / 2] > v; i = up)
        s->heap[i] = s->heap[up];
    s->heap[i] = v;
}

// Links for n symbols, and a heap for the pairs: n - 1 at first, and each merge takes one and adds
// two.
static enum rt_err reserve_links(struct txt_model_scratch *s, size_t n)
{
    enum rt_err err = RT_OK;

    if (n <= s->links_cap)
        goto done;
    s->links_cap = 0;
    free(s->prev);
    free(s->next);
    free(s->heap);
    s->prev = malloc(n * sizeof(*s->prev));
    s->next = malloc(n * sizeof(*s->next));
    s->heap = malloc(2 * n * sizeof(*s->heap));
    RT_REQUIRE(s->prev && s->next && s->heap, RT_E_NOMEM);
    s->links_cap = n;
done:
    return err;
}

// Merge the symbols at `at` and behind; what the heap says of the others becomes stale and is seen
// as such.
static void merge_at(const struct txt_bpe *b, struct txt_model_scratch *s, uint32_t at, uint32_t id)
{
    uint32_t *ids = s->symbols.data;
    const uint32_t gone = s->next[at], left = s->prev[at], right = s->next[gone];
    uint64_t pair;

    ids[at] = id;
    ids[gone] = GONE;
    s->next[at] = right;
    if (right != NONE) {
        s->prev[right] = at;
        pair = txt_pair_find(b, id, ids[right]);
        if (pair != TXT_NO_PAIR)
            heap_push(s, pair, at);
    }
    if (left != NONE) {
        pair = txt_pair_find(b, ids[left], id);
        if (pair != TXT_NO_PAIR)
            heap_push(s, pair, left);
    }
}

static enum rt_err merge_long(const struct txt_bpe *b, struct txt_model_scratch *s)
{
    enum rt_err err = RT_OK;
    uint32_t *ids = s->symbols.data;
    const uint32_t n = (uint32_t) s->symbols.len;
    size_t len = 0;

    RT_TRY(reserve_links(s, n));
    s->heap_n = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t pair = i + 1 < n ? txt_pair_find(b, ids[i], ids[i + 1]) : TXT_NO_PAIR;
        s->prev[i] = i ? i - 1 : NONE;
        s->next[i] = i + 1 < n ? i + 1 : NONE;
        if (pair != TXT_NO_PAIR)
            s->heap[s->heap_n++] = (pair & ~(uint64_t) UINT32_MAX) | i;
    }
    for (size_t i = s->heap_n / 2; i-- > 0;)
        sift_down(s->heap, s->heap_n, i);
    while (s->heap_n > 0) {
        const uint64_t top = s->heap[0];
        const uint32_t at = (uint32_t) top;
        uint64_t pair;
        s->heap[0] = s->heap[--s->heap_n];
        if (s->heap_n > 0)
            sift_down(s->heap, s->heap_n, 0);
        if (ids[at] == GONE || s->next[at] == NONE)
            continue;
        pair = txt_pair_find(b, ids[at], ids[s->next[at]]);
        if (pair != TXT_NO_PAIR && pair >> 32 == top >> 32)
            merge_at(b, s, at, (uint32_t) pair);
    }
    for (uint32_t i = 0; i < n; i++)
        if (ids[i] != GONE)
            ids[len++] = ids[i];
    s->symbols.len = len;
done:
    return err;
}

// ---- words ----

static enum rt_err merge_word(const struct txt_tokenizer *tok, struct txt_model_scratch *s,
                              const char *word, size_t len)
{
    enum rt_err err = RT_OK;

    s->symbols.len = 0;
    if (tok->bytes)
        RT_TRY(byte_symbols(&tok->bpe, word, len, &s->symbols));
    else
        RT_TRY(char_symbols(tok, word, len, &s->symbols));
    if (s->symbols.len <= SHORT)
        merge_short(&tok->bpe, &s->symbols);
    else
        RT_TRY(merge_long(&tok->bpe, s));
done:
    return err;
}

static void remember(struct txt_word_memo *m, uint32_t hash, const char *word, size_t len,
                     const struct txt_ids *ids)
{
    if (ids->len > MEMO_IDS)
        return;
    m->hash = hash;
    m->len = (uint8_t) len;
    m->n = (uint8_t) ids->len;
    memcpy(m->key, word, len);
    memcpy(m->ids, ids->data, ids->len * sizeof(*m->ids));
}

enum rt_err txt_bpe_word(const struct txt_tokenizer *tok, struct txt_model_scratch *s,
                         const char *word, size_t len, struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    const struct txt_table *whole = tok->bytes ? &tok->bpe.raw : &tok->vocab.ids;
    struct txt_word_memo *m = NULL;
    uint32_t hash = 0, id;

    if (tok->bpe.ignore_merges && txt_table_get(whole, word, len, &id))
        return add(out, id);
    if (len <= MEMO_KEY) {
        hash = txt_hash(word, len);
        m = &s->memo[hash & (s->memo_n - 1)];
        if (m->len == len && m->hash == hash && memcmp(m->key, word, len) == 0)
            return txt_ids_append(out, m->ids, m->n);
    }
    RT_TRY(merge_word(tok, s, word, len));
    RT_TRY(txt_ids_append(out, s->symbols.data, s->symbols.len));
    if (m)
        remember(m, hash, word, len, &s->symbols);
done:
    return err;
}
