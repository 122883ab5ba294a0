// Options of the rows that are trained on: dataset_name, columns, and TRL's mixture `datasets`.
#include "src/api/options_internal.h"
#include <stdio.h>

#include "src/base/arith.h"

static enum rt_err fail_kind(const char *where, const char *expected, const cJSON *v)
{
    return rt_fail(RT_E_USAGE, "%s: expected %s, found %s %.60s", where, expected, fmt_json_kind(v),
                   cJSON_IsString(v) ? v->valuestring : "");
}

// ---- columns ------------------------------------------------------------------------------------

// "to=from,to=from" into a mapping.
static enum rt_err columns_of_text(const char *text, const char *from, cJSON *out)
{
    enum rt_err err = RT_OK;
    char *copy = NULL, *eq, *next;

    RT_TRY(str_dup(text, &copy));
    for (char *p = copy; p; p = next) {
        next = strchr(p, ',');
        if (next)
            *next++ = 0;
        eq = strchr(p, '=');
        if (!eq || eq == p || !eq[1])
            RT_TRY(
                rt_fail(RT_E_USAGE,
                        "%s: columns: expected prompt=NAME,chosen=NAME,rejected=NAME, found %.60s",
                        from, text));
        *eq = 0;
        if (cJSON_GetObjectItemCaseSensitive(out, p))
            RT_TRY(rt_fail(RT_E_USAGE, "%s: columns: %.60s is named twice", from, p));
        RT_REQUIRE(cJSON_AddStringToObject(out, p, eq + 1), RT_E_NOMEM);
    }
done:
    free(copy);
    return err;
}

enum rt_err opt_columns(cJSON **v, const char *from)
{
    enum rt_err err = RT_OK;
    cJSON *map = NULL, *item;

    if (cJSON_IsString(*v)) {
        map = cJSON_CreateObject();
        RT_REQUIRE(map, RT_E_NOMEM);
        RT_TRY(columns_of_text((*v)->valuestring, from, map));
        cJSON_Delete(*v);
        *v = map;
        map = NULL;
    }
    if (!cJSON_IsObject(*v))
        RT_TRY(rt_fail(RT_E_USAGE, "%s: columns: expected prompt=NAME,... or a mapping, found %s",
                       from, fmt_json_kind(*v)));
    cJSON_ArrayForEach(item, *v)
    {
        if (!cJSON_IsString(item))
            RT_TRY(rt_fail(RT_E_USAGE, "%s: columns: %.60s: expected a column's name, found %s",
                           from, item->string, fmt_json_kind(item)));
    }
done:
    cJSON_Delete(map);
    return err;
}

// A mapping of the row's names to the file's, or a list of names that alone count.
static enum rt_err add_columns(const cJSON *v, const char *where, struct ds_part *p)
{
    enum rt_err err = RT_OK;
    const cJSON *item;

    if (!v)
        goto done;
    if (!cJSON_IsArray(v) && !cJSON_IsObject(v))
        RT_TRY(fail_kind(where, "a list or a mapping", v));
    p->select = cJSON_IsArray(v);
    cJSON_ArrayForEach(item, v)
    {
        if (!cJSON_IsString(item))
            RT_TRY(fail_kind(where, "names of columns", item));
        if (p->n_columns == DS_COLUMNS)
            RT_TRY(rt_fail(RT_E_USAGE, "%s: expected up to %d columns, found more", where,
                           DS_COLUMNS));
        p->columns[p->n_columns++] =
            (struct ds_column){p->select ? item->valuestring : item->string, item->valuestring};
    }
done:
    return err;
}

// ---- files --------------------------------------------------------------------------------------

// A path, or a list of them.
static enum rt_err add_paths(const cJSON *v, const char *where, struct ds_part *p)
{
    enum rt_err err = RT_OK;
    const cJSON *item = cJSON_IsArray(v) ? v->child : v;

    for (; item; item = cJSON_IsArray(v) ? item->next : NULL) {
        if (!cJSON_IsString(item) || !item->valuestring[0])
            RT_TRY(fail_kind(where, "a path or a list of paths", item));
        if (strstr(item->valuestring, "://"))
            RT_TRY(rt_fail(RT_E_USAGE, "%s: expected paths on disk, found %.200s", where,
                           item->valuestring));
        if (p->n_paths == DS_PATHS)
            RT_TRY(rt_fail(RT_E_USAGE, "%s: expected up to %d paths, found more", where, DS_PATHS));
        p->paths[p->n_paths++] = item->valuestring;
    }
    if (p->n_paths == 0)
        RT_TRY(rt_fail(RT_E_USAGE, "%s: expected a path, found none", where));
done:
    return err;
}

bool opt_is_format(const char *path)
{
    return strcmp(path, "json") == 0 || strcmp(path, "csv") == 0;
}

