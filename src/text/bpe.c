#include "src/text/tokenizer_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

// ---- pairs ----

static void pair_put(struct txt_bpe *b, uint32_t left, uint32_t right, uint64_t value)
{
    const uint64_t key = (uint64_t) left << 32 | right;
    size_t i = txt_pair_slot(key, b->cap);
    while (b->pairs[i].value != TXT_NO_PAIR && b->pairs[i].key != key)
        i = (i + 1) & (b->cap - 1);
    b->pairs[i] = (struct txt_pair){key, value}; // of equal pairs the last one counts
}

// ---- reading ----

static enum rt_err merge_sides(const struct txt_node *list, size_t i, const char *side[2],
                               size_t len[2])
{
    enum rt_err err = RT_OK;
    const json_t *v = json_array_get(list->v, i);
    const char *space;

    if (json_is_string(v)) {
        const size_t n = json_string_length(v);
        side[0] = json_string_value(v);
        space = memchr(side[0], ' ', n);
        if (!space || memchr(space + 1, ' ', n - (size_t) (space + 1 - side[0])))
            RT_TRY(rt_fail(
                RT_E_FORMAT,
                "tokenizer.json: %s[%zu]: \"%.100s\" is not two tokens with a space between",
                list->path, i, side[0]));
        len[0] = (size_t) (space - side[0]);
        side[1] = space + 1;
        len[1] = n - len[0] - 1;
        goto done;
    }
    if (!json_is_array(v) || json_array_size(v) != 2 || !json_is_string(json_array_get(v, 0)) ||
        !json_is_string(json_array_get(v, 1)))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "tokenizer.json: %s[%zu]: a string or a pair of strings was expected",
                       list->path, i));
    for (size_t k = 0; k < 2; k++) {
        side[k] = json_string_value(json_array_get(v, k));
        len[k] = json_string_length(json_array_get(v, k));
    }
done:
    return err;
}

static enum rt_err find_token(const struct txt_tokenizer *tok, const struct txt_node *list,
                              size_t i, const char *name, size_t len, uint32_t *id)
{
    if (txt_table_get(&tok->vocab.ids, name, len, id))
        return RT_OK;
    return rt_fail(RT_E_FORMAT,
                   "tokenizer.json: %s[%zu]: the token \"%.*s\" is not in the vocabulary",
                   list->path, i, (int) (len > 100 ? 100 : len), name);
}

static enum rt_err read_merges(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_bpe *b = &tok->bpe;
    struct txt_node list;
    struct str whole = {0};
    size_t n;
    uint32_t id[3], rank = 0;

    RT_TRY(txt_node_array(at, "merges", &list, &n));
    if (n > TXT_ID_LIMIT)
        RT_TRY(txt_node_fail(&list, RT_E_UNSUPPORTED, "%zu merges", n));
    for (b->cap = 16; b->cap < 2 * n; b->cap *= 2)
        ;
    b->pairs = malloc(b->cap * sizeof(*b->pairs));
    RT_REQUIRE(b->pairs, RT_E_NOMEM);
    memset(b->pairs, 0xff, b->cap * sizeof(*b->pairs));
    for (size_t i = 0; i < n; i++) {
        const char *side[2];
        size_t len[2];
        const json_t *v = json_array_get(list.v, i);
        if (json_is_string(v) && strncmp(json_string_value(v), "#version", 8) == 0)
            continue; // the first line of old merges.txt files
        RT_TRY(merge_sides(&list, i, side, len));
        str_clear(&whole);
        for (size_t k = 0; k < 2; k++) {
            RT_TRY(find_token(tok, &list, i, side[k], len[k], &id[k]));
            RT_TRY(str_append(&whole, side[k], len[k]));
        }
        RT_TRY(find_token(tok, &list, i, whole.data, whole.len, &id[2]));
        pair_put(b, id[0], id[1], (uint64_t) rank++ << 32 | id[2]);
    }
done:
    str_free(&whole);
    return err;
}

// A key as it is in the file: with U+0000 where its stand-in is.
static enum rt_err key_text(const struct txt_tokenizer *tok, const char *key, struct str *out)
{
    enum rt_err err = RT_OK;

    str_clear(out);
    while (*key) {
        uint32_t c;
        const size_t n = txt_utf8_get(key, &c);
        if (c == tok->nul_key)
            RT_TRY(str_putc(out, 0));
        else
            RT_TRY(str_append(out, key, n));
        key += n;
    }
done:
    return err;
}

