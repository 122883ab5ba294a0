#include "src/api/generate.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/api/adapter.h"
#include "src/base/file.h"
#include "src/model/generate.h"
#include "src/op/open.h"
#include "src/op/self_check.h"
#include "src/text/open.h"

struct api_generator {
    struct rt_dev *dev;
    struct txt_tokenizer *tok;
    struct txt_chat *chat;
    struct md_model *model;
    uint32_t max_tokens;
};

enum rt_err api_generator_open(const struct api_generator_desc *d, struct api_generator **out)
{
    enum rt_err err = RT_OK;
    struct api_generator *g = calloc(1, sizeof(*g));
    struct api_adapted from = {0};

    *out = NULL;
    if (!g)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: generator"));
    g->max_tokens = d->max_tokens;
    RT_TRY(api_adapted_open(d->folder, d->adapter, &from));
    RT_TRY(txt_tokenizer_open_any(from.tokenizer, &g->tok));
    RT_TRY(txt_chat_open_any(from.tokenizer, &g->chat));
    RT_TRY(op_dev_open(&(struct op_device){.device = d->device,
                                           .disable = d->disable,
                                           .clamp = d->clamp,
                                           .cache_dir = d->cache_dir},
                       &g->dev));
    RT_TRY(op_self_check(g->dev, d->storage));
    RT_TRY(md_model_open(g->dev,
                         &(struct md_model_desc){.folder = from.model,
                                                 .peft = from.adapter ? &from.peft : NULL,
                                                 .adapter = from.adapter,
                                                 .storage = d->storage,
                                                 .max_tokens = d->max_tokens,
                                                 .max_segments = 1,
                                                 .max_rows = 1,
                                                 .max_seqs = 1,
                                                 .max_positions = d->max_tokens,
                                                 .max_keys = d->max_tokens},
                         &g->model));
    *out = g;
    g = NULL;
done:
    api_adapted_close(&from);
    api_generator_close(&g);
    return err;
}

void api_generator_close(struct api_generator **generator)
{
    struct api_generator *g = *generator;
    if (!g)
        return;
    md_model_close(&g->model);
    rt_dev_close(&g->dev);
    txt_chat_close(&g->chat);
    txt_tokenizer_close(&g->tok);
    free(g);
    *generator = NULL;
}

static enum rt_err encode_chat(const struct api_generator *g, const struct api_generate_args *a,
                               struct txt_ids *ids)
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    json_t *messages = json_array();
    int64_t now;

    RT_TRY(os_clock(&now));
    if (!txt_chat_has_template(g->chat))
        RT_TRY(rt_fail(
            RT_E_FORMAT,
            "the model folder has no chat template; give --raw to continue the text as it is"));
    if (a->system)
        json_array_append_new(messages,
                              json_pack("{s:s,s:s}", "role", "system", "content", a->system));
    json_array_append_new(
        messages, json_pack("{s:s,s:s%}", "role", "user", "content", a->prompt, a->prompt_len));
    if (!messages || json_array_size(messages) != (a->system ? 2u : 1u))
        RT_TRY(rt_fail(RT_E_FORMAT, "the prompt is not UTF-8 text"));
    RT_TRY(txt_chat_render(
        g->chat,
        &(struct txt_chat_args){.messages = messages, .add_generation_prompt = true, .now = now},
        &text, NULL));
    RT_TRY(txt_encode(g->tok, text.data ? text.data : "", text.len, false, ids));
done:
    json_decref(messages);
    str_free(&text);
    return err;
}

// What on_token carries.
struct stream {
    const struct api_generator *g;
    const struct api_generate_args *a;
    struct txt_stream text;
    struct str *out;
    enum rt_err err;
};

static void hand_out(struct stream *s, size_t from)
{
    if (s->a->on_text && s->out->len > from)
        s->a->on_text(s->a->user, s->out->data + from, s->out->len - from);
}

static bool on_token(void *user, uint32_t id)
{
    struct stream *s = user;
    const size_t from = s->out->len;
    s->err = txt_stream_push(s->g->tok, &s->text, id, s->out);
    hand_out(s, from);
    return s->err == RT_OK;
}

enum rt_err api_generate(struct api_generator *g, const struct api_generate_args *a,
                         struct str *out)
{
    enum rt_err err = RT_OK;
    struct txt_ids ids = {0};
    struct stream s = {.g = g, .a = a, .out = out, .text = {.skip_special = true}};
    struct rng rng;
    uint32_t stop[5], n_stop = g->model->arch.n_eos;
    const struct txt_special_token eos = txt_special(g->tok, TXT_EOS);

    memcpy(stop, g->model->arch.eos, n_stop * sizeof(*stop));
    if (eos.has_id)
        stop[n_stop++] = eos.id;
    if (a->chat)
        RT_TRY(encode_chat(g, a, &ids));
    else
        RT_TRY(txt_encode(g->tok, a->prompt, a->prompt_len, true, &ids));
    if (ids.len == 0 || ids.len >= g->max_tokens)
        RT_TRY(rt_fail(RT_E_ARG, "the prompt has %zu tokens: expected 1 .. %u", ids.len,
                       g->max_tokens - 1));
    rng_seed(&rng, a->seed);
    RT_TRY(md_generate(
        g->model, md_policy(g->model),
        &(struct md_generate_args){
            .prompt = ids.data,
            .n_prompt = (uint32_t) ids.len,
            .max_new_tokens = u32_min(a->max_new_tokens, g->max_tokens - (uint32_t) ids.len),
            .temperature = a->temperature,
            .top_k = a->top_k,
            .top_p = a->top_p,
            .stop = stop,
            .n_stop = n_stop,
            .on_token = on_token,
            .user = &s},
        &rng));
    RT_TRY(s.err);
    const size_t from = out->len;
    RT_TRY(txt_stream_end(g->tok, &s.text, out));
    hand_out(&s, from);
done:
    txt_ids_free(&ids);
    txt_stream_free(&s.text);
    return err;
}
