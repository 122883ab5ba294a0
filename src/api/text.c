#include "src/api/text.h"

#include <errno.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/text/open.h"

static const char IN[] = "standard input"; // the name of `in` in messages

// One run over lines: what `answer` makes of each value goes to `out`.
struct job {
    const struct txt_tokenizer *tok;
    const struct txt_chat *chat;
    const struct api_tokenize_args *tokenize;
    int64_t now;
    size_t line;
    struct txt_ids ids;
    struct str text, out;
};

static bool is_blank(const struct str *line)
{
    return line->len == 0 || strspn(line->data, " \t\r") == line->len;
}

static enum rt_err run_lines(struct job *j, FILE *in, FILE *out,
                             enum rt_err (*answer)(struct job *, const json_t *))
{
    enum rt_err err = RT_OK;
    struct str line = {0};
    json_t *value = NULL;
    bool more = true;

    for (;;) {
        RT_TRY(file_line(in, &line, &more));
        if (!more)
            break;
        j->line++;
        if (is_blank(&line))
            continue;
        RT_TRY(fmt_jansson_parse(line.data, line.len, IN, j->line, &value));
        str_clear(&j->out);
        str_clear(&j->text);
        txt_ids_clear(&j->ids);
        RT_TRY(answer(j, value));
        json_decref(value);
        value = NULL;
        RT_TRY(str_putc(&j->out, '\n'));
        if (fwrite(j->out.data, 1, j->out.len, out) != j->out.len || fflush(out) != 0)
            RT_TRY(rt_fail(RT_E_IO, "standard output cannot be written: %s", strerror(errno)));
    }
done:
    json_decref(value);
    str_free(&line);
    str_free(&j->text);
    str_free(&j->out);
    txt_ids_free(&j->ids);
    return err;
}

// ---- tokenize -----------------------------------------------------------------------------------

static enum rt_err encode(struct job *j, const json_t *v)
{
    enum rt_err err = RT_OK;

    if (!json_is_string(v))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%zu: expected a JSON string", IN, j->line));
    err = txt_encode(j->tok, json_string_value(v), json_string_length(v), !j->tokenize->no_special,
                     &j->ids);
    if (err != RT_OK)
        RT_TRY(rt_fail(err, "%s:%zu: this text cannot be tokenized", IN, j->line));
    RT_TRY(str_putc(&j->out, '['));
    for (size_t i = 0; i < j->ids.len; i++)
        RT_TRY(str_printf(&j->out, i ? ", %u" : "%u", j->ids.data[i]));
    RT_TRY(str_putc(&j->out, ']'));
done:
    return err;
}

static enum rt_err decode(struct job *j, const json_t *v)
{
    enum rt_err err = RT_OK;
    const json_t *item;
    size_t i;

    if (!json_is_array(v))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%zu: expected a JSON list of ids", IN, j->line));
    json_array_foreach(v, i, item)
    {
        const json_int_t id = json_is_integer(item) ? json_integer_value(item) : -1;
        if (id < 0 || id > UINT32_MAX)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s:%zu: item %zu: expected an id of 0 .. 4294967295", IN,
                           j->line, i));
        RT_TRY(txt_ids_append(&j->ids, &(uint32_t){(uint32_t) id}, 1));
    }
    RT_TRY(txt_decode(j->tok, j->ids.data, j->ids.len, j->tokenize->skip_special, &j->text));
    RT_TRY(fmt_json_escape(&j->out, j->text.data ? j->text.data : "", j->text.len, false));
done:
    return err;
}

enum rt_err api_tokenize(const struct api_tokenize_args *args)
{
    enum rt_err err = RT_OK;
    struct txt_tokenizer *tok = NULL;
    struct job j = {.tokenize = args};

    RT_TRY(txt_tokenizer_open_any(args->model, &tok));
    j.tok = tok;
    RT_TRY(run_lines(&j, args->in, args->out, args->decode ? decode : encode));
done:
    txt_tokenizer_close(&tok);
    return err;
}

// ---- chat ---------------------------------------------------------------------------------------

static enum rt_err get_bool(const struct job *j, const json_t *row, const char *key, bool *out)
{
    const json_t *v = json_object_get(row, key);
    if (v && !json_is_null(v) && !json_is_boolean(v))
        return rt_fail(RT_E_FORMAT, "%s:%zu: %s: expected true or false", IN, j->line, key);
    *out = json_is_true(v);
    return RT_OK;
}

static enum rt_err render(struct job *j, const json_t *row)
{
    enum rt_err err = RT_OK;
    struct txt_chat_args a = {.now = j->now};
    struct str error = {0};

    if (!json_is_object(row))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%zu: expected a JSON object with messages", IN, j->line));
    a.messages = json_object_get(row, "messages");
    a.tools = json_object_get(row, "tools");
    a.documents = json_object_get(row, "documents");
    a.kwargs = json_object_get(row, "kwargs");
    if (a.kwargs && !json_is_null(a.kwargs) && !json_is_object(a.kwargs))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%zu: kwargs: expected an object", IN, j->line));
    RT_TRY(get_bool(j, row, "add_generation_prompt", &a.add_generation_prompt));
    RT_TRY(get_bool(j, row, "continue_final_message", &a.continue_final_message));
    err = txt_chat_render(j->chat, &a, &j->text, &error);
    if (err != RT_OK && err != RT_E_NOMEM) { // it was logged, and is this line's answer
        err = RT_OK;
        RT_TRY(str_puts(&j->out, "{\"error\": "));
        RT_TRY(fmt_json_escape(&j->out, error.data ? error.data : "", error.len, false));
        RT_TRY(str_putc(&j->out, '}'));
        goto done;
    }
    RT_TRY(err);
    RT_TRY(fmt_json_escape(&j->out, j->text.data ? j->text.data : "", j->text.len, false));
done:
    str_free(&error);
    return err;
}

enum rt_err api_chat(const struct api_chat_args *args)
{
    enum rt_err err = RT_OK;
    struct txt_chat *chat = NULL;
    struct job j = {0};

    RT_TRY(os_clock(&j.now));
    RT_TRY(args->template_file ? txt_chat_open_file(args->template_file, &chat)
                               : txt_chat_open_any(args->model, &chat));
    j.chat = chat;
    RT_TRY(run_lines(&j, args->in, args->out, render));
done:
    txt_chat_close(&chat);
    return err;
}
