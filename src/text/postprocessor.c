#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/text/tokenizer_parts.h"

// A post-processor is a row of ids with a place for the text. In a sequence only one may add any:
// the library would hand the next one's `pair` template the parts of the first.
static enum rt_err use(struct txt_tokenizer *tok, const struct txt_node *at,
                       const struct txt_ids *row)
{
    enum rt_err err = RT_OK;
    struct txt_ids *items = &tok->post.items;

    if (items->len != 1)
        RT_TRY(txt_node_fail(at, RT_E_UNSUPPORTED, "a second processor that adds tokens"));
    if (row->len > 1024)
        RT_TRY(txt_node_fail(at, RT_E_UNSUPPORTED, "adds more than 1024 tokens"));
    txt_ids_clear(items);
    RT_TRY(txt_ids_append(items, row->data, row->len));
done:
    return err;
}

static enum rt_err read_byte_level(struct txt_tokenizer *tok, const struct txt_node *at)
{
    (void) tok, (void) at; // only offsets change
    return RT_OK;
}

// Append the ids of a special token of a template.
static enum rt_err special_ids(const struct txt_node *at, const struct txt_node *piece,
                               struct txt_ids *row)
{
    enum rt_err err = RT_OK;
    struct txt_node all, one, ids;
    const char *name;
    size_t len, n;

    RT_TRY(txt_node_text(piece, "id", &name, &len));
    RT_TRY(txt_node_get(at, "special_tokens", &all));
    RT_TRY(txt_node_get(&all, name, &one));
    if (!one.v)
        RT_TRY(
            txt_node_fail(&all, RT_E_FORMAT, "no token \"%.100s\", which the template uses", name));
    RT_TRY(txt_node_array(&one, "ids", &ids, &n));
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(ids.v, i);
        uint32_t id = 0;
        if (!json_is_integer(v) || json_integer_value(v) < 0 ||
            json_integer_value(v) >= TXT_ID_LIMIT)
            RT_TRY(txt_node_fail(&ids, RT_E_FORMAT, "ids below 2^28 were expected"));
        id = (uint32_t) json_integer_value(v);
        RT_TRY(txt_ids_append(row, &id, 1));
    }
done:
    return err;
}

static enum rt_err read_template(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_ids row = {0};
    struct txt_node list, item, piece;
    const uint32_t text = TXT_POST_TEXT;
    const char *name;
    size_t n, len;

    RT_TRY(txt_node_array(at, "single", &list, &n));
    for (size_t i = 0; i < n; i++) {
        RT_TRY(txt_node_at(&list, i, &item));
        RT_TRY(txt_node_get(&item, "SpecialToken", &piece));
        if (piece.v) {
            RT_TRY(special_ids(at, &piece, &row));
            continue;
        }
        RT_TRY(txt_node_get(&item, "Sequence", &piece));
        RT_TRY(txt_node_text(&piece, "id", &name, &len));
        if (strcmp(name, "A") != 0)
            RT_TRY(txt_node_fail(&piece, RT_E_FORMAT,
                                 "a template for one text has a sequence \"%.20s\"", name));
        RT_TRY(txt_ids_append(&row, &text, 1));
    }
    RT_TRY(use(tok, at, &row));
done:
    txt_ids_free(&row);
    return err;
}

// ["name", id]
static enum rt_err pair_id(const struct txt_node *at, const char *key, uint32_t *id)
{
    enum rt_err err = RT_OK;
    struct txt_node pair;
    size_t n;
    const json_t *v;

    *id = 0;
    RT_TRY(txt_node_array(at, key, &pair, &n));
    v = json_array_get(pair.v, 1);
    if (n != 2 || !json_is_integer(v) || json_integer_value(v) < 0 ||
        json_integer_value(v) >= TXT_ID_LIMIT)
        RT_TRY(txt_node_fail(&pair, RT_E_FORMAT, "a name and an id below 2^28 were expected"));
    *id = (uint32_t) json_integer_value(v);
done:
    return err;
}

static enum rt_err read_bert(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    uint32_t row[3] = {0, TXT_POST_TEXT, 0};

    RT_TRY(pair_id(at, "cls", &row[0]));
    RT_TRY(pair_id(at, "sep", &row[2]));
    RT_TRY(use(tok, at, &(struct txt_ids){row, COUNT_OF(row), COUNT_OF(row)}));
done:
    return err;
}

static enum rt_err read_sequence(struct txt_tokenizer *tok, const struct txt_node *at);
static const struct txt_kind KINDS[] = {
    {"Sequence", read_sequence},           {"ByteLevel", read_byte_level},
    {"TemplateProcessing", read_template}, {"RobertaProcessing", read_bert},
    {"BertProcessing", read_bert},
};
static enum rt_err read_sequence(struct txt_tokenizer *tok, const struct txt_node *at)
{
    return txt_read_each(tok, at, "processors", KINDS, COUNT_OF(KINDS));
}

enum rt_err txt_post_read(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    const uint32_t text = TXT_POST_TEXT;

    RT_TRY(txt_ids_append(&tok->post.items, &text, 1));
    if (at->v)
        RT_TRY(txt_read_kind(tok, at, KINDS, COUNT_OF(KINDS)));
done:
    return err;
}
