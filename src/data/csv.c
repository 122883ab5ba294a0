#include "src/data/csv.h"

#include <string.h>

static enum rt_err fail(const struct ds_csv_at *at, size_t field, const char *what)
{
    return rt_fail(RT_E_FORMAT, "%s:%llu: field %zu: %s", at->path, (unsigned long long) at->line,
                   field, what);
}

// One field from text[*at ..] into *out; *at is left on the comma behind it, or at n.
static enum rt_err read_field(const struct ds_csv_at *where, const char *text, size_t n,
                              size_t field, size_t *at, struct str *out)
{
    enum rt_err err = RT_OK;
    size_t i = *at;

    str_clear(out);
    if (i == n || text[i] != '"') {
        const char *end = n > i ? memchr(text + i, where->comma, n - i) : NULL;
        *at = end ? (size_t) (end - text) : n;
        RT_TRY(str_append(out, text + i, *at - i));
        goto done;
    }
    for (i++;;) {
        const char *end = n > i ? memchr(text + i, '"', n - i) : NULL;
        if (!end)
            RT_TRY(fail(where, field, "expected a closing quote, found the end"));
        const size_t k = (size_t) (end - text);
        RT_TRY(str_append(out, text + i, k - i));
        i = k + 1;
        if (i == n || text[i] != '"')
            break;
        RT_TRY(str_putc(out, '"'));
        i++;
    }
    if (i < n && text[i] != where->comma)
        RT_TRY(fail(where, field,
                    "expected a comma or the end behind the closing quote, found something else "
                    "(a quote inside quotes is doubled)"));
    *at = i;
done:
    return err;
}

enum rt_err ds_csv_fields(const struct ds_csv_at *where, const char *text, size_t n, json_t **out)
{
    enum rt_err err = RT_OK;
    json_t *all = json_array(), *s;
    struct str field = {0};
    size_t at = 0;

    *out = NULL;
    for (size_t k = 1;; k++) {
        RT_TRY(read_field(where, text, n, k, &at, &field));
        s = json_stringn(field.data ? field.data : "", field.len);
        if (!s)
            RT_TRY(fail(where, k, "expected UTF-8, found other bytes"));
        if (!all || json_array_append_new(all, s) != 0)
            RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: a row"));
        if (at == n)
            break;
        at++; // the comma; a record may end with one
    }
    *out = all;
    all = NULL;
done:
    json_decref(all);
    str_free(&field);
    return err;
}
