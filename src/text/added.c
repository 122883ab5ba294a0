#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/text/tokenizer_parts.h"

// ---- reading ----

static enum rt_err read_flags(const struct txt_node *at, struct txt_added_token *t)
{
    enum rt_err err = RT_OK;

    RT_TRY(txt_node_bool(at, "lstrip", &t->lstrip));
    RT_TRY(txt_node_bool(at, "rstrip", &t->rstrip));
    RT_TRY(txt_node_bool(at, "single_word", &t->single_word));
    RT_TRY(txt_node_bool(at, "normalized", &t->normalized));
    RT_TRY(txt_node_bool(at, "special", &t->special));
done:
    return err;
}

// The library numbers added tokens itself: by the model's vocabulary, else from its end on in file
// order.
static enum rt_err read_token(struct txt_tokenizer *tok, const struct txt_node *at, size_t i,
                              size_t n, uint32_t *next)
{
    enum rt_err err = RT_OK;
    struct txt_added *a = &tok->added;
    struct txt_added_token t = {0};
    struct txt_node item;
    const char *name;
    size_t len;
    uint32_t said, old;

    RT_TRY(txt_node_at(at, i, &item));
    RT_TRY(txt_node_text(&item, "content", &name, &len));
    RT_TRY(txt_node_u32(&item, "id", &said));
    RT_TRY(read_flags(&item, &t));
    if (len == 0)
        goto done;
    if (txt_table_get(&a->names.ids, name, len, &old)) { // once more: these flags count
        t.id = old;
        t.special = t.special || a->tokens[a->by_id[old] - 1].special;
        a->tokens[a->by_id[old] - 1] = t;
        goto done;
    }
    if (!txt_table_get(&tok->vocab.ids, name, len, &t.id))
        t.id = *next;
    *next = t.id >= *next ? t.id + 1 : *next;
    if (t.id != said && !a->renumbered++)
        log_warn(
            "tokenizer.json: %s: \"%s\" has the id %u, by the library's rule; the file says %u",
            item.path, name, t.id, said);
    RT_TRY(txt_vocab_add(&a->names, name, len, t.id, tok->vocab.ids.n + n));
    a->tokens[a->n++] = t;
    if (a->by_id)
        a->by_id[t.id] = (uint32_t) a->n;
done:
    return err;
}

// As the library has it, a token with a normalized form is decoded as that, and is then special
// only if that form is the name of a special token.
static void find_skipped(struct txt_added *a)
{
    for (size_t i = 0; i < a->n; i++) {
        struct txt_added_token *t = &a->tokens[i];
        uint32_t id = t->id;
        t->skipped = (!t->shown || txt_table_get(&a->names.ids, t->shown, t->shown_len, &id)) &&
                     a->tokens[a->by_id[id] - 1].special;
    }
}

// Special tokens come before the others among equal patterns.
static enum rt_err fill_tries(struct txt_tokenizer *tok)
{
    enum rt_err err = RT_OK;
    struct txt_added *a = &tok->added;
    struct txt_norm_scratch scratch = {0};

    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < a->n; i++) {
            struct txt_added_token *t = &a->tokens[i];
            size_t len;
            const char *key = txt_vocab_name(&a->names, t->id, &len);
            bool moved;
            if (t->special != (pass == 0))
                continue;
            if (t->normalized && tok->norms.n > 0) {
                RT_TRY(txt_normalize(tok, &scratch, key, len, &key, &len, &moved));
                RT_TRY(str_dup_n(key, len, &t->shown));
                t->shown_len = len;
            }
            RT_TRY(txt_trie_add(t->normalized ? &a->normal : &a->raw, key, len, (uint32_t) i));
        }
done:
    txt_norm_scratch_free(&scratch);
    return err;
}

