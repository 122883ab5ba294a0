#include "src/text/tokenizer_json.h"

#include <stdio.h>
#include <string.h>

#include "src/text/unicode.h"

enum rt_err txt_node_fail(const struct txt_node *at, enum rt_err code, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return rt_fail(code, "tokenizer.json: %s: %s", at->path[0] ? at->path : "top level", text);
}

static enum rt_err check_path(const struct txt_node *of, int len)
{
    if (len >= 0 && (size_t) len < sizeof(of->path))
        return RT_OK;
    return txt_node_fail(of, RT_E_UNSUPPORTED, "nested too deeply");
}

enum rt_err txt_node_get(const struct txt_node *of, const char *key, struct txt_node *out)
{
    enum rt_err err = RT_OK;
    const json_t *v;
    int len;

    out->v = NULL;
    out->path[0] = 0;
    if (!json_is_object(of->v))
        RT_TRY(txt_node_fail(of, RT_E_FORMAT, "an object was expected"));
    v = json_object_get(of->v, key);
    out->v = json_is_null(v) ? NULL : v;
    len = snprintf(out->path, sizeof(out->path), "%s%s%s", of->path, of->path[0] ? "." : "", key);
    RT_TRY(check_path(of, len));
done:
    return err;
}

enum rt_err txt_node_at(const struct txt_node *of, size_t i, struct txt_node *out)
{
    const json_t *v = json_array_get(of->v, i);
    out->v = json_is_null(v) ? NULL : v;
    return check_path(of, snprintf(out->path, sizeof(out->path), "%s[%zu]", of->path, i));
}

enum rt_err txt_node_array(const struct txt_node *of, const char *key, struct txt_node *out,
                           size_t *n)
{
    enum rt_err err = RT_OK;

    *n = 0;
    RT_TRY(txt_node_get(of, key, out));
    if (!json_is_array(out->v))
        RT_TRY(txt_node_fail(out, RT_E_FORMAT, "an array was expected"));
    *n = json_array_size(out->v);
done:
    return err;
}

enum rt_err txt_node_text(const struct txt_node *of, const char *key, const char **s, size_t *n)
{
    enum rt_err err = RT_OK;
    struct txt_node v;

    *s = NULL;
    *n = 0;
    RT_TRY(txt_node_get(of, key, &v));
    if (!json_is_string(v.v))
        RT_TRY(txt_node_fail(&v, RT_E_FORMAT, "a string was expected"));
    *s = json_string_value(v.v);
    *n = json_string_length(v.v);
done:
    return err;
}

enum rt_err txt_node_bool_or(const struct txt_node *of, const char *key, bool *out)
{
    enum rt_err err = RT_OK;
    struct txt_node v;

    RT_TRY(txt_node_get(of, key, &v));
    if (v.v && !json_is_boolean(v.v))
        RT_TRY(txt_node_fail(&v, RT_E_FORMAT, "true or false was expected"));
    if (v.v)
        *out = json_is_true(v.v);
done:
    return err;
}

enum rt_err txt_node_bool(const struct txt_node *of, const char *key, bool *out)
{
    enum rt_err err = RT_OK;
    struct txt_node v;

    *out = false;
    RT_TRY(txt_node_get(of, key, &v));
    if (!v.v)
        RT_TRY(txt_node_fail(&v, RT_E_FORMAT, "is missing; true or false was expected"));
    RT_TRY(txt_node_bool_or(of, key, out));
done:
    return err;
}

enum rt_err txt_node_u32(const struct txt_node *of, const char *key, uint32_t *out)
{
    enum rt_err err = RT_OK;
    struct txt_node v;

    *out = 0;
    RT_TRY(txt_node_get(of, key, &v));
    if (!json_is_integer(v.v) || json_integer_value(v.v) < 0 ||
        json_integer_value(v.v) > UINT32_MAX)
        RT_TRY(txt_node_fail(&v, RT_E_FORMAT, "an integer from 0 to 2^32-1 was expected"));
    *out = (uint32_t) json_integer_value(v.v);
done:
    return err;
}

enum rt_err txt_node_char(const struct txt_node *of, const char *key, uint32_t *out)
{
    enum rt_err err = RT_OK;
    const char *s;
    size_t n;

    *out = 0;
    RT_TRY(txt_node_text(of, key, &s, &n));
    if (n == 0 || txt_utf8_get(s, out) != n)
        RT_TRY(txt_node_fail(of, RT_E_FORMAT, "%s: one character was expected", key));
done:
    return err;
}

enum rt_err txt_read_kind(struct txt_tokenizer *tok, const struct txt_node *at,
                          const struct txt_kind *kinds, size_t n)
{
    enum rt_err err = RT_OK;
    const char *type;
    size_t len, i = 0;

    RT_TRY(txt_node_text(at, "type", &type, &len));
    while (i < n && strcmp(kinds[i].type, type) != 0)
        i++;
    if (i == n)
        RT_TRY(txt_node_fail(at, RT_E_UNSUPPORTED, "unsupported type \"%.100s\"", type));
    RT_TRY(kinds[i].read(tok, at));
done:
    return err;
}

enum rt_err txt_read_each(struct txt_tokenizer *tok, const struct txt_node *at, const char *key,
                          const struct txt_kind *kinds, size_t n)
{
    enum rt_err err = RT_OK;
    struct txt_node list, item;
    size_t len;

    RT_TRY(txt_node_array(at, key, &list, &len));
    for (size_t i = 0; i < len; i++) {
        RT_TRY(txt_node_at(&list, i, &item));
        RT_TRY(txt_read_kind(tok, &item, kinds, n));
    }
done:
    return err;
}
