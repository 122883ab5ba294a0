#include "src/format/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/format/json_scan.h"

const char *fmt_num_print(char buf[32], double v, bool point)
{
    int digits = 1, exp10;

    if (isnan(v))
        return strcpy(buf, "NaN");
    if (isinf(v))
        return strcpy(buf, v > 0 ? "Infinity" : "-Infinity");
    for (; digits <= 17; digits++) { // 17 always reads back
        snprintf(buf, 32, "%.*e", digits - 1, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    exp10 = atoi(strchr(buf, 'e') + 1);
    if (exp10 < -4 || exp10 >= 16)
        return buf;
    snprintf(buf, 32, "%.*f", digits - 1 - exp10 > 0 ? digits - 1 - exp10 : 0, v);
    if (point && !strchr(buf, '.'))
        strcat(buf, ".0");
    return buf;
}

static enum rt_err put_escaped(struct str *out, unsigned point)
{
    static const char FROM[] = "\"\\\b\f\n\r\t", TO[] = "\"\\bfnrt";
    const char *at = point && point < 0x80u ? strchr(FROM, (int) point) : NULL;

    if (at)
        return str_printf(out, "\\%c", TO[at - FROM]);
    if (point < 0x10000u)
        return str_printf(out, "\\u%04x", point);
    return str_printf(out, "\\u%04x\\u%04x", 0xd800u + ((point - 0x10000u) >> 10),
                      0xdc00u + (point & 0x3ffu));
}

enum rt_err fmt_json_escape(struct str *out, const char *text, size_t n, bool ascii)
{
    enum rt_err err = RT_OK;
    size_t plain = 0, i = 0; // text[plain, i) waits to be copied as it is

    RT_TRY(str_putc(out, '"'));
    while (i < n) {
        unsigned point = 0xfffdu;
        const size_t k = fmt_utf8(text + i, n - i, &point);
        const bool escape =
            point < 0x20u || point == '"' || point == '\\' || (ascii && point >= 0x7fu);
        if (k && !escape) {
            i += k;
            continue;
        }
        RT_TRY(str_append(out, text + plain, i - plain));
        if (escape)
            RT_TRY(put_escaped(out, point));
        else
            RT_TRY(str_puts(out, "\xef\xbf\xbd"));
        i += k ? k : 1;
        plain = i;
    }
    RT_TRY(str_append(out, text + plain, n - plain));
    RT_TRY(str_putc(out, '"'));
done:
    return err;
}

static void put(struct fmt_jw *w, const char *text)
{
    if (w->err == RT_OK)
        w->err = str_puts(w->out, text);
}

static void misuse(struct fmt_jw *w, const char *what)
{
    if (w->err == RT_OK)
        w->err = rt_fail(RT_E_ARG, "JSON writer: %s", what);
}

static void new_line(struct fmt_jw *w)
{
    if (w->err == RT_OK && w->indent)
        w->err = str_printf(w->out, "\n%*s", (int) (w->indent * w->depth), "");
}

// What stands before a key, or before a value that has none.
static void separate(struct fmt_jw *w)
{
    if (w->used[w->depth])
        put(w, w->indent ? "," : ", ");
    w->used[w->depth] = true;
    if (w->depth)
        new_line(w);
}

static void before_value(struct fmt_jw *w)
{
    if (!w->after_key) {
        if (w->depth ? !w->array[w->depth] : w->used[0])
            misuse(w, "a value without a key, or behind the end");
        separate(w);
    }
    w->after_key = false;
}

static void begin(struct fmt_jw *w, bool array)
{
    before_value(w);
    if (w->depth >= FMT_JSON_DEPTH) {
        misuse(w, "nested too deep");
        return;
    }
    put(w, array ? "[" : "{");
    w->depth++;
    w->used[w->depth] = false;
    w->array[w->depth] = array;
}

void fmt_jw_object(struct fmt_jw *w)
{
    begin(w, false);
}
void fmt_jw_array(struct fmt_jw *w)
{
    begin(w, true);
}

void fmt_jw_end(struct fmt_jw *w)
{
    if (w->depth == 0 || w->after_key) {
        misuse(w, "an end without a beginning, or a key without a value");
        return;
    }
    const bool used = w->used[w->depth], array = w->array[w->depth];
    w->depth--;
    if (used)
        new_line(w);
    put(w, array ? "]" : "}");
}

void fmt_jw_key(struct fmt_jw *w, const char *key)
{
    if (w->depth == 0 || w->array[w->depth] || w->after_key) {
        misuse(w, "a key outside an object, or two keys in a row");
        return;
    }
    separate(w);
    if (w->err == RT_OK)
        w->err = fmt_json_escape(w->out, key, strlen(key), w->ascii);
    put(w, ": ");
    w->after_key = true;
}

static void scalar(struct fmt_jw *w, const char *text)
{
    before_value(w);
    put(w, text);
}

void fmt_jw_num(struct fmt_jw *w, double v)
{
    char buf[32];
    scalar(w, fmt_num_print(buf, v, true));
}

void fmt_jw_int(struct fmt_jw *w, int64_t v)
{
    char buf[32];
    snprintf(buf, sizeof(buf), "%" PRId64, v);
    scalar(w, buf);
}

void fmt_jw_bool(struct fmt_jw *w, bool v)
{
    scalar(w, v ? "true" : "false");
}
void fmt_jw_null(struct fmt_jw *w)
{
    scalar(w, "null");
}

void fmt_jw_str_n(struct fmt_jw *w, const char *text, size_t n)
{
    before_value(w);
    if (w->err == RT_OK)
        w->err = fmt_json_escape(w->out, text, n, w->ascii);
}

void fmt_jw_str(struct fmt_jw *w, const char *text)
{
    if (text)
        fmt_jw_str_n(w, text, strlen(text));
    else
        fmt_jw_null(w);
}

void fmt_jw_put_num(struct fmt_jw *w, const char *key, double v)
{
    fmt_jw_key(w, key);
    fmt_jw_num(w, v);
}

void fmt_jw_put_nums(struct fmt_jw *w, const char *key, const double *v, uint32_t n)
{
    fmt_jw_key(w, key);
    fmt_jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        fmt_jw_num(w, v[i]);
    fmt_jw_end(w);
}

void fmt_jw_put_int(struct fmt_jw *w, const char *key, int64_t v)
{
    fmt_jw_key(w, key);
    fmt_jw_int(w, v);
}

void fmt_jw_put_bool(struct fmt_jw *w, const char *key, bool v)
{
    fmt_jw_key(w, key);
    fmt_jw_bool(w, v);
}

void fmt_jw_put_str(struct fmt_jw *w, const char *key, const char *text)
{
    fmt_jw_key(w, key);
    fmt_jw_str(w, text);
}

void fmt_jw_cjson(struct fmt_jw *w, const cJSON *node)
{
    char buf[32];
    const cJSON *item;

    if (w->err != RT_OK)
        return; // also what stops a tree that is too deep
    if (cJSON_IsObject(node) || cJSON_IsArray(node)) {
        begin(w, cJSON_IsArray(node));
        cJSON_ArrayForEach(item, node)
        {
            if (cJSON_IsObject(node))
                fmt_jw_key(w, item->string);
            fmt_jw_cjson(w, item);
        }
        fmt_jw_end(w);
    } else if (cJSON_IsNumber(node)) {
        scalar(w, fmt_num_print(buf, node->valuedouble, false));
    } else if (cJSON_IsString(node)) {
        fmt_jw_str(w, node->valuestring);
    } else if (cJSON_IsBool(node)) {
        fmt_jw_bool(w, cJSON_IsTrue(node));
    } else {
        fmt_jw_null(w);
    }
}

static void jansson_container(struct fmt_jw *w, const json_t *node)
{
    json_t *value = NULL, *object = (json_t *) (uintptr_t) node; // jansson iterates non-const only
    const char *key;
    size_t i;

    begin(w, json_is_array(node));
    if (json_is_array(node)) {
        json_array_foreach(node, i, value) fmt_jw_jansson(w, value);
    } else {
        json_object_foreach(object, key, value)
        {
            fmt_jw_key(w, key);
            fmt_jw_jansson(w, value);
        }
    }
    fmt_jw_end(w);
}

void fmt_jw_jansson(struct fmt_jw *w, const json_t *node)
{
    if (w->err != RT_OK)
        return;
    switch (node ? json_typeof(node) : JSON_NULL) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        jansson_container(w, node);
        break;
    case JSON_STRING:
        fmt_jw_str_n(w, json_string_value(node), json_string_length(node));
        break;
    case JSON_INTEGER:
        fmt_jw_int(w, json_integer_value(node));
        break;
    case JSON_REAL:
        fmt_jw_num(w, json_real_value(node));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        fmt_jw_bool(w, json_is_true(node));
        break;
    case JSON_NULL:
        fmt_jw_null(w);
        break;
    }
}

enum rt_err fmt_jw_done(struct fmt_jw *w)
{
    if (w->depth || w->after_key || !w->used[0])
        misuse(w, "the text is not complete");
    return w->err;
}
