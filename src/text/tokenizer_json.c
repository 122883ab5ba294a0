#include "src/text/tokenizer_json.h"

#include <stdio.h>
#include <string.h>

#include "src/text/unicode.h"

// ---- U+0000 in keys ----

static const char NUL[] = "\\u0000";

static bool has_escape(const char *json, size_t len)
{
    for (size_t i = 0; len - i >= 6; i++) {
        const char *p = memchr(json + i, '\\', len - i - 5);
        if (!p)
            return false;
        i = (size_t) (p - json);
        if (memcmp(p, NUL, 6) == 0)
            return true;
    }
    return false;
}

// End of the string whose first character is at json[at]: where its closing quote is, or len.
// *has_nul: it has the escape.
static size_t string_end(const char *json, size_t len, size_t at, bool *has_nul)
{
    *has_nul = false;
    for (; at < len && json[at] != '"'; at++) {
        if (json[at] != '\\')
            continue;
        *has_nul = *has_nul || (len - at >= 6 && memcmp(json + at, NUL, 6) == 0);
        at++;
    }
    return at < len ? at : len;
}

static bool is_key(const char *json, size_t len, size_t quote)
{
    for (quote++; quote < len && strchr(" \t\r\n", json[quote]) && json[quote]; quote++)
        ;
    return quote < len && json[quote] == ':';
}

// Whether a noncharacter is in the text, as itself or escaped.
static bool occurs(const char *json, size_t len, uint32_t c)
{
    char raw[TXT_UTF8_MAX], hex[5];
    const size_t n = txt_utf8_put(raw, c);

    snprintf(hex, sizeof(hex), "%04x", (unsigned) c);
    for (size_t i = 0; i < len; i++) {
        size_t k = 0;
        if (json[i] == raw[0] && len - i >= n && memcmp(json + i, raw, n) == 0)
            return true;
        while (json[i] == '\\' && len - i >= 6 && k < 4 && (json[i + 2 + k] | 32) == (hex[k] | 32))
            k++;
        if (k == 4)
            return true;
    }
    return false;
}

static enum rt_err replace_nuls(const char *json, size_t from, size_t end, uint32_t c,
                                struct str *out)
{
    enum rt_err err = RT_OK;

    for (size_t i = from; i < end;) {
        const bool nul = json[i] == '\\' && end - i >= 6 && memcmp(json + i, NUL, 6) == 0;
        const size_t n = nul ? 6 : json[i] == '\\' && end - i >= 2 ? 2 : 1;
        if (nul)
            RT_TRY(str_printf(out, "\\u%04x", (unsigned) c));
        else
            RT_TRY(str_append(out, json + i, n));
        i += n;
    }
done:
    return err;
}

enum rt_err txt_json_nul_keys(const char *json, size_t len, struct str *out, uint32_t *stand_in)
{
    enum { FIRST = 0xfdd0, LAST = 0xfdef }; // noncharacters
    enum rt_err err = RT_OK;
    size_t copied = 0;
    bool has_nul;

    *stand_in = 0;
    if (!has_escape(json, len))
        goto done;
    for (size_t i = 0, end; i < len; i = end + 1) {
        const char *quote = memchr(json + i, '"', len - i);
        if (!quote)
            break;
        i = (size_t) (quote + 1 - json);
        end = string_end(json, len, i, &has_nul);
        if (!has_nul || !is_key(json, len, end))
            continue;
        for (uint32_t c = FIRST; *stand_in == 0 && c <= LAST; c++)
            *stand_in = occurs(json, len, c) ? 0 : c;
        if (*stand_in == 0)
            RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                           "tokenizer.json: keys with U+0000 and all noncharacters"));
        RT_TRY(str_append(out, json + copied, i - copied));
        RT_TRY(replace_nuls(json, i, end, *stand_in, out));
        copied = end;
    }
    if (*stand_in)
        RT_TRY(str_append(out, json + copied, len - copied));
done:
    return err;
}

// ---- nodes ----

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
