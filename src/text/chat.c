// Rendering a conversation: which template, what it sees, and continue_final_message.
// Source: transformers 5.23, utils/chat_template_utils.py.
#include <string.h>

#include "src/text/chat_internal.h"
#include "src/text/jinja_internal.h"

// Put behind the last message's content to find its end in the rendered text.
static const char TAG[] = "CONTINUE_FINAL_MESSAGE_TAG ";
enum { TAG_LEN = sizeof(TAG) - 1 };

struct render {
    const struct txt_chat *chat;
    const struct txt_chat_args *args;
    const struct chat_template *t;
    struct str final; // continue_final_message: what the last message said, stripped
    struct str reason;
};

// Keep the reason for txt_chat_render to report, and return the code.
static enum rt_err refuse(struct render *r, enum rt_err code, const char *text)
{
    return str_puts(&r->reason, text) == RT_OK ? code : RT_E_NOMEM;
}

static enum rt_err choose_template(struct render *r)
{
    const json_t *tools = r->args->tools;
    const struct txt_chat *chat = r->chat;

    for (size_t i = 0; i < chat->n; i++)
        if (strcmp(chat->t[i].name, "default") == 0)
            r->t = &chat->t[i];
    for (size_t i = 0; i < chat->n && chat->several && tools && !json_is_null(tools); i++)
        if (strcmp(chat->t[i].name, "tool_use") == 0)
            r->t = &chat->t[i];
    if (chat->n == 0)
        return refuse(r, RT_E_NOT_FOUND, "the model folder has no chat template");
    if (!r->t)
        return refuse(r, RT_E_NOT_FOUND,
                      "the model has several chat templates, but none is named \"default\"");
    if (r->t->err != RT_OK)
        return refuse(r, r->t->err, r->t->reason.data);
    return RT_OK;
}

static bool is_array_of_objects(const json_t *a)
{
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!json_is_object(json_array_get(a, i)))
            return false;
    return json_is_array(a);
}

static enum rt_err check_args(struct render *r)
{
    const struct txt_chat_args *a = r->args;
    if (!is_array_of_objects(a->messages) || json_array_size(a->messages) == 0)
        return refuse(r, RT_E_FORMAT, "messages must be a list of at least one object");
    if (a->tools && !json_is_null(a->tools) && !is_array_of_objects(a->tools))
        return refuse(r, RT_E_FORMAT, "tools must be a list of objects");
    if (a->documents && !json_is_null(a->documents) && !is_array_of_objects(a->documents))
        return refuse(r, RT_E_FORMAT, "documents must be a list of objects");
    if (a->kwargs && !json_is_null(a->kwargs) && !json_is_object(a->kwargs))
        return refuse(r, RT_E_FORMAT, "template variables must be an object");
    if (a->continue_final_message && a->add_generation_prompt)
        return refuse(r, RT_E_ARG,
                      "continue_final_message and add_generation_prompt are not compatible");
    return RT_OK;
}

// ---- what the template sees ---------------------------------------------------------------------

static const json_t *reasoning_of(const json_t *message)
{
    static const char *const NAMES[] = {"reasoning_content", "thinking", "reasoning"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        const json_t *v = json_object_get(message, NAMES[i]);
        if (v && !json_is_null(v))
            return v;
    }
    return NULL;
}

static void set_member(struct jc *c, struct jdict *d, const char *name, struct jv v)
{
    jdict_set(c, d, jv_str(jstr_share(c, name, strlen(name))), v);
}

static struct jdict *message_dict(struct jc *c, const json_t *m)
{
    json_t *object = (json_t *) (uintptr_t) m; // jansson iterates without const
    struct jdict *d = jdict_new(c, json_object_size(m) + 2);
    const json_t *reasoning = reasoning_of(m);

    if (reasoning)
        set_member(c, d, "thinking", jv_from_json(c, reasoning));
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        const json_t *v = json_object_iter_value(it);
        if (!json_is_null(v))
            jdict_set(c, d,
                      jv_str(jstr_share(c, json_object_iter_key(it), json_object_iter_key_len(it))),
                      jv_from_json(c, v));
    }
    if (reasoning)
        set_member(c, d, "reasoning_content", jv_from_json(c, reasoning));
    return d;
}

// s with the tag behind it; s itself, stripped, is kept for later.
static struct jv tagged(struct jc *c, struct render *r, struct jv s)
{
    const struct jstr *inner = s.kind == JK_STR ? jstr_strip(c, s.u.s, NULL, true, true) : NULL;

    if (!inner) {
        jc_fail(c, RT_E_FORMAT, "continue_final_message: the final message is no text");
        return s;
    }
    jsb(c, &r->final, inner->p, inner->len);
    return jv_str(jstr_concat(c, s.u.s, jstr_share(c, TAG, TAG_LEN)));
}

// Tag the last block of a list that has a text.
static void tag_blocks(struct jc *c, struct render *r, struct jseq *blocks)
{
    for (size_t i = blocks->n; i-- > 0;) {
        struct jv *block = &blocks->v[i];
        const struct jv *text =
            block->kind == JK_DICT ? jdict_get_text(c, block->u.dict, "text") : NULL;
        if (text) {
            set_member(c, block->u.dict, "text", tagged(c, r, *text));
            return;
        }
    }
    jc_fail(c, RT_E_FORMAT, "continue_final_message: the final message has no text to continue");
}

