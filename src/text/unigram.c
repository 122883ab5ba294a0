#include "src/text/tokenizer_parts.h"

#include <stdlib.h>

#include "src/base/arith.h"

// ---- reading ----

static enum rt_err read_vocab(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_unigram *u = &tok->unigram;
    struct txt_node list;
    double least = 0.0;
    size_t n;

    RT_TRY(txt_node_array(at, "vocab", &list, &n));
    if (n == 0 || n > TXT_ID_LIMIT)
        RT_TRY(txt_node_fail(&list, RT_E_FORMAT, "%zu tokens", n));
    u->scores = malloc(n * sizeof(*u->scores));
    RT_REQUIRE(u->scores, RT_E_NOMEM);
    RT_TRY(txt_table_reserve(&tok->vocab.ids, n));
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(list.v, i), *name = json_array_get(row, 0);
        if (!json_is_string(name) || !json_is_number(json_array_get(row, 1)))
            RT_TRY(
                txt_node_fail(&list, RT_E_FORMAT, "element %zu is not a string and a number", i));
        u->scores[i] = json_number_value(json_array_get(row, 1));
        least = i == 0 || u->scores[i] < least ? u->scores[i] : least;
        RT_TRY(txt_vocab_add(&tok->vocab, json_string_value(name), json_string_length(name),
                             (uint32_t) i, n));
        RT_TRY(txt_trie_add(&u->trie, json_string_value(name), json_string_length(name),
                            (uint32_t) i));
    }
    u->unk_score = least - 10.0; // the library's penalty
done:
    return err;
}

enum rt_err txt_unigram_read(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_unigram *u = &tok->unigram;
    struct txt_node unk;
    uint32_t id;

    tok->word = txt_unigram_word;
    RT_TRY(read_vocab(tok, at));
    RT_TRY(txt_node_bool_or(at, "byte_fallback", &u->byte_fallback));
    RT_TRY(txt_node_get(at, "unk_id", &unk));
    u->unk = -1;
    if (unk.v) {
        RT_TRY(txt_node_u32(at, "unk_id", &id));
        if (id >= tok->vocab.rows)
            RT_TRY(txt_node_fail(&unk, RT_E_FORMAT, "%u is not below the %u tokens", id,
                                 tok->vocab.rows));
        u->unk = id;
    }
    txt_fallback_ids(&tok->vocab, u->fallback);
done:
    return err;
}

void txt_unigram_free(struct txt_unigram *u)
{
    free(u->scores);
    txt_trie_free(&u->trie);
    *u = (struct txt_unigram){0};
}

// ---- words ----

// The best path to the end of a prefix of the word. Source: Kudo 2018, arXiv:1804.10959, Viterbi.
struct best {
    double score;
    uint32_t from, id; // where its last token begins; NOWHERE: no path comes here
    uint32_t to;       // on the best path of the whole word: where the next token ends
};
static const uint32_t NOWHERE = UINT32_MAX;

static enum rt_err no_unk(void)
{
    return rt_fail(RT_E_FORMAT,
                   "tokenizer.json: a text needs the unknown token, but model.unk_id is missing");
}

static void offer(struct best *to, double score, uint32_t from, uint32_t id)
{
    if (to->from == NOWHERE || score > to->score)
        *to = (struct best){score, from, id, 0};
}

static enum rt_err find_paths(const struct txt_unigram *u, struct best *best, const char *word,
                              size_t len)
{
    enum rt_err err = RT_OK;

    for (size_t i = 0; i <= len; i++)
        best[i] = (struct best){0.0, NOWHERE, 0, 0};
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c, at = u->trie.root[(uint8_t) word[i]];
        bool single = false;
        n = txt_utf8_get(word + i, &c);
        for (size_t j = i + 1; at; j++) {
            const uint32_t token = u->trie.nodes[at].token;
            if (token) {
                offer(&best[j], u->scores[token - 1] + best[i].score, (uint32_t) i, token - 1);
                single = single || j - i == n;
            }
            at = j < len ? txt_trie_down(&u->trie, at, (uint8_t) word[j]) : 0;
        }
        if (single)
            continue;
        if (u->unk < 0)
            RT_TRY(no_unk());
        offer(&best[i + n], u->unk_score + best[i].score, (uint32_t) i, (uint32_t) u->unk);
    }
done:
    return err;
}

// The ids of word[0..len), the text of one step of the path or of several unknown ones in a row.
static enum rt_err add_token(const struct txt_tokenizer *tok, const char *word, size_t len,
                             struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    const struct txt_unigram *u = &tok->unigram;
    uint32_t id = 0;
    bool bytes = u->byte_fallback;

    if (txt_table_get(&tok->vocab.ids, word, len, &id)) {
        RT_TRY(txt_ids_append(out, &id, 1));
        goto done;
    }
    for (size_t i = 0; bytes && i < len; i++)
        bytes = u->fallback[(uint8_t) word[i]] >= 0;
    for (size_t i = 0; bytes && i < len; i++) {
        id = (uint32_t) u->fallback[(uint8_t) word[i]];
        RT_TRY(txt_ids_append(out, &id, 1));
    }
    if (!bytes) {
        if (u->unk < 0)
            RT_TRY(no_unk());
        id = (uint32_t) u->unk;
        RT_TRY(txt_ids_append(out, &id, 1));
    }
done:
    return err;
}

static bool is_unk(const struct txt_unigram *u, const struct best *b)
{
    return u->unk >= 0 && b->id == (uint32_t) u->unk;
}

enum rt_err txt_unigram_word(const struct txt_tokenizer *tok, struct txt_model_scratch *s,
                             const char *word, size_t len, struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    const struct txt_unigram *u = &tok->unigram;
    struct best *best = s->best;

    if (len + 1 > s->best_cap) {
        s->best_cap = 0;
        free(s->best);
        s->best = best = malloc((len + 1) * sizeof(*best));
        RT_REQUIRE(best, RT_E_NOMEM);
        s->best_cap = len + 1;
    }
    RT_TRY(find_paths(u, best, word, len));
    for (size_t at = len; at > 0; at = best[at].from)
        best[best[at].from].to = (uint32_t) at;
    for (size_t start = 0, end; start < len; start = end) {
        end = best[start].to;
        while (is_unk(u, &best[end]) && end < len && is_unk(u, &best[best[end].to]))
            end = best[end].to; // unknown ones in a row are one
        RT_TRY(add_token(tok, word + start, end - start, out));
    }
done:
    return err;
}
