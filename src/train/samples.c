#include "src/train/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"

// ---- Reading ----------------------------------------------------------------------------------

// What prompts are made with.
struct maker {
    const struct txt_tokenizer *tok;
    const struct txt_chat *chat;
    int64_t now;
    const char *path;
    size_t line;
};

static enum rt_err encode_messages(const struct maker *m, const json_t *messages,
                                   struct txt_ids *ids)
{
    enum rt_err err = RT_OK;
    struct str text = {0};

    RT_TRY(txt_chat_render(
        m->chat,
        &(struct txt_chat_args){.messages = messages, .add_generation_prompt = true, .now = m->now},
        &text, NULL));
    RT_TRY(txt_encode(m->tok, text.data ? text.data : "", text.len, false, ids));
done:
    str_free(&text);
    return err;
}

// A line of text: a user's turn, or where there is no template the text itself.
static enum rt_err from_text(const struct maker *m, const char *text, size_t len,
                             struct tr_sample_prompt *out)
{
    enum rt_err err = RT_OK;
    struct str shown = {0};
    json_t *messages = NULL;

    RT_TRY(fmt_json_escape(&shown, text, len, false));
    out->shown = shown.data;
    shown = (struct str){0};
    if (!txt_chat_has_template(m->chat)) {
        RT_TRY(txt_encode(m->tok, text, len, true, &out->ids));
        goto done;
    }
    messages = json_pack("[{s:s,s:s%}]", "role", "user", "content", text, len);
    if (!messages)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%zu: the prompt is not UTF-8 text", m->path, m->line));
    RT_TRY(encode_messages(m, messages, &out->ids));
done:
    json_decref(messages);
    str_free(&shown);
    return err;
}

static enum rt_err from_json(const struct maker *m, const char *text, size_t len,
                             struct tr_sample_prompt *out)
{
    enum rt_err err = RT_OK;
    struct str shown = {0};
    struct fmt_jw w = {.out = &shown};
    json_t *row = NULL;

    RT_TRY(fmt_jansson_parse(text, len, m->path, m->line, &row));
    const json_t *prompt = json_object_get(row, "messages");
    prompt = prompt ? prompt : json_object_get(row, "prompt");
    if (!json_is_string(prompt) && !json_is_array(prompt))
        RT_TRY(
            rt_fail(RT_E_FORMAT,
                    "%s:%zu: expected an object with \"messages\", or with \"prompt\", a text or "
                    "messages",
                    m->path, m->line));
    fmt_jw_jansson(&w, prompt);
    RT_TRY(fmt_jw_done(&w));
    out->shown = shown.data;
    shown = (struct str){0};
    if (json_is_string(prompt))
        RT_TRY(txt_encode(m->tok, json_string_value(prompt), json_string_length(prompt), true,
                          &out->ids));
    else
        RT_TRY(encode_messages(m, prompt, &out->ids));
done:
    json_decref(row);
    str_free(&shown);
    return err;
}

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", s[i]))
            return false;
    return true;
}

static enum rt_err add_line(struct maker *m, const char *text, size_t len, struct tr_samples *s)
{
    enum rt_err err = RT_OK;
    struct tr_sample_prompt *p = &s->prompts[s->n];

    m->line++;
    if (len && text[len - 1] == '\r')
        len--;
    if (is_blank(text, len))
        goto done;
    s->n++; // freed with the rest
    if (str_has_suffix(m->path, ".jsonl"))
        RT_TRY(from_json(m, text, len, p));
    else
        RT_TRY(from_text(m, text, len, p));
    if (p->ids.len == 0 || p->ids.len > 1 << 20)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%zu: the prompt has %zu tokens: expected 1 .. %d", m->path,
                       m->line, p->ids.len, 1 << 20));
    s->longest = u32_max(s->longest, (uint32_t) p->ids.len);
done:
    return err;
}

enum rt_err tr_samples_read(const struct tr_config *c, const struct txt_tokenizer *tok,
                            const struct txt_chat *chat, struct tr_samples *out)
{
    enum rt_err err = RT_OK;
    struct tr_samples s = {.max_new_tokens =
                               c->sample_max_new_tokens ? c->sample_max_new_tokens : 64};
    struct maker m = {.tok = tok, .chat = chat, .path = c->sample_prompts};
    struct str text = {0};
    size_t lines = 1;

    *out = (struct tr_samples){0};
    if (!c->sample_prompts)
        goto done;
    RT_TRY(os_clock(&m.now));
    RT_TRY(file_read(m.path, &text));
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    s.prompts = calloc(lines, sizeof(*s.prompts));
    RT_REQUIRE(s.prompts, RT_E_NOMEM);
    for (size_t at = 0; at < text.len;) {
        const char *stop = memchr(text.data + at, '\n', text.len - at);
        const size_t n = stop ? (size_t) (stop - text.data) - at : text.len - at;
        RT_TRY(add_line(&m, text.data + at, n, &s));
        at += n + 1;
    }
    if (s.n == 0)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: there is no prompt in it", m.path));
    *out = s;
    s = (struct tr_samples){0};
done:
    tr_samples_free(&s, NULL);
    str_free(&text);
    return err;
}

