#include "src/data/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/data/row.h"
#include "src/format/json.h"

// What one read carries along; scratch is reused from row to row.
struct reader {
    const struct ds_read_args *args;
    struct ds_set *set;
    struct str text, where;
    struct txt_ids prompt, chosen, rejected;
};

// ---- One row to tokens ------------------------------------------------------------------------

static enum rt_err render(struct reader *r, const struct ds_row *row, const json_t *more,
                          struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    json_t *messages = json_array();

    if (!messages || json_array_extend(messages, row->prompt) != 0 ||
        (more && json_array_extend(messages, (json_t *) (uintptr_t) more) != 0))
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: a conversation"));
    str_clear(&r->text);
    txt_ids_clear(out);
    err = txt_chat_render(r->args->chat,
                          &(struct txt_chat_args){.messages = messages,
                                                  .tools = row->tools,
                                                  .kwargs = row->kwargs,
                                                  .add_generation_prompt = !more,
                                                  .now = r->args->now},
                          &r->text, NULL);
    if (err != RT_OK)
        RT_TRY(rt_fail(err, "%s: the chat template cannot render this row", r->where.data));
    RT_TRY(txt_encode(r->args->tok, r->text.data ? r->text.data : "", r->text.len, false, out));
done:
    json_decref(messages);
    return err;
}

static enum rt_err conversation(struct reader *r, const struct ds_row *row)
{
    enum rt_err err = RT_OK;
    if (!r->args->chat || !txt_chat_has_template(r->args->chat))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: messages need a chat template, and the model folder has none",
                       r->where.data));
    RT_TRY(render(r, row, NULL, &r->prompt));
    RT_TRY(render(r, row, row->chosen, &r->chosen));
    RT_TRY(render(r, row, row->rejected, &r->rejected));
done:
    return err;
}

// prompt + completion + eos, unless the completion ends with it.
static enum rt_err plain_text(struct reader *r, const json_t *prompt, const json_t *more,
                              struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    const struct txt_special_token eos = txt_special(r->args->tok, TXT_EOS);

    str_clear(&r->text);
    txt_ids_clear(out);
    RT_TRY(str_append(&r->text, json_string_value(prompt), json_string_length(prompt)));
    if (more) {
        const char *s = json_string_value(more);
        const size_t n = json_string_length(more);
        if (!eos.text)
            RT_TRY(rt_fail(RT_E_FORMAT,
                           "%s: plain text ends with the eos token, and the tokenizer names none",
                           r->where.data));
        RT_TRY(str_append(&r->text, s, n));
        if (n < eos.len || memcmp(s + n - eos.len, eos.text, eos.len) != 0)
            RT_TRY(str_append(&r->text, eos.text, eos.len));
    }
    RT_TRY(txt_encode(r->args->tok, r->text.data ? r->text.data : "", r->text.len, true, out));
done:
    return err;
}

static enum rt_err plain(struct reader *r, const struct ds_row *row)
{
    enum rt_err err = RT_OK;
    RT_TRY(plain_text(r, row->prompt, NULL, &r->prompt));
    RT_TRY(plain_text(r, row->prompt, row->chosen, &r->chosen));
    RT_TRY(plain_text(r, row->prompt, row->rejected, &r->rejected));
done:
    return err;
}

static uint32_t common(const struct txt_ids *a, const struct txt_ids *b)
{
    size_t i = 0;
    while (i < a->len && i < b->len && a->data[i] == b->data[i])
        i++;
    return (uint32_t) i;
}

static enum rt_err keep_dropped(struct ds_set *set, uint32_t row)
{
    if (set->n_dropped == set->cap_dropped) {
        const uint32_t cap = set->cap_dropped ? 2 * set->cap_dropped : 64;
        uint32_t *p = realloc(set->dropped, cap * sizeof(*p));
        if (!p)
            return rt_fail(RT_E_NOMEM, "out of memory: list of dropped rows");
        set->dropped = p;
        set->cap_dropped = cap;
    }
    set->dropped[set->n_dropped++] = row;
    return RT_OK;
}

static enum rt_err keep_pair(struct ds_set *set, struct ds_pair pair)
{
    if (set->n == set->cap) {
        const uint32_t cap = set->cap ? 2 * set->cap : 256;
        struct ds_pair *p = realloc(set->pairs, cap * sizeof(*p));
        if (!p)
            return rt_fail(RT_E_NOMEM, "out of memory: list of pairs");
        set->pairs = p;
        set->cap = cap;
    }
    set->pairs[set->n++] = pair;
    return RT_OK;
}

// The completions begin where the prompt's tokens end being a prefix of both sequences.
static enum rt_err add_tokens(struct reader *r, uint32_t row)
{
    enum rt_err err = RT_OK;
    struct ds_set *set = r->set;
    const uint32_t n = u32_min(common(&r->prompt, &r->chosen), common(&r->prompt, &r->rejected));
    const struct ds_pair pair = {row,
                                 set->ids.len,
                                 n,
                                 (uint32_t) (r->chosen.len - n),
                                 (uint32_t) (r->rejected.len - n),
                                 (uint32_t) (r->prompt.len - n)};

