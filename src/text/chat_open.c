// Where a model folder keeps its chat templates and special tokens.
// Source: transformers 5.23, tokenization_utils_base.py.
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"
#include "src/base/hash.h"
#include "src/format/json.h"
#include "src/text/chat_internal.h"

// Add a template, replacing one of the same name. A syntax error is kept for the rendering.
static enum rt_err add_template(struct txt_chat *chat, const char *name, const char *text,
                                size_t len)
{
    enum rt_err err = RT_OK;
    struct chat_template *t = NULL, *grown;

    for (size_t i = 0; i < chat->n && !t; i++)
        t = strcmp(chat->t[i].name, name) == 0 ? &chat->t[i] : NULL;
    if (!t) {
        grown = realloc(chat->t, (chat->n + 1) * sizeof(*grown));
        RT_REQUIRE(grown, RT_E_NOMEM);
        chat->t = grown;
        t = &grown[chat->n];
        *t = (struct chat_template){0};
        RT_TRY(str_dup(name, &t->name));
        chat->n++;
    }
    str_clear(&t->text);
    str_clear(&t->reason);
    txt_jinja_free(&t->parsed);
    RT_TRY(str_append(&t->text, text, len));
    t->err = txt_jinja_parse(text, len, &t->parsed, &t->reason);
done:
    return err;
}

enum rt_err txt_chat_open_text(const char *text, size_t len, const char *where,
                               struct txt_chat **out)
{
    enum rt_err err = RT_OK;
    struct txt_chat *chat = NULL;

    *out = NULL;
    RT_REQUIRE(text && where, RT_E_ARG);
    chat = calloc(1, sizeof(*chat));
    RT_REQUIRE(chat, RT_E_NOMEM);
    chat->tokens = json_object();
    RT_REQUIRE(chat->tokens, RT_E_NOMEM);
    RT_TRY(add_template(chat, "default", text, len));
    if (chat->t[0].err != RT_OK)
        RT_TRY(rt_fail(chat->t[0].err, "%s: chat template: %s", where, chat->t[0].reason.data));
    *out = chat;
    chat = NULL;
done:
    txt_chat_close(&chat);
    return err;
}

void txt_chat_close(struct txt_chat **chat)
{
    struct txt_chat *c = *chat;

    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++) {
        free(c->t[i].name);
        str_free(&c->t[i].text);
        str_free(&c->t[i].reason);
        txt_jinja_free(&c->t[i].parsed);
    }
    free(c->t);
    json_decref(c->tokens);
    free(c);
    *chat = NULL;
}

// ---- templates ----------------------------------------------------------------------------------

// FOLDER/FILE as template `name`, if there is such a file.
static enum rt_err from_file(struct txt_chat *chat, const char *folder, const char *file,
                             const char *name)
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    char *path = NULL;

    RT_TRY(path_join(folder, file, &path));
    if (!file_exists(path))
        goto done;
    RT_TRY(file_read(path, &text));
    RT_TRY(add_template(chat, name, text.data ? text.data : "", text.len));
done:
    free(path);
    str_free(&text);
    return err;
}

// chat_template of the config: a text, or a list of {name, template}.
static enum rt_err from_config(struct txt_chat *chat, const char *path, const cJSON *config)
{
    enum rt_err err = RT_OK;
    const cJSON *node = cJSON_GetObjectItemCaseSensitive(config, "chat_template"), *item;

    if (!node || cJSON_IsNull(node))
        goto done;
    if (cJSON_IsString(node)) {
        RT_TRY(add_template(chat, "default", node->valuestring, strlen(node->valuestring)));
        goto done;
    }
    if (!cJSON_IsArray(node))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: chat_template: expected a string or a list", path));
    chat->several = true;
    cJSON_ArrayForEach(item, node)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(item, "template");
        if (!cJSON_IsString(name) || !cJSON_IsString(text))
            RT_TRY(rt_fail(RT_E_FORMAT,
                           "%s: chat_template: expected objects with a name and a template", path));
        RT_TRY(add_template(chat, name->valuestring, text->valuestring, strlen(text->valuestring)));
    }
done:
    return err;
}

// Files win over the config. Of the additional ones only the two names that are ever chosen count.
static enum rt_err load_templates(struct txt_chat *chat, const char *folder,
                                  const char *config_path, const cJSON *config)
{
    enum rt_err err = RT_OK;

    RT_TRY(from_file(chat, folder, "chat_template.jinja", "default"));
    RT_TRY(from_file(chat, folder, "additional_chat_templates/default.jinja", "default"));
    RT_TRY(from_file(chat, folder, "additional_chat_templates/tool_use.jinja", "tool_use"));
    chat->several = chat->n > 0 && (chat->n > 1 || strcmp(chat->t[0].name, "default") != 0);
    if (chat->n == 0)
        RT_TRY(from_config(chat, config_path, config));
done:
    return err;
}

// ---- special tokens -----------------------------------------------------------------------------

// Set a token from a string or an object with "content"; null takes it away.
static enum rt_err set_token(struct txt_chat *chat, const char *name, const cJSON *v)
{
    const cJSON *text = cJSON_IsObject(v) ? cJSON_GetObjectItemCaseSensitive(v, "content") : v;

    if (cJSON_IsNull(v))
        json_object_del(chat->tokens, name);
    else if (cJSON_IsString(text) &&
             json_object_set_new(chat->tokens, name, json_string(text->valuestring)) != 0)
        return rt_fail(RT_E_NOMEM, "out of memory: special token %s", name);
    return RT_OK;
}

