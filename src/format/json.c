#include "src/format/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"
#include "src/format/json_scan.h"

static const double EXACT = 9007199254740992.0; // 2^53: integers below it are exact in a double

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

// No key of the object may occur twice, nor be a constant that the rewrite turned into a string.
static enum rt_err check_keys(const cJSON *object, const char *where)
{
    enum rt_err err = RT_OK;
    const cJSON *item;
    const char **keys = NULL;
    size_t n = 0, i = 0;

    cJSON_ArrayForEach(item, object) n++;
    if (n == 0)
        goto done;
    keys = malloc(n * sizeof(*keys));
    if (!keys)
        RT_TRY(rt_fail(RT_E_NOMEM, "%s: out of memory: %zu keys", where, n));
    cJSON_ArrayForEach(item, object)
    {
        if ((unsigned char) item->string[0] >= FMT_JSON_NEG_INF)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: a key is NaN or Infinity, not a string", where));
        keys[i++] = item->string;
    }
    qsort(keys, n, sizeof(*keys), by_text);
    for (i = 1; i < n; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: key \"%s\" is given twice", where, keys[i]));
done:
    free(keys);
    return err;
}

// Turn the strings that stand for NaN and its like into numbers, and check the keys of all objects.
// Depth is bounded by the scan.
static enum rt_err settle(cJSON *node, const char *where)
{
    enum rt_err err = RT_OK;
    cJSON *item;

    if (cJSON_IsString(node) && (unsigned char) node->valuestring[0] >= FMT_JSON_NEG_INF) {
        const unsigned char mark = (unsigned char) node->valuestring[0];
        cJSON_free(node->valuestring);
        node->valuestring = NULL;
        node->type = cJSON_Number;
        node->valuedouble = mark == FMT_JSON_NAN ? (double) NAN : (double) INFINITY;
        if (mark == FMT_JSON_NEG_INF)
            node->valuedouble = -node->valuedouble;
    }
    if (cJSON_IsObject(node))
        RT_TRY(check_keys(node, where));
    if (cJSON_IsObject(node) || cJSON_IsArray(node))
        cJSON_ArrayForEach(item, node) RT_TRY(settle(item, where));
done:
    return err;
}

enum rt_err fmt_json_parse(const char *text, size_t len, const char *where, cJSON **out)
{
    enum rt_err err = RT_OK;
    struct fmt_json_scan scan = {.text = text, .len = len, .where = where, .line = 1};
    cJSON *tree = NULL;
    char *copy = NULL;
    const char *from = text, *end = NULL;

    *out = NULL;
    RT_TRY(fmt_json_scan(&scan));
    if (scan.has_constants) {
        RT_TRY(str_dup_n(text, len, &copy));
        scan.rewrite = copy;
        RT_TRY(fmt_json_scan(&scan));
        from = copy;
    }
    // With length 0 cJSON leaves `end` unset; nothing is an error at byte 0.
    tree = len ? cJSON_ParseWithLengthOpts(from, len, &end, 0) : NULL;
    if (!tree)
        RT_TRY(fmt_json_fail_at(&scan, end ? (size_t) (end - from) : 0, "not valid JSON"));
    while (end < from + len && strchr(" \t\r\n", *end) && *end)
        end++;
    if (end != from + len)
        RT_TRY(fmt_json_fail_at(&scan, (size_t) (end - from), "text behind the JSON value"));
    RT_TRY(settle(tree, where));
    *out = tree;
    tree = NULL;
done:
    cJSON_Delete(tree);
    free(copy);
    return err;
}

enum rt_err fmt_json_read(const char *path, cJSON **out)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};

    *out = NULL;
    RT_TRY(file_map_open(path, &map));
    RT_TRY(fmt_json_parse((const char *) map.data, map.size, path, out));
done:
    file_map_close(&map);
    return err;
}

const char *fmt_json_kind(const cJSON *node)
{
    return !node                  ? "nothing"
           : cJSON_IsNull(node)   ? "null"
           : cJSON_IsBool(node)   ? "a boolean"
           : cJSON_IsNumber(node) ? "a number"
           : cJSON_IsString(node) ? "a string"
           : cJSON_IsArray(node)  ? "an array"
           : cJSON_IsObject(node) ? "an object"
                                  : "something else";
}

static const cJSON *member(const struct fmt_json *j, const char *key)
{
    return cJSON_IsObject(j->node) ? cJSON_GetObjectItemCaseSensitive(j->node, key) : NULL;
}

const cJSON *fmt_json_get(const struct fmt_json *j, const char *key)
{
    const cJSON *node = member(j, key);
    return cJSON_IsNull(node) ? NULL : node;
}

static enum rt_err fail_type(const struct fmt_json *j, const char *key, const char *want)
{
    const cJSON *node = member(j, key);
    if (!node)
        return rt_fail(RT_E_NOT_FOUND, "%s: key \"%s\" is missing: expected %s", j->where, key,
                       want);
    if (cJSON_IsNumber(node))
        return rt_fail(RT_E_FORMAT, "%s: key \"%s\": expected %s, found %.17g", j->where, key, want,
                       node->valuedouble);
    return rt_fail(RT_E_FORMAT, "%s: key \"%s\": expected %s, found %s", j->where, key, want,
                   fmt_json_kind(node));
}

