#include "src/data/encode.h"

#include <string.h>

#include "src/base/arith.h"

static enum rt_err render(struct ds_encoder *e, const struct ds_row *row, const json_t *more,
                          const char *where, struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    json_t *messages = json_array();

    if (!messages || json_array_extend(messages, row->prompt) != 0 ||
        (more && json_array_extend(messages, (json_t *) (uintptr_t) more) != 0))
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: a conversation"));
    str_clear(&e->text);
    txt_ids_clear(out);
    err = txt_chat_render(e->chat,
                          &(struct txt_chat_args){.messages = messages,
                                                  .tools = row->tools,
                                                  .kwargs = row->kwargs,
                                                  .add_generation_prompt = !more,
                                                  .now = e->now},
                          &e->text, NULL);
    if (err != RT_OK)
        RT_TRY(rt_fail(err, "%s: the chat template cannot render this row", where));
    RT_TRY(txt_encode(e->tok, e->text.data ? e->text.data : "", e->text.len, false, out));
done:
    json_decref(messages);
    return err;
}

static enum rt_err conversation(struct ds_encoder *e, const struct ds_row *row, const char *where)
{
    enum rt_err err = RT_OK;
    if (!e->chat || !txt_chat_has_template(e->chat))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: messages need a chat template, and the model folder has none", where));
    RT_TRY(render(e, row, NULL, where, &e->prompt));
    RT_TRY(render(e, row, row->chosen, where, &e->chosen));
    RT_TRY(render(e, row, row->rejected, where, &e->rejected));
done:
    return err;
}

// prompt + completion + eos, unless the completion ends with it.
static enum rt_err plain_text(struct ds_encoder *e, const json_t *prompt, const json_t *more,
                              const char *where, struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    const struct txt_special_token eos = txt_special(e->tok, TXT_EOS);

    str_clear(&e->text);
    txt_ids_clear(out);
    RT_TRY(str_append(&e->text, json_string_value(prompt), json_string_length(prompt)));
    if (more) {
        const char *s = json_string_value(more);
        const size_t n = json_string_length(more);
        if (!eos.text)
            RT_TRY(rt_fail(RT_E_FORMAT,
                           "%s: plain text ends with the eos token, and the tokenizer names none",
                           where));
        RT_TRY(str_append(&e->text, s, n));
        if (n < eos.len || memcmp(s + n - eos.len, eos.text, eos.len) != 0)
            RT_TRY(str_append(&e->text, eos.text, eos.len));
    }
    RT_TRY(txt_encode(e->tok, e->text.data ? e->text.data : "", e->text.len, true, out));
done:
    return err;
}

static enum rt_err plain(struct ds_encoder *e, const struct ds_row *row, const char *where)
{
    enum rt_err err = RT_OK;
    RT_TRY(plain_text(e, row->prompt, NULL, where, &e->prompt));
    RT_TRY(plain_text(e, row->prompt, row->chosen, where, &e->chosen));
    RT_TRY(plain_text(e, row->prompt, row->rejected, where, &e->rejected));
done:
    return err;
}

enum rt_err ds_encode(struct ds_encoder *e, const struct ds_row *row, const char *where)
{
    return row->conversational ? conversation(e, row, where) : plain(e, row, where);
}

void ds_encoder_free(struct ds_encoder *e)
{
    str_free(&e->text);
    txt_ids_free(&e->prompt);
    txt_ids_free(&e->chosen);
    txt_ids_free(&e->rejected);
}

static uint32_t common(const struct txt_ids *a, const struct txt_ids *b)
{
    size_t i = 0;
    while (i < a->len && i < b->len && a->data[i] == b->data[i])
        i++;
    return (uint32_t) i;
}

uint32_t ds_encoded_prompt(const struct ds_encoder *e)
{
    return u32_min(common(&e->prompt, &e->chosen), common(&e->prompt, &e->rejected));
}
