#include "src/text/to_gguf_spm.h"

#include <stdlib.h>
#include <string.h>

#include "src/text/spm.h"

#define SPACE "\xe2\x96\x81" // U+2581, which stands for a space

static bool says(const json_t *object, const char *key, const char *want)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s && strcmp(s, want) == 0;
}

static bool is_replace(const json_t *n)
{
    return says(n, "type", "Replace") && says(json_object_get(n, "pattern"), "String", " ") &&
           says(n, "content", SPACE);
}

// [Prepend,] Replace, and no pre-tokenizer but Gemma's, which finds no space any more.
static enum rt_err check_shape(const json_t *doc, const char *where, bool *prefix)
{
    const json_t *norm = json_object_get(doc, "normalizer"),
                 *list = json_object_get(norm, "normalizers"),
                 *pre = json_object_get(doc, "pre_tokenizer");
    const size_t n = list ? json_array_size(list) : 1;
    const json_t *first = list ? json_array_get(list, 0) : norm,
                 *last = list ? json_array_get(list, n - 1) : norm;
    const bool split = says(pre, "type", "Split") &&
                       says(json_object_get(pre, "pattern"), "String", " ") &&
                       says(pre, "behavior", "MergedWithPrevious");

    *prefix = n == 2 && says(first, "type", "Prepend") && says(first, "prepend", SPACE);
    if (n < 1 || n > 2 || (n == 2 && !*prefix) || !is_replace(last) ||
        !(split || !pre || json_is_null(pre)))
        return rt_fail(RT_E_UNSUPPORTED,
                       "%s: normalizer and pre_tokenizer are not those of a SentencePiece "
                       "tokenizer that can be written as GGUF",
                       where);
    return RT_OK;
}

bool txt_spm_takes(const struct txt_tokenizer *tok, uint32_t id)
{
    size_t len;
    const char *name = txt_vocab_name(&tok->vocab, id, &len);
    return name && !(id < tok->added.names.rows && tok->added.by_id[id]) && tok->bpe.unk != id &&
           txt_fallback_byte(name, len) < 0;
}

// Id of the token that a merge, "a b" or ["a", "b"], makes; false: there is none.
static bool made_by(const struct txt_tokenizer *tok, const json_t *merge, struct str *text,
                    enum rt_err *err, uint32_t *id)
{
    const char *whole = json_string_value(merge);
    const char *space = whole && *whole ? strchr(whole + 1, ' ') : NULL;
    const char *left = json_string_value(json_array_get(merge, 0)),
               *right = json_string_value(json_array_get(merge, 1));

    str_clear(text);
    if (space)
        *err = str_printf(text, "%.*s%s", (int) (space - whole), whole, space + 1);
    else if (left && right)
        *err = str_printf(text, "%s%s", left, right);
    return *err == RT_OK && text->len > 0 &&
           txt_table_get(&tok->vocab.ids, text->data, text->len, id);
}

// *made (n) is the token of each merge; the number of rows where there is none.
static enum rt_err read_merges(const struct txt_tokenizer *tok, const json_t *merges,
                               uint32_t *made)
{
    enum rt_err err = RT_OK;
    struct str text = {0};

    for (size_t i = 0; i < json_array_size(merges); i++) {
        if (!made_by(tok, json_array_get(merges, i), &text, &err, &made[i]))
            made[i] = tok->vocab.rows;
        RT_TRY(err);
    }
done:
    str_free(&text);
    return err;
}

// Tokens whose merges stand among each other have one score. Tokens that no merge makes, single
// characters, come behind all others.
static enum rt_err score(const struct txt_tokenizer *tok, const uint32_t *made, size_t n,
                         float *scores)
{
    enum rt_err err = RT_OK;
    const uint32_t rows = tok->vocab.rows;
    size_t end = 0; // of the merges of those with the present score
    uint32_t rank = 0;
    size_t *last =
        calloc((size_t) rows + 1, sizeof(*last)); // place of a token's last merge, plus 1

    RT_REQUIRE(last, RT_E_NOMEM);
    for (size_t i = 0; i < n; i++)
        last[made[i]] = i + 1;
    for (size_t i = 0; i < n; i++) {
        rank += i >= end;
        end = last[made[i]] > end ? last[made[i]] : end;
        if (made[i] < rows)
            scores[made[i]] = -(float) rank;
    }
    for (uint32_t id = 0; id < rows; id++)
        if (last[id] == 0 && txt_spm_takes(tok, id))
            scores[id] = -(float) (rank + 1 + id);
done:
    free(last);
    return err;
}

// Whether scores give the file's merges, one token's in any order.
static enum rt_err check_merges(const struct txt_tokenizer *tok, const float *scores,
                                const uint32_t *made, size_t n, const char *where)
{
    enum rt_err err = RT_OK;
    struct txt_spm_merge *m = NULL;
    size_t k = 0;
    bool *takes = calloc((size_t) tok->vocab.rows + 1, sizeof(*takes));

    RT_REQUIRE(takes, RT_E_NOMEM);
    for (uint32_t id = 0; id < tok->vocab.rows; id++)
        takes[id] = txt_spm_takes(tok, id);
    RT_TRY(txt_spm_merges(&(struct txt_spm_args){&tok->vocab, scores, takes, where}, &m, &k));
    bool same = k == n;
    for (size_t i = 0; same && i < n; i++)
        same = m[i].whole == made[i];
    if (!same)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: model.merges are not those of a SentencePiece model, so llama.cpp, "
                       "which has scores instead, would make other ids",
                       where));
done:
    free(takes);
    free(m);
    return err;
}

enum rt_err txt_spm_scores(const struct txt_tokenizer *tok, const json_t *doc, const char *where,
                           struct txt_spm_scores *out)
{
    enum rt_err err = RT_OK;
    const json_t *merges = json_object_get(json_object_get(doc, "model"), "merges");
    const size_t n = json_array_size(merges);
    struct txt_spm_scores s = {0};
    uint32_t *made = calloc(n + 1, sizeof(*made));

    *out = s;
    RT_REQUIRE(made, RT_E_NOMEM);
    s.at = calloc((size_t) tok->vocab.rows + 1, sizeof(*s.at));
    RT_REQUIRE(s.at, RT_E_NOMEM);
    RT_TRY(check_shape(doc, where, &s.prefix));
    RT_TRY(read_merges(tok, merges, made));
    RT_TRY(score(tok, made, n, s.at));
    RT_TRY(check_merges(tok, s.at, made, n, where));
    *out = s;
    s = (struct txt_spm_scores){0};
done:
    free(made);
    txt_spm_scores_free(&s);
    return err;
}

void txt_spm_scores_free(struct txt_spm_scores *s)
{
    free(s->at);
    *s = (struct txt_spm_scores){0};
}