enum rt_err txt_added_read(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_added *a = &tok->added;
    const size_t n = at->v ? json_array_size(at->v) : 0;
    const size_t ids =
        tok->vocab.ids.n + n; // an upper bound of the ids that come up here, with vocab.rows
    uint32_t next = (uint32_t) tok->vocab.ids.n;

    if (at->v && !json_is_array(at->v))
        RT_TRY(txt_node_fail(at, RT_E_FORMAT, "an array was expected"));
    a->tokens = calloc(n + 1, sizeof(*a->tokens));
    a->by_id = calloc(ids + tok->vocab.rows + n + 1, sizeof(*a->by_id));
    RT_REQUIRE(a->tokens && a->by_id, RT_E_NOMEM);
    for (size_t i = 0; i < n; i++)
        RT_TRY(read_token(tok, at, i, n, &next));
    if (a->renumbered > 1)
        log_warn("tokenizer.json: added_tokens: so have %zu more", a->renumbered - 1);
    RT_TRY(fill_tries(tok));
    find_skipped(a);
done:
    return err;
}

void txt_added_free(struct txt_added *a)
{
    txt_vocab_free(&a->names);
    for (size_t i = 0; i < a->n; i++)
        free(a->tokens[i].shown);
    free(a->tokens);
    free(a->by_id);
    txt_trie_free(&a->raw);
    txt_trie_free(&a->normal);
    *a = (struct txt_added){0};
}

// ---- finding ----

// The leftmost token from *start on, the longest there.
static const struct txt_added_token *find(const struct txt_added *a, const struct txt_trie *t,
                                          const char *text, size_t len, size_t *start, size_t *end)
{
    uint32_t best = 0;

    for (size_t i = *start; i < len; i++) {
        uint32_t at = t->root[(uint8_t) text[i]];
        for (size_t j = i + 1; at; j++) {
            if (t->nodes[at].token) {
                best = t->nodes[at].token;
                *end = j;
            }
            at = j < len ? txt_trie_down(t, at, (uint8_t) text[j]) : 0;
        }
        if (best) {
            *start = i;
            return &a->tokens[best - 1];
        }
    }
    return NULL;
}

static bool word_before(const uint8_t *chars, const char *text, size_t at)
{
    uint32_t c;
    return at > 0 && (txt_utf8_last(text, text + at, &c), txt_char_flags(chars, c) & TXT_WORD);
}

static bool word_behind(const uint8_t *chars, const char *text, size_t len, size_t at)
{
    uint32_t c;
    return at < len && (txt_utf8_get(text + at, &c), txt_char_flags(chars, c) & TXT_WORD);
}

static size_t spaces_before(const uint8_t *chars, const char *text, size_t at)
{
    uint32_t c;
    while (at > 0) {
        const size_t n = txt_utf8_last(text, text + at, &c);
        if (!(txt_char_flags(chars, c) & TXT_SPACE))
            break;
        at -= n;
    }
    return at;
}

static size_t spaces_behind(const uint8_t *chars, const char *text, size_t len, size_t at)
{
    uint32_t c;
    while (at < len) {
        const size_t n = txt_utf8_get(text + at, &c);
        if (!(txt_char_flags(chars, c) & TXT_SPACE))
            break;
        at += n;
    }
    return at;
}

bool txt_added_next(const struct txt_tokenizer *tok, const struct txt_trie *trie, const char *text,
                    size_t len, struct txt_cut *cut, size_t *start, size_t *end,
                    const struct txt_added_token **token)
{
    const uint8_t *chars = tok->chars;
    const struct txt_added_token *t = cut->next;

    while (!t) {
        size_t s = cut->search, e = 0, left;
        t = find(&tok->added, trie, text, len, &s, &e);
        if (!t)
            break;
        cut->search = e;
        if (t->single_word && (word_before(chars, text, s) || word_behind(chars, text, len, e))) {
            t = NULL;
            continue;
        }
        left = t->lstrip ? spaces_before(chars, text, s) : s;
        cut->next = t;
        cut->next_start = left > cut->at || !t->lstrip ? left : cut->at;
        cut->next_end = t->rstrip ? spaces_behind(chars, text, len, e) : e;
    }
    *token = NULL;
    *start = cut->at;
    if (!t || cut->at < cut->next_start) { // plain text, up to the token or the end
        *end = t ? cut->next_start : len;
        cut->at = *end;
        return *start < *end;
    }
    *token = t;
    *start = cut->next_start;
    *end = cut->at = cut->next_end;
    cut->next = NULL;
    return true;
}