// The members of an object whose names end with _token.
static enum rt_err set_tokens(struct txt_chat *chat, const cJSON *object)
{
    enum rt_err err = RT_OK;
    const cJSON *item;

    cJSON_ArrayForEach(item, object)
    {
        if (item->string && str_has_suffix(item->string, "_token"))
            RT_TRY(set_token(chat, item->string, item));
    }
done:
    return err;
}

static enum rt_err load_tokens(struct txt_chat *chat, const cJSON *config, const cJSON *map)
{
    enum rt_err err = RT_OK;
    const cJSON *extra = cJSON_GetObjectItemCaseSensitive(config, "extra_special_tokens"), *item;

    RT_TRY(set_tokens(chat, config));
    if (!cJSON_IsObject(extra)) // a list of tokens without names
        extra = NULL;
    cJSON_ArrayForEach(item, extra)
    {
        RT_TRY(set_token(chat, item->string, item));
    }
    if (!cJSON_HasObjectItem(config, "added_tokens_decoder"))
        RT_TRY(set_tokens(chat, map));
done:
    return err;
}

// ---- open ---------------------------------------------------------------------------------------

// *out NULL when there is no such file. *path is its name in any case.
static enum rt_err read_optional(const char *folder, const char *file, char **path, cJSON **out)
{
    enum rt_err err = RT_OK;

    *out = NULL;
    RT_TRY(path_join(folder, file, path));
    if (file_exists(*path))
        RT_TRY(fmt_json_read(*path, out));
    if (*out && !cJSON_IsObject(*out)) {
        cJSON_Delete(*out);
        *out = NULL;
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected a JSON object", *path));
    }
done:
    return err;
}

// Without templates and tokens.
static enum rt_err create(struct txt_chat **out)
{
    enum rt_err err = RT_OK;
    struct txt_chat *chat = calloc(1, sizeof(*chat));

    RT_REQUIRE(chat, RT_E_NOMEM);
    chat->tokens = json_object();
    RT_REQUIRE(chat->tokens, RT_E_NOMEM);
    *out = chat;
    chat = NULL;
done:
    txt_chat_close(&chat);
    return err;
}

enum rt_err txt_chat_open(const char *folder, struct txt_chat **out)
{
    enum rt_err err = RT_OK;
    struct txt_chat *chat = NULL;
    char *config_path = NULL, *map_path = NULL;
    cJSON *config = NULL, *map = NULL;

    *out = NULL;
    RT_REQUIRE(folder, RT_E_ARG);
    if (!dir_exists(folder))
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: no such folder", folder));
    RT_TRY(create(&chat));
    RT_TRY(read_optional(folder, "tokenizer_config.json", &config_path, &config));
    RT_TRY(read_optional(folder, "special_tokens_map.json", &map_path, &map));
    RT_TRY(load_templates(chat, folder, config_path, config));
    RT_TRY(load_tokens(chat, config, map));
    *out = chat;
    chat = NULL;
done:
    cJSON_Delete(config);
    cJSON_Delete(map);
    free(config_path);
    free(map_path);
    txt_chat_close(&chat);
    return err;
}

enum rt_err txt_chat_open_config(const cJSON *config, const char *where, struct txt_chat **out)
{
    enum rt_err err = RT_OK;
    struct txt_chat *chat = NULL;

    *out = NULL;
    RT_TRY(create(&chat));
    RT_TRY(from_config(chat, where, config));
    RT_TRY(load_tokens(chat, config, NULL));
    *out = chat;
    chat = NULL;
done:
    txt_chat_close(&chat);
    return err;
}

enum rt_err txt_chat_open_file(const char *path, struct txt_chat **out)
{
    enum rt_err err = RT_OK;
    struct txt_chat *chat = NULL;
    struct str text = {0};

    *out = NULL;
    RT_TRY(file_read(path, &text));
    RT_TRY(create(&chat));
    RT_TRY(add_template(chat, "default", text.data ? text.data : "", text.len));
    *out = chat;
    chat = NULL;
done:
    str_free(&text);
    txt_chat_close(&chat);
    return err;
}

bool txt_chat_has_template(const struct txt_chat *chat)
{
    return chat->n > 0;
}

const char *txt_chat_token(const struct txt_chat *chat, const char *name, size_t *len)
{
    const json_t *v = json_object_get(chat->tokens, name);
    if (len)
        *len = v ? json_string_length(v) : 0;
    return v ? json_string_value(v) : NULL;
}

enum rt_err txt_chat_digest(const struct txt_chat *chat, uint64_t *out)
{
    enum rt_err err = RT_OK;
    struct hash h;
    char *tokens = json_dumps(chat->tokens, JSON_SORT_KEYS | JSON_COMPACT);

    *out = 0;
    RT_REQUIRE(tokens, RT_E_NOMEM);
    hash_begin(&h, chat->several);
    hash_add(&h, tokens, strlen(tokens) + 1);
    for (size_t i = 0; i < chat->n; i++) {
        const uint64_t n = chat->t[i].text.len;
        hash_add(&h, chat->t[i].name, strlen(chat->t[i].name) + 1);
        hash_add(&h, &n, sizeof(n));
        hash_add(&h, chat->t[i].text.data, chat->t[i].text.len);
    }
    *out = hash_end(&h);
done:
    free(tokens);
    return err;
}

bool txt_chat_uses_clock(const struct txt_chat *chat)
{
    for (size_t i = 0; i < chat->n; i++)
        if (chat->t[i].text.data && strstr(chat->t[i].text.data, "strftime_now"))
            return true;
    return false;
}