static void tag_final(struct jc *c, struct render *r, struct jdict *message)
{
    const struct jv *content = jdict_get_text(c, message, "content");

    if (!content)
        jc_fail(c, RT_E_FORMAT, "continue_final_message: the final message has no \"content\"");
    else if (jstr_find(c, r->t->text.data, r->t->text.len, jstr_share(c, "content", 7)) == SIZE_MAX)
        jc_fail(c, RT_E_FORMAT, "continue_final_message: the template does not use \"content\"");
    else if (content->kind == JK_LIST)
        tag_blocks(c, r, content->u.seq);
    else
        set_member(c, message, "content", tagged(c, r, *content));
}

static void set_all(struct jc *c, const json_t *variables)
{
    json_t *object = (json_t *) (uintptr_t) variables;
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it))
        jc_set_var(c, json_object_iter_key(it), jv_from_json(c, json_object_iter_value(it)));
}

static void fill(struct jc *c, void *user)
{
    struct render *r = user;
    const struct txt_chat_args *a = r->args;
    const size_t n = json_array_size(a->messages);
    struct jseq *messages = jseq_new(c, n);

    for (size_t i = 0; i < n && c->err == RT_OK; i++) {
        struct jdict *d = message_dict(c, json_array_get(a->messages, i));
        if (a->continue_final_message && i == n - 1)
            tag_final(c, r, d);
        jseq_push(c, messages, jv_dict(d));
    }
    set_all(c, r->chat->tokens);
    if (a->kwargs && !json_is_null(a->kwargs))
        set_all(c, a->kwargs);
    jc_set_var(c, "messages", jv_seq(JK_LIST, messages));
    jc_set_var(c, "tools", jv_from_json(c, a->tools));
    jc_set_var(c, "documents", jv_from_json(c, a->documents));
    jc_set_var(c, "add_generation_prompt", jv_bool(a->add_generation_prompt));
}

// ---- continue_final_message ---------------------------------------------------------------------

// The last place of `needle` in text; SIZE_MAX: none.
static size_t find_last(const struct str *text, const char *needle, size_t n)
{
    for (size_t i = text->len >= n ? text->len - n + 1 : 0; i-- > 0;)
        if (memcmp(text->data + i, needle, n) == 0)
            return i;
    return SIZE_MAX;
}

static bool contains(const struct str *text, const struct str *needle)
{
    const char *p = text->data, *end = p + text->len;
    while (needle->len && (size_t) (end - p) >= needle->len) {
        p = memchr(p, needle->data[0], (size_t) (end - p) - needle->len + 1);
        if (!p)
            return false;
        if (memcmp(p, needle->data, needle->len) == 0)
            return true;
        p++;
    }
    return needle->len == 0;
}

// Cut the text where the final message ends. If the template stripped the message, so is the text.
static enum rt_err cut_at_tag(struct render *r, struct str *text)
{
    const size_t at = text->len ? find_last(text, TAG, TAG_LEN - 1) : SIZE_MAX;

    if (at == SIZE_MAX || !contains(text, &r->final))
        return refuse(r, RT_E_FORMAT,
                      "continue_final_message is set but the final message does not "
                      "appear in the chat after applying the chat template");
    if (at + TAG_LEN <= text->len && text->data[at + TAG_LEN - 1] == ' ') {
        text->len = at;
        return RT_OK;
    }
    for (text->len = at; text->len > 0;) {
        size_t k = text->len - 1, len;
        while (k > 0 && ((unsigned char) text->data[k] & 0xc0) == 0x80)
            k--;
        if (!jcp_space(jcp_at(text->data + k, &len)))
            break;
        text->len = k;
    }
    return RT_OK;
}

// ---- render -------------------------------------------------------------------------------------

static enum rt_err render(struct render *r, struct str *text)
{
    enum rt_err err = RT_OK;

    RT_TRY(choose_template(r));
    RT_TRY(check_args(r));
    RT_TRY(txt_jinja_render(r->t->parsed,
                            &(struct txt_jinja_args){.fill = fill, .user = r, .now = r->args->now},
                            text, &r->reason));
    if (r->args->continue_final_message)
        RT_TRY(cut_at_tag(r, text));
done:
    return err;
}

enum rt_err txt_chat_render(const struct txt_chat *chat, const struct txt_chat_args *args,
                            struct str *out, struct str *error)
{
    enum rt_err err = RT_OK;
    struct render r = {.chat = chat, .args = args};
    struct str text = {0};

    RT_REQUIRE(chat && args && out, RT_E_ARG);
    err = render(&r, &text);
    if (err != RT_OK) {
        err = rt_fail(err, "chat template: %s", r.reason.data ? r.reason.data : "out of memory");
        if (error && str_append(error, r.reason.data, r.reason.len) != RT_OK)
            err = RT_E_NOMEM;
        goto done;
    }
    RT_TRY(str_append(out, text.data, text.len));
done:
    str_free(&text);
    str_free(&r.final);
    str_free(&r.reason);
    return err;
}