enum rt_err fmt_json_num(const struct fmt_json *j, const char *key, double *out)
{
    const cJSON *node = member(j, key);
    *out = cJSON_IsNumber(node) ? node->valuedouble : 0.0;
    return cJSON_IsNumber(node) ? RT_OK : fail_type(j, key, "a number");
}

enum rt_err fmt_json_num_or(const struct fmt_json *j, const char *key, double def, double *out)
{
    *out = def;
    return fmt_json_get(j, key) ? fmt_json_num(j, key, out) : RT_OK;
}

static bool is_int(const cJSON *node, double least, double most)
{
    return cJSON_IsNumber(node) && node->valuedouble >= least && node->valuedouble <= most &&
           node->valuedouble == floor(node->valuedouble);
}

enum rt_err fmt_json_int(const struct fmt_json *j, const char *key, int64_t *out)
{
    const cJSON *node = member(j, key);
    *out = 0;
    if (!is_int(node, 1.0 - EXACT, EXACT - 1.0))
        return fail_type(j, key, "an integer");
    *out = (int64_t) node->valuedouble;
    return RT_OK;
}

enum rt_err fmt_json_int_or(const struct fmt_json *j, const char *key, int64_t def, int64_t *out)
{
    *out = def;
    return fmt_json_get(j, key) ? fmt_json_int(j, key, out) : RT_OK;
}

enum rt_err fmt_json_u32(const struct fmt_json *j, const char *key, uint32_t *out)
{
    const cJSON *node = member(j, key);
    *out = 0;
    if (!is_int(node, 0.0, (double) UINT32_MAX))
        return fail_type(j, key, "an integer from 0 to 4294967295");
    *out = (uint32_t) node->valuedouble;
    return RT_OK;
}

enum rt_err fmt_json_u32_or(const struct fmt_json *j, const char *key, uint32_t def, uint32_t *out)
{
    *out = def;
    return fmt_json_get(j, key) ? fmt_json_u32(j, key, out) : RT_OK;
}

enum rt_err fmt_json_bool(const struct fmt_json *j, const char *key, bool *out)
{
    const cJSON *node = member(j, key);
    *out = cJSON_IsTrue(node);
    return cJSON_IsBool(node) ? RT_OK : fail_type(j, key, "true or false");
}

enum rt_err fmt_json_bool_or(const struct fmt_json *j, const char *key, bool def, bool *out)
{
    *out = def;
    return fmt_json_get(j, key) ? fmt_json_bool(j, key, out) : RT_OK;
}

enum rt_err fmt_json_str(const struct fmt_json *j, const char *key, const char **out)
{
    const cJSON *node = member(j, key);
    *out = cJSON_IsString(node) ? node->valuestring : NULL;
    return *out ? RT_OK : fail_type(j, key, "a string");
}

enum rt_err fmt_json_str_or(const struct fmt_json *j, const char *key, const char *def,
                            const char **out)
{
    *out = def;
    return fmt_json_get(j, key) ? fmt_json_str(j, key, out) : RT_OK;
}

enum rt_err fmt_json_object(const struct fmt_json *j, const char *key, struct fmt_json *out)
{
    const cJSON *node = member(j, key);
    *out = (struct fmt_json){cJSON_IsObject(node) ? node : NULL, j->where};
    return out->node ? RT_OK : fail_type(j, key, "an object");
}

enum rt_err fmt_json_object_or_null(const struct fmt_json *j, const char *key, struct fmt_json *out)
{
    *out = (struct fmt_json){NULL, j->where};
    return fmt_json_get(j, key) ? fmt_json_object(j, key, out) : RT_OK;
}

enum rt_err fmt_json_array(const struct fmt_json *j, const char *key, const cJSON **out)
{
    const cJSON *node = member(j, key);
    *out = cJSON_IsArray(node) ? node : NULL;
    return *out ? RT_OK : fail_type(j, key, "an array");
}

enum rt_err fmt_json_array_or_null(const struct fmt_json *j, const char *key, const cJSON **out)
{
    *out = NULL;
    return fmt_json_get(j, key) ? fmt_json_array(j, key, out) : RT_OK;
}

bool fmt_json_to_num(const cJSON *node, double *out)
{
    const char *s;
    char *end;

    *out = cJSON_IsNumber(node) ? node->valuedouble : 0.0;
    if (!cJSON_IsString(node))
        return cJSON_IsNumber(node);
    s = node->valuestring;
    if (s[0] == 0 || s[strspn(s, "0123456789+-.eE")] != 0)
        return false;
    *out = strtod(s, &end);
    return *end == 0;
}

enum rt_err fmt_jansson_parse(const char *text, size_t len, const char *file, size_t line,
                              json_t **out)
{
    enum rt_err err = RT_OK;
    struct fmt_json_scan scan = {
        .text = text, .len = len, .where = file, .line = line, .allow_nul = true};
    json_error_t e = {.text = ""};

    *out = NULL;
    RT_TRY(fmt_json_scan(&scan));
    *out = json_loadb(text ? text : "", len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &e);
    if (!*out && e.text[0] == 0) // jansson says nothing only when memory is gone
        RT_TRY(rt_fail(RT_E_NOMEM, "%s:%zu: out of memory", file, line));
    if (!*out)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s:%zu:%d: not valid JSON: %s", file,
                       line + (size_t) (e.line > 0 ? e.line - 1 : 0), e.column, e.text));
done:
    return err;
}