static enum rt_err read_vocab(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_node map;
    struct str text = {0};
    const char *name;
    json_t *v;
    size_t n;

    RT_TRY(txt_node_get(at, "vocab", &map));
    if (!json_is_object(map.v))
        RT_TRY(txt_node_fail(&map, RT_E_FORMAT, "%s; an object was expected",
                             map.v ? "is of another type" : "is missing"));
    n = json_object_size(map.v);
    RT_TRY(txt_table_reserve(&tok->vocab.ids, n));
    json_object_foreach((json_t *) (uintptr_t) map.v, name, v)
    {
        const json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= TXT_ID_LIMIT)
            RT_TRY(txt_node_fail(&map, RT_E_FORMAT, "the token \"%.100s\" has no id below 2^28",
                                 name));
        if (tok->nul_key) {
            RT_TRY(key_text(tok, name, &text));
            RT_TRY(txt_vocab_add(&tok->vocab, text.data, text.len, (uint32_t) id, n));
        } else {
            RT_TRY(txt_vocab_add(&tok->vocab, name, strlen(name), (uint32_t) id, n));
        }
    }
done:
    str_free(&text);
    return err;
}

void txt_fallback_ids(const struct txt_vocab *v, int64_t fallback[256])
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        uint32_t id;
        snprintf(name, sizeof(name), "<0x%02X>", byte);
        fallback[byte] = txt_table_get(&v->ids, name, 6, &id) ? (int64_t) id : -1;
    }
}

static void byte_ids(struct txt_tokenizer *tok)
{
    struct txt_bpe *b = &tok->bpe;

    b->all_bytes = true;
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[TXT_UTF8_MAX];
        uint32_t id;
        const size_t n = txt_utf8_put(name, txt_byte_char((uint8_t) byte));
        b->bytes[byte] = txt_table_get(&tok->vocab.ids, name, n, &id) ? (int64_t) id : -1;
        b->all_bytes = b->all_bytes && b->bytes[byte] >= 0;
    }
}

// Options that would make other ids, and that no supported model sets.
static enum rt_err refuse_options(const struct txt_node *at)
{
    static const char *const TEXTS[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    enum rt_err err = RT_OK;
    struct txt_node v;

    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        RT_TRY(txt_node_get(at, TEXTS[i], &v));
        if (v.v && !(json_is_string(v.v) && json_string_length(v.v) == 0))
            RT_TRY(txt_node_fail(&v, RT_E_UNSUPPORTED, "is not supported"));
    }
    RT_TRY(txt_node_get(at, "dropout", &v));
    if (v.v && !(json_is_number(v.v) && json_number_value(v.v) == 0.0))
        RT_TRY(txt_node_fail(&v, RT_E_UNSUPPORTED, "is not supported"));
done:
    return err;
}

enum rt_err txt_bpe_read(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_bpe *b = &tok->bpe;
    struct txt_node unk;
    uint32_t id;

    tok->word = txt_bpe_word;
    RT_TRY(refuse_options(at));
    RT_TRY(txt_node_bool_or(at, "ignore_merges", &b->ignore_merges));
    RT_TRY(txt_node_bool_or(at, "byte_fallback", &b->byte_fallback));
    RT_TRY(txt_node_bool_or(at, "fuse_unk", &b->fuse_unk));
    RT_TRY(read_vocab(tok, at));
    RT_TRY(read_merges(tok, at));
    RT_TRY(txt_node_get(at, "unk_token", &unk));
    b->unk = -1;
    if (unk.v) {
        if (!json_is_string(unk.v))
            RT_TRY(txt_node_fail(&unk, RT_E_FORMAT, "a string was expected"));
        b->unk_missing = !txt_table_get(&tok->vocab.ids, json_string_value(unk.v),
                                        json_string_length(unk.v), &id);
        b->unk = b->unk_missing ? -1 : (int64_t) id;
    }
    txt_fallback_ids(&tok->vocab, b->fallback);
    byte_ids(tok);
done:
    return err;
}

// Words of ByteLevel come as bytes: what ignore_merges looks up must be bytes too.
enum rt_err txt_bpe_use_bytes(struct txt_tokenizer *tok)
{
    enum rt_err err = RT_OK;
    struct str raw = {0};

    tok->bytes = true;
    for (uint32_t id = 0; tok->bpe.ignore_merges && id < tok->vocab.rows; id++) {
        size_t len;
        const char *name = txt_vocab_name(&tok->vocab, id, &len);
        if (!name)
            continue;
        str_clear(&raw);
        if (!txt_name_bytes(name, len, &raw, &err))
            continue;
        RT_TRY(err);
        RT_TRY(txt_table_put(&tok->bpe.raw, raw.data, raw.len, id));
    }
done:
    str_free(&raw);
    return err;
}

void txt_bpe_free(struct txt_bpe *b)
{
    free(b->pairs);
    txt_table_free(&b->raw);
    *b = (struct txt_bpe){0};
}
