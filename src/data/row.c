#include "src/data/row.h"

#include <string.h>

#include "src/base/arith.h"
#include "src/format/json.h"

static const char *kind_of(const json_t *v)
{
    static const char *const NAMES[] = {"an object", "an array", "a string", "an integer",
                                        "a number",  "true",     "false",    "null"};
    return v ? NAMES[json_typeof(v)] : "nothing";
}

// Messages: a non-empty array of objects with a string role.
static bool is_messages(const json_t *v)
{
    size_t i;
    json_t *m;
    if (!json_is_array(v) || json_array_size(v) == 0)
        return false;
    json_array_foreach(v, i, m) if (!json_is_object(m) ||
                                    !json_is_string(json_object_get(m, "role"))) return false;
    return true;
}

static enum rt_err check_column(const json_t *object, const char *name, const char *where,
                                bool messages)
{
    const json_t *v = json_object_get(object, name);
    if (!v)
        return rt_fail(RT_E_FORMAT, "%s: expected a column \"%s\", found none", where, name);
    if (messages && !is_messages(v))
        return rt_fail(
            RT_E_FORMAT,
            "%s: column \"%s\": expected messages with a role each, as in \"chosen\", found %s",
            where, name, json_is_array(v) ? "an array without them" : kind_of(v));
    if (!messages && !json_is_string(v))
        return rt_fail(RT_E_FORMAT, "%s: column \"%s\": expected a string or messages, found %s",
                       where, name, kind_of(v));
    return RT_OK;
}

// Bytes of the common prefix of two UTF-8 strings, cut back to whole characters.
static size_t common_bytes(const char *a, size_t n, const char *b, size_t m)
{
    const size_t most = n < m ? n : m;
    size_t i = 0;
    while (i < most && a[i] == b[i])
        i++;
    if (i < most || n != m) // inside both, or at the end of one: may be within a character
        while (i > 0 && ((i < n && ((unsigned char) a[i] & 0xc0) == 0x80) ||
                         (i < m && ((unsigned char) b[i] & 0xc0) == 0x80)))
            i--;
    return i;
}

static size_t char_before(const char *s, size_t i)
{
    if (i > 0)
        i--;
    while (i > 0 && ((unsigned char) s[i] & 0xc0) == 0x80)
        i--;
    return i;
}

static enum rt_err split_text(const json_t *c, const json_t *r, struct ds_row *out)
{
    const char *a = json_string_value(c), *b = json_string_value(r);
    const size_t n = json_string_length(c), m = json_string_length(r);
    size_t i = common_bytes(a, n, b, m), j = i;

    if (i == n || i == m) {
        i = j = char_before(n < m ? a : b,
                            n < m ? n : m); // Python's loop ends on the last shared index
    } else if (i > 0 ? a[i - 1] == ' ' : n > 0 && a[n - 1] == ' ') {
        i = char_before(a, i > 0 ? i : n); // index -1 counts from the end, in Python
        j = char_before(b, j > 0 ? j : m);
    }
    out->prompt = json_stringn(a, i);
    out->chosen = json_stringn(a + i, n - i);
    out->rejected = json_stringn(b + j, m - j);
    return out->prompt && out->chosen && out->rejected
               ? RT_OK
               : rt_fail(RT_E_NOMEM, "out of memory: a row");
}

static json_t *slice(const json_t *array, size_t begin, size_t end)
{
    json_t *out = json_array();
    for (size_t i = begin; out && i < end; i++)
        if (json_array_append(out, json_array_get(array, i)) != 0) {
            json_decref(out);
            return NULL;
        }
    return out;
}

static enum rt_err split_messages(const json_t *c, const json_t *r, struct ds_row *out)
{
    const size_t n = json_array_size(c), m = json_array_size(r), most = n < m ? n : m;
    size_t i = 0;

    while (i < most && json_equal(json_array_get(c, i), json_array_get(r, i)))
        i++;
    if (i == most)
        i = most - 1; // as above
    out->prompt = slice(c, 0, i);
    out->chosen = slice(c, i, n);
    out->rejected = slice(r, i, m);
    return out->prompt && out->chosen && out->rejected
               ? RT_OK
               : rt_fail(RT_E_NOMEM, "out of memory: a row");
}

static enum rt_err read_extras(const json_t *object, const char *where, struct ds_row *out)
{
    enum rt_err err = RT_OK;
    const json_t *tools = json_object_get(object, "tools"),
                 *kwargs = json_object_get(object, "chat_template_kwargs");

    if (json_is_string(tools)) {
        RT_TRY(fmt_jansson_parse(json_string_value(tools), json_string_length(tools), where, 1,
                                 &out->tools_owned));
        tools = out->tools_owned;
    }
    if (tools && !json_is_null(tools) && !json_is_array(tools))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: column \"tools\": expected an array or JSON text of one, found %s",
                       where, kind_of(tools)));
    if (kwargs && !json_is_null(kwargs) && !json_is_object(kwargs))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: column \"chat_template_kwargs\": expected an object, found %s", where,
                       kind_of(kwargs)));
    out->tools = json_is_null(tools) ? NULL : tools;
    out->kwargs = json_is_null(kwargs) ? NULL : kwargs;
done:
    return err;
}

enum rt_err ds_row_make(const json_t *object, const char *where, struct ds_row *out)
{
    enum rt_err err = RT_OK;
    struct ds_row row = {0};
    const json_t *p, *c, *r;

    *out = row;
    if (!json_is_object(object))
        RT_TRY(
            rt_fail(RT_E_FORMAT, "%s: expected a JSON object, found %s", where, kind_of(object)));
    p = json_object_get(object, "prompt");
    c = json_object_get(object, "chosen");
    r = json_object_get(object, "rejected");
    row.conversational = json_is_array(c);
    RT_TRY(check_column(object, "chosen", where, row.conversational));
    RT_TRY(check_column(object, "rejected", where, row.conversational));
    if (p && !json_is_null(p)) {
        RT_TRY(check_column(object, "prompt", where, row.conversational));
        row.prompt = json_incref((json_t *) (uintptr_t) p);
        row.chosen = json_incref((json_t *) (uintptr_t) c);
        row.rejected = json_incref((json_t *) (uintptr_t) r);
    } else if (!row.conversational && (json_string_length(c) == 0 || json_string_length(r) == 0)) {
        RT_TRY(rt_fail(
            RT_E_FORMAT,
            "%s: expected a column \"prompt\", or two non-empty texts that begin with it", where));
    } else {
        RT_TRY(row.conversational ? split_messages(c, r, &row) : split_text(c, r, &row));
    }
    RT_TRY(read_extras(object, where, &row));
    *out = row;
    row = (struct ds_row){0};
done:
    ds_row_free(&row);
    return err;
}

void ds_row_free(struct ds_row *row)
{
    json_decref(row->prompt);
    json_decref(row->chosen);
    json_decref(row->rejected);
    json_decref(row->tools_owned);
    *row = (struct ds_row){0};
}