    if (n < r->prompt.len && r->args->strict)
        RT_TRY(rt_fail(
            RT_E_FORMAT,
            "%s: the prompt's tokens are not a prefix of prompt + completion: %zu tokens, %u "
            "shared (strict)",
            r->where.data, r->prompt.len, n));
    set->n_cut += n < r->prompt.len;
    if (set->max_length && set->truncation == DS_KEEP_START && n >= set->max_length) {
        RT_TRY(keep_dropped(set, row));
        goto done;
    }
    set->n_truncated +=
        set->max_length && n + u32_max(pair.chosen, pair.rejected) > set->max_length;
    RT_TRY(txt_ids_append(&set->ids, r->prompt.data, n));
    RT_TRY(txt_ids_append(&set->ids, r->chosen.data + n, pair.chosen));
    RT_TRY(txt_ids_append(&set->ids, r->rejected.data + n, pair.rejected));
    RT_TRY(keep_pair(set, pair));
done:
    return err;
}

static enum rt_err add_row(struct reader *r, const json_t *object, uint32_t line)
{
    enum rt_err err = RT_OK;
    struct ds_row row = {0};

    str_clear(&r->where);
    RT_TRY(str_printf(&r->where, "%s:%u", r->args->path, line));
    RT_TRY(ds_row_make(object, r->where.data, &row));
    RT_TRY(row.conversational ? conversation(r, &row) : plain(r, &row));
    RT_TRY(add_tokens(r, r->set->n_read));
    r->set->n_read++;
done:
    ds_row_free(&row);
    return err;
}

// ---- Files ------------------------------------------------------------------------------------

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r')
            return false;
    return true;
}

static enum rt_err read_lines(struct reader *r, const char *text, size_t size)
{
    enum rt_err err = RT_OK;
    json_t *object = NULL;
    uint32_t line = 0;

    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t n = end ? (size_t) (end - text) - at : size - at;
        line++;
        if (!is_blank(text + at, n)) {
            RT_TRY(fmt_jansson_parse(text + at, n, r->args->path, line, &object));
            RT_TRY(add_row(r, object, line));
            json_decref(object);
            object = NULL;
        }
        at += n + 1;
    }
done:
    json_decref(object);
    return err;
}

static enum rt_err read_array(struct reader *r, const char *text, size_t size)
{
    enum rt_err err = RT_OK;
    json_t *all = NULL, *object;
    size_t i;

    RT_TRY(fmt_jansson_parse(text, size, r->args->path, 1, &all));
    if (!json_is_array(all))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected an array of rows", r->args->path));
    json_array_foreach(all, i, object) RT_TRY(add_row(r, object, (uint32_t) i + 1));
done:
    json_decref(all);
    return err;
}

enum rt_err ds_read(const struct ds_read_args *args, struct ds_set *out)
{
    enum rt_err err = RT_OK;
    struct ds_set set = {.max_length = args->max_length, .truncation = args->truncation};
    struct reader r = {.args = args, .set = &set};
    struct file_map map = {0};

    *out = (struct ds_set){0};
    RT_TRY(file_map_open(args->path, &map));
    if (str_has_suffix(args->path, ".json"))
        RT_TRY(read_array(&r, (const char *) map.data, map.size));
    else
        RT_TRY(read_lines(&r, (const char *) map.data, map.size));
    if (set.n_read == 0)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected preference rows, found none", args->path));
    if (set.n == 0)
        RT_TRY(
            rt_fail(RT_E_FORMAT,
                    "%s: none of %u rows is left: every prompt has max_length = %u tokens or more",
                    args->path, set.n_read, args->max_length));
    *out = set;
    set = (struct ds_set){0};
done:
    file_map_close(&map);
    ds_set_free(&set);
    txt_ids_free(&r.prompt);
    txt_ids_free(&r.chosen);
    txt_ids_free(&r.rejected);
    str_free(&r.text);
    str_free(&r.where);
    return err;
}

void ds_set_free(struct ds_set *set)
{
    txt_ids_free(&set->ids);
    free(set->pairs);
    free(set->dropped);
    *set = (struct ds_set){0};
}

struct ds_sequence ds_sequence_of(const struct ds_set *set, uint32_t pair, bool chosen)
{
    const struct ds_pair *p = &set->pairs[pair];
    const uint32_t *ids = set->ids.data + p->first, full = chosen ? p->chosen : p->rejected;
    struct ds_sequence s = {ids, ids + p->prompt + (chosen ? 0 : p->chosen), p->prompt, full};
    const uint32_t over = set->max_length && s.n_prompt + full > set->max_length
                              ? s.n_prompt + full - set->max_length
                              : 0;

    if (set->truncation == DS_KEEP_START) {
        s.n_completion -= u32_min(over, full);
    } else {
        const uint32_t from_prompt = u32_min(over, s.n_prompt);
        s.prompt += from_prompt;
        s.n_prompt -= from_prompt;
        s.completion += over - from_prompt;
        s.n_completion -= over - from_prompt;
    }
    return s;
}
