// One value: from text or a recipe's node into its place, checked against its row.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/api/options_internal.h"
#include "src/base/arith.h"
#include "src/format/yaml.h"

static size_t row_count(void)
{
    size_t n = 0;
    while (OPT_ROWS[n].name)
        n++;
    return n;
}

size_t opt_row_index(const char *name)
{
    size_t i = 0;
    while (OPT_ROWS[i].name && strcmp(OPT_ROWS[i].name, name) != 0)
        i++;
    return i;
}

enum rt_err options_create(struct options *out)
{
    out->values = calloc(row_count(), sizeof(*out->values));
    return out->values ? RT_OK : rt_fail(RT_E_NOMEM, "out of memory: options");
}

void options_destroy(struct options *o)
{
    for (size_t i = 0; o->values && OPT_ROWS[i].name; i++)
        cJSON_Delete(o->values[i]);
    free(o->values);
    *o = (struct options){0};
}

// ---- One value --------------------------------------------------------------------------------

bool opt_to_bool(const cJSON *v, bool *out)
{
    static const char *const WORDS[] = {"false", "true", "False", "True", "no", "yes", "0", "1"};
    if (cJSON_IsBool(v)) {
        *out = cJSON_IsTrue(v) != 0;
        return true;
    }
    for (size_t i = 0; cJSON_IsString(v) && i < COUNT_OF(WORDS); i++)
        if (strcmp(v->valuestring, WORDS[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    return false;
}

bool opt_has_word(const char *words, const char *w)
{
    const size_t n = strlen(w);
    for (; words; words = strchr(words, '|') ? strchr(words, '|') + 1 : NULL)
        if (strncmp(words, w, n) == 0 && (words[n] == '|' || words[n] == 0))
            return true;
    return false;
}

static enum rt_err check_number(const struct opt_row *row, const cJSON *v, const char *from)
{
    double x;
    char a[32], b[32];
    if (!fmt_json_to_num(v, &x))
        return rt_fail(RT_E_USAGE, "%s: %s: expected a number, found %s %.60s", from, row->name,
                       fmt_json_kind(v), cJSON_IsString(v) ? v->valuestring : "");
    if (row->kind == OPT_INT && fabs(x - nearbyint(x)) > 0.0)
        return rt_fail(RT_E_USAGE, "%s: %s: expected an integer, found %s", from, row->name,
                       fmt_num_print(a, x, false));
    if (!(x >= row->min && x <= row->max)) {
        char c[32];
        return rt_fail(RT_E_USAGE, "%s: %s: expected %s .. %s, found %s", from, row->name,
                       fmt_num_print(a, row->min, false), fmt_num_print(b, row->max, false),
                       fmt_num_print(c, x, false));
    }
    return RT_OK;
}

static enum rt_err check_value(const struct opt_row *row, const cJSON *v, const char *from)
{
    bool b;
    if (row->kind == OPT_INT || row->kind == OPT_NUM)
        return check_number(row, v, from);
    if (row->kind == OPT_BOOL && !opt_to_bool(v, &b))
        return rt_fail(RT_E_USAGE, "%s: %s: expected true or false, found %s %.60s", from,
                       row->name, fmt_json_kind(v), cJSON_IsString(v) ? v->valuestring : "");
    if (row->kind == OPT_MAP && !cJSON_IsObject(v))
        return rt_fail(RT_E_USAGE, "%s: %s: expected a mapping, found %s %.60s", from, row->name,
                       fmt_json_kind(v), cJSON_IsString(v) ? v->valuestring : "");
    if (row->kind == OPT_STR && row->rule == OPT_USED && !cJSON_IsString(v))
        return rt_fail(RT_E_USAGE, "%s: %s: expected text, found %s", from, row->name,
                       fmt_json_kind(v));
    if (row->kind == OPT_PATH && !cJSON_IsString(v) && !cJSON_IsBool(v))
        return rt_fail(RT_E_USAGE, "%s: %s: expected true, false or a folder, found %s", from,
                       row->name, fmt_json_kind(v));
    if (row->values && !opt_has_word(row->values, v->valuestring))
        return rt_fail(RT_E_USAGE, "%s: %s: expected one of %s, found %.60s", from, row->name,
                       row->values, v->valuestring);
    return RT_OK;
}

// Is a valid value the row's default? Lists of one count as their item.
bool opt_is_default(const struct opt_row *row, const cJSON *v)
{
    bool b, d;
    double x;
    if (!row->def)
        return cJSON_IsObject(v) && !v->child;
    if (cJSON_IsArray(v))
        return cJSON_GetArraySize(v) == 1 && opt_is_default(row, v->child);
    if (row->kind == OPT_BOOL)
        return opt_to_bool(v, &b) &&
               opt_to_bool(
                   &(cJSON){.type = cJSON_String, .valuestring = (char *) (uintptr_t) row->def},
                   &d) &&
               b == d;
    if (row->kind == OPT_INT || row->kind == OPT_NUM)
        return fmt_json_to_num(v, &x) && fabs(x - strtod(row->def, NULL)) <= 0.0;
    return cJSON_IsString(v) && strcmp(v->valuestring, row->def) == 0;
}

static enum rt_err fail_unknown(const char *name, const char *from)
{
    const char *best = NULL;
    unsigned least = 255;
    for (size_t i = 0; OPT_ROWS[i].name; i++) {
        const unsigned d = str_distance(name, OPT_ROWS[i].name);
        if (d < least) {
            least = d;
            best = OPT_ROWS[i].name;
        }
    }
    if (best && least <= 4)
        return rt_fail(RT_E_USAGE, "%s: unknown option %.60s; did you mean %s?", from, name, best);
    return rt_fail(RT_E_USAGE, "%s: unknown option %.60s; anydpo train --help lists them", from,
                   name);
}

// A mapping that was written as JSON text is replaced by what it says.
static enum rt_err open_map(const struct opt_row *row, const char *from, cJSON **v)
{
    enum rt_err err = RT_OK;
    const char *text = cJSON_IsString(*v) ? (*v)->valuestring : "";
    char where[120];
    cJSON *map;

    if (row->kind != OPT_MAP || text[0] != '{')
        return RT_OK;
    snprintf(where, sizeof(where), "%.60s: %.50s", from, row->name);
    err = fmt_json_parse(text, strlen(text), where, &map);
    if (err != RT_OK)
        return err == RT_E_FORMAT ? RT_E_USAGE : err;
    cJSON_Delete(*v);
    *v = map;
    return RT_OK;
}

// Takes ownership of `v`, also on error.
static enum rt_err set(struct options *o, const char *name, cJSON *v, const char *from)
{
    enum rt_err err = RT_OK;
    const size_t i = opt_row_index(name);
    const struct opt_row *row = &OPT_ROWS[i];

    if (!row->name)
        RT_TRY(fail_unknown(name, from));
    if (cJSON_IsNull(v) && strcmp(name, "max_length") != 0) // not given
        goto done;
    if (row->rule == OPT_GONE)
        RT_TRY(rt_fail(RT_E_USAGE, "%s: %s: %s", from, name, row->help));
    RT_TRY(open_map(row, from, &v));
    if (!cJSON_IsNull(v))
        RT_TRY(check_value(row, v, from));
    if (strcmp(name, "columns") == 0)
        RT_TRY(opt_columns(&v, from));
    if (strcmp(name, "env") == 0)
        RT_TRY(opt_set_env(v));
    if (row->rule == OPT_DEFAULT && !opt_is_default(row, v))
        RT_TRY(rt_fail(RT_E_USAGE, "%s: %s: %s (default: %s)", from, name, row->help,
                       row->def ? row->def : "not given"));
    cJSON_Delete(o->values[i]);
    o->values[i] = v;
    v = NULL;
done:
    cJSON_Delete(v);
    return err;
}

enum rt_err options_set_text(struct options *o, const char *name, const char *text,
                             const char *from)
{
    enum rt_err err = RT_OK;
    char where[120];
    cJSON *v = NULL;

    snprintf(where, sizeof(where), "%.60s: %.50s", from, name);
    if (text[0] == '[' || text[0] == '{')
        RT_TRY(fmt_json_parse(text, strlen(text), where, &v));
    else if (strcmp(text, "null") == 0 || strcmp(text, "None") == 0)
        v = cJSON_CreateNull();
    else
        v = cJSON_CreateString(text);
    RT_REQUIRE(v, RT_E_NOMEM);
    err = set(o, name, v, from);
done:
    return err == RT_E_FORMAT ? RT_E_USAGE : err;
}

enum rt_err options_quote(struct str *out, const char *word)
{
    return fmt_json_escape(out, word, strlen(word), false);
}

enum rt_err options_load(struct options *o, const char *path)
{
    enum rt_err err = RT_OK;
    cJSON *root = NULL, *v;

    RT_TRY(fmt_recipe_read(path, &root));
    cJSON_ArrayForEach(v, root)
    {
        const size_t i = opt_row_index(v->string);
        if (OPT_ROWS[i].name && o->values[i])
            continue;
        cJSON *copy = cJSON_Duplicate(v, 1);
        RT_REQUIRE(copy, RT_E_NOMEM);
        RT_TRY(set(o, v->string, copy, path));
    }
done:
    cJSON_Delete(root);
    return err;
}
