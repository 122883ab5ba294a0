#include "src/format/json_scan.h"

#include <string.h>

#include "src/base/arith.h"
#include "src/format/json.h"

size_t fmt_utf8(const char *p, size_t n, unsigned *point)
{
    static const unsigned LEAST[5] = {0, 0, 0x80u, 0x800u, 0x10000u};
    const unsigned b = (unsigned char) p[0];
    size_t k = 1;
    unsigned c = b;

    if (b >= 0x80u) {
        k = b >= 0xf0u ? 4 : b >= 0xe0u ? 3 : 2;
        if (b < 0xc2u || b > 0xf4u || n < k)
            return 0;
        c = b & (0x7fu >> k);
    }
    for (size_t i = 1; i < k; i++) {
        const unsigned t = (unsigned char) p[i];
        if ((t & 0xc0u) != 0x80u)
            return 0;
        c = c << 6 | (t & 0x3fu);
    }
    if (c < LEAST[k] || c > 0x10ffffu || (c >= 0xd800u && c < 0xe000u))
        return 0;
    *point = c;
    return k;
}

enum rt_err fmt_json_fail_at(const struct fmt_json_scan *s, size_t off, const char *what)
{
    size_t line = s->line, column = 1;
    for (size_t i = 0; i < off && i < s->len; i++) {
        column++;
        if (s->text[i] == '\n') {
            line++;
            column = 1;
        }
    }
    return rt_fail(RT_E_FORMAT, "%s:%zu:%zu: %s", s->where, line, column, what);
}

// From the opening quote at `at` to just behind the closing one, in *end.
static enum rt_err scan_string(const struct fmt_json_scan *s, size_t at, size_t *end)
{
    size_t i = at + 1;
    while (i < s->len && s->text[i] != '"') {
        unsigned point;
        const size_t k = fmt_utf8(s->text + i, s->len - i, &point);
        if (k == 0)
            return fmt_json_fail_at(s, i, "expected UTF-8, found a byte that is not");
        if (point < 0x20u)
            return fmt_json_fail_at(s, i, "control character inside a string; it must be escaped");
        if (point == '\\') {
            if (!s->allow_nul && s->len - i >= 6 && memcmp(s->text + i, "\\u0000", 6) == 0)
                return fmt_json_fail_at(s, i, "a string holds U+0000, which is not supported here");
            i++; // and the byte behind it below: a library judges the escape
        }
        i += k;
    }
    if (i >= s->len)
        return fmt_json_fail_at(s, at, "a string has no end");
    *end = i + 1;
    return RT_OK;
}

// Length of the constant at `at`, or 0. On a rewrite it becomes a string of the same length.
static size_t scan_constant(struct fmt_json_scan *s, size_t at)
{
    static const struct {
        const char *text;
        size_t len;
        int mark;
    } CONSTANTS[] = {{"NaN", 3, FMT_JSON_NAN},
                     {"Infinity", 8, FMT_JSON_INF},
                     {"-Infinity", 9, FMT_JSON_NEG_INF}};

    for (size_t c = 0; c < COUNT_OF(CONSTANTS); c++) {
        const size_t n = CONSTANTS[c].len;
        if (s->len - at < n || memcmp(s->text + at, CONSTANTS[c].text, n) != 0)
            continue;
        s->has_constants = true;
        if (s->rewrite) {
            memset(s->rewrite + at, ' ', n);
            s->rewrite[at] = s->rewrite[at + n - 1] = '"';
            s->rewrite[at + 1] = (char) CONSTANTS[c].mark;
        }
        return n;
    }
    return 0;
}

enum rt_err fmt_json_scan(struct fmt_json_scan *s)
{
    enum rt_err err = RT_OK;
    size_t i = 0, depth = 0, values = 1, n;

    s->has_constants = false;
    while (i < s->len) {
        const char c = s->text[i];
        if (c == '"') {
            RT_TRY(scan_string(s, i, &i));
            continue;
        }
        if ((c == 'N' || c == 'I' || c == '-') && (n = scan_constant(s, i)) != 0) {
            i += n;
            continue;
        }
        if (c == '{' || c == '[') {
            if (++depth > FMT_JSON_DEPTH)
                RT_TRY(fmt_json_fail_at(s, i, "nested deeper than 128 levels"));
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
        if ((c == ',' || c == '{' || c == '[') && ++values > FMT_JSON_VALUES)
            RT_TRY(fmt_json_fail_at(s, i, "more than 16777216 values"));
        i++;
    }
done:
    return err;
}