// path, data_dir and data_files as load_dataset reads them: path is a file, a folder, or the name
// of a format whose files data_files or data_dir name.
static enum rt_err resolve_files(const cJSON *path, const cJSON *dir, const cJSON *files,
                                 const char *where, struct ds_part *p)
{
    enum rt_err err = RT_OK;
    bool format;

    if (!cJSON_IsString(path))
        RT_TRY(rt_fail(RT_E_USAGE, "%s: path: expected a file or folder on disk, found %s", where,
                       fmt_json_kind(path)));
    format = opt_is_format(path->valuestring);
    if (dir && files)
        RT_TRY(rt_fail(RT_E_USAGE, "%s: expected data_dir or data_files, found both", where));
    if (format && !dir && !files)
        RT_TRY(rt_fail(RT_E_USAGE, "%s: path %s needs data_files", where, path->valuestring));
    if (cJSON_IsObject(files)) { // by split
        const cJSON *of = cJSON_GetObjectItemCaseSensitive(files, p->split);
        if (!of)
            RT_TRY(rt_fail(RT_E_USAGE, "%s: data_files: expected files of the split %s, found none",
                           where, p->split));
        files = of;
    }
    if (!format && (dir || files))
        p->folder = path->valuestring;
    RT_TRY(add_paths(files ? files : dir ? dir : path, where, p));
done:
    return err;
}

// ---- datasets -----------------------------------------------------------------------------------

enum { PATH, NAME, DATA_DIR, DATA_FILES, SPLIT, COLUMNS, FRACTION, KEYS };
static const char *const KEY[KEYS] = {"path",  "name",    "data_dir", "data_files",
                                      "split", "columns", "fraction"};

// The values of an entry by KEY; NULL: not given.
static enum rt_err read_keys(const cJSON *v, const char *where, const cJSON *out[KEYS])
{
    enum rt_err err = RT_OK;
    const cJSON *item;

    if (!cJSON_IsObject(v))
        RT_TRY(fail_kind(where, "a mapping with a path", v));
    cJSON_ArrayForEach(item, v)
    {
        int k = 0;
        while (k < KEYS && strcmp(KEY[k], item->string) != 0)
            k++;
        if (k == KEYS)
            RT_TRY(rt_fail(RT_E_USAGE,
                           "%s: expected path, data_dir, data_files, split, columns or fraction, "
                           "found %.60s",
                           where, item->string));
        out[k] = cJSON_IsNull(item) ? NULL : item;
    }
done:
    return err;
}

static enum rt_err resolve_entry(const cJSON *v, int i, struct ds_part *p)
{
    enum rt_err err = RT_OK;
    const cJSON *key[KEYS] = {0};
    char where[32], at[48];

    snprintf(where, sizeof(where), "datasets[%d]", i);
    RT_TRY(read_keys(v, where, key));
    if (key[NAME])
        RT_TRY(rt_fail(RT_E_USAGE, "%s: name: files on disk have no configuration", where));
    p->split = "train";
    if (key[SPLIT] && (!cJSON_IsString(key[SPLIT]) || strpbrk(key[SPLIT]->valuestring, "[+/")))
        RT_TRY(rt_fail(RT_E_USAGE, "%s: split: expected a plain name like train, found %.60s",
                       where, cJSON_IsString(key[SPLIT]) ? key[SPLIT]->valuestring : "no text"));
    if (key[SPLIT])
        p->split = key[SPLIT]->valuestring;
    RT_TRY(resolve_files(key[PATH], key[DATA_DIR], key[DATA_FILES], where, p));
    snprintf(at, sizeof(at), "%s: columns", where);
    RT_TRY(add_columns(key[COLUMNS], at, p));
    p->has_fraction = key[FRACTION] != NULL;
    if (key[FRACTION] && (!fmt_json_to_num(key[FRACTION], &p->fraction) ||
                          !(p->fraction >= 0.0 && p->fraction <= 1e9)))
        RT_TRY(rt_fail(RT_E_USAGE, "%s: fraction: expected a number of 0 or more", where));
done:
    return err;
}

static enum rt_err resolve_mixture(const cJSON *v, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    const cJSON *item;

    if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) < 1 || cJSON_GetArraySize(v) > DS_PARTS)
        RT_TRY(rt_fail(RT_E_USAGE, "datasets: expected a list of 1 .. %d mappings with a path",
                       DS_PARTS));
    cJSON_ArrayForEach(item, v)
    {
        RT_TRY(resolve_entry(item, (int) c->n_parts, &c->parts[c->n_parts]));
        c->n_parts++;
    }
done:
    return err;
}

enum rt_err opt_resolve_data(const struct options *o, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    const cJSON *name = given(o, "dataset_name"), *mixture = given(o, "datasets"),
                *columns = given(o, "columns");

    if (mixture && name)
        log_warn("datasets and dataset_name are both given: dataset_name is ignored, as in TRL");
    if (mixture) {
        RT_TRY(resolve_mixture(mixture, c));
    } else {
        RT_TRY(add_paths(name, "dataset_name", &c->parts[0]));
        c->parts[0].split = text_of(o, "dataset_train_split");
        c->n_parts = 1;
    }
    for (uint32_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].n_columns == 0)
            RT_TRY(add_columns(columns, "columns", &c->parts[i]));
    c->dataset_name = c->parts[0].folder ? c->parts[0].folder : c->parts[0].paths[0];
done:
    return err;
}