void tr_samples_free(struct tr_samples *s, const struct md_model *model)
{
    for (uint32_t i = 0; i < s->n; i++) {
        free(s->prompts[i].shown);
        txt_ids_free(&s->prompts[i].ids);
    }
    free(s->prompts);
    if (model)
        md_cache_destroy(model, &s->cache);
    *s = (struct tr_samples){0};
}

// ---- Running ----------------------------------------------------------------------------------

void tr_samples_limits(const struct tr_samples *s, struct md_model_desc *d)
{
    if (s->n == 0)
        return;
    d->max_tokens = u32_max(d->max_tokens, s->longest);
    d->max_keys = u32_max(d->max_keys, s->longest + s->max_new_tokens);
    d->max_positions = u32_max(d->max_positions, s->longest + s->max_new_tokens);
    d->max_rows = u32_max(d->max_rows, 1);
    d->max_seqs = u32_max(d->max_seqs, 1);
    d->max_segments = u32_max(d->max_segments, 1);
}

enum rt_err tr_samples_open(struct tr_samples *s, const struct md_model *model)
{
    return s->n ? md_cache_create(model, s->longest + s->max_new_tokens, &s->cache) : RT_OK;
}

// What on_token carries.
struct answer {
    const struct txt_tokenizer *tok;
    struct txt_stream stream;
    struct str text;
    enum rt_err err;
};

static bool on_token(void *user, uint32_t id)
{
    struct answer *a = user;
    a->err = txt_stream_push(a->tok, &a->stream, id, &a->text);
    return a->err == RT_OK;
}

static enum rt_err generate(struct tr_samples *s, struct md_model *model,
                            const struct tr_sample_prompt *p, struct answer *a)
{
    enum rt_err err = RT_OK;
    const struct txt_special_token eos = txt_special(a->tok, TXT_EOS);
    uint32_t stop[COUNT_OF(model->arch.eos) + 1], n_stop = model->arch.n_eos;
    struct rng rng;

    memcpy(stop, model->arch.eos, n_stop * sizeof(*stop));
    if (eos.has_id)
        stop[n_stop++] = eos.id;
    rng_seed(&rng, 0); // greedy: it is not asked
    RT_TRY(md_generate(model, md_policy(model),
                       &(struct md_generate_args){.prompt = p->ids.data,
                                                  .n_prompt = (uint32_t) p->ids.len,
                                                  .max_new_tokens = s->max_new_tokens,
                                                  .top_p = 1.0f,
                                                  .stop = stop,
                                                  .n_stop = n_stop,
                                                  .cache = &s->cache,
                                                  .on_token = on_token,
                                                  .user = a},
                       &rng));
    RT_TRY(a->err);
    RT_TRY(txt_stream_end(a->tok, &a->stream, &a->text));
done:
    return err;
}

static enum rt_err write_line(const char *path, uint64_t step, const char *shown,
                              const struct str *text)
{
    enum rt_err err = RT_OK;
    struct str s = {0};

    RT_TRY(str_printf(&s, "{\"step\": %llu, \"prompt\": ", (unsigned long long) step));
    RT_TRY(str_puts(&s, shown));
    RT_TRY(str_puts(&s, ", \"answer\": "));
    RT_TRY(fmt_json_escape(&s, text->data ? text->data : "", text->len, false));
    RT_TRY(str_puts(&s, "}\n"));
    RT_TRY(file_append(path, s.data, s.len));
    s.data[s.len - 2] = 0; // the log shows the same, less its braces
    log_info("sample after step %llu: %.200s%s", (unsigned long long) step,
             strstr(s.data, "\"prompt\""), strlen(strstr(s.data, "\"prompt\"")) > 200 ? "..." : "");
done:
    str_free(&s);
    return err;
}

enum rt_err tr_samples_run(struct tr_samples *s, struct md_model *model,
                           const struct txt_tokenizer *tok, uint64_t step, const char *path)
{
    enum rt_err err = RT_OK;
    struct answer a = {0};

    for (uint32_t i = 0; i < s->n; i++) {
        a = (struct answer){.tok = tok, .stream = {.skip_special = true}};
        RT_TRY(generate(s, model, &s->prompts[i], &a));
        RT_TRY(write_line(path, step, s->prompts[i].shown, &a.text));
        str_free(&a.text);
        txt_stream_free(&a.stream);
    }
done:
    str_free(&a.text);
    txt_stream_free(&a.stream);
    return err;
}

enum rt_err tr_samples_rewind(const char *path, uint64_t step)
{
    enum rt_err err = RT_OK;
    struct str text = {0}, kept = {0};

    if (!file_exists(path))
        goto done;
    if (step)
        RT_TRY(file_read(path, &text));
    for (size_t at = 0; at < text.len;) {
        const char *stop = memchr(text.data + at, '\n', text.len - at);
        const size_t n = stop ? (size_t) (stop - text.data) - at + 1 : text.len - at;
        unsigned long long then;
        if (stop && sscanf(text.data + at, "{\"step\": %llu", &then) == 1 && then <= step)
            RT_TRY(str_append(&kept, text.data + at, n));
        at += n;
    }
    RT_TRY(file_write(path, kept.data ? kept.data : "", kept.len));
done:
    str_free(&text);
    str_free(&kept);
    return err;
}
