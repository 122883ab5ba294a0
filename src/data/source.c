#include "src/data/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"
#include "src/data/glob.h"
#include "src/data/records.h"

// ---- files --------------------------------------------------------------------------------------

// Takes ownership of `path`, also on error.
static enum rt_err add(struct ds_files *files, char *path, uint32_t part)
{
    enum rt_err err = RT_OK;
    struct ds_kind kind;
    struct ds_file *grown;

    RT_TRY(ds_kind_of(path, &kind));
    grown = realloc(files->v, (files->n + 1) * sizeof(*grown));
    if (!grown)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of files"));
    files->v = grown;
    grown[files->n++] = (struct ds_file){path, part};
    path = NULL;
done:
    free(path);
    return err;
}

static enum rt_err add_split(struct ds_files *files, const char *folder, const char *split,
                             uint32_t part)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};
    char *path;

    RT_TRY(dir_list(folder, &names));
    for (size_t i = 0; i < names.n; i++) {
        if (!ds_is_split(names.name[i], split))
            continue;
        RT_TRY(path_join(folder, names.name[i], &path));
        RT_TRY(add(files, path, part));
    }
done:
    dir_names_free(&names);
    return err;
}

// Of the folder, or else of the folder `data` in it, where repositories on the Hub have them.
static enum rt_err add_folder(struct ds_files *files, const char *folder, const char *split,
                              uint32_t part)
{
    enum rt_err err = RT_OK;
    const uint32_t before = files->n;
    char *data = NULL;

    RT_TRY(add_split(files, folder, split, part));
    RT_TRY(path_join(folder, "data", &data));
    if (files->n == before && dir_exists(data))
        RT_TRY(add_split(files, data, split, part));
    if (files->n == before)
        RT_TRY(rt_fail(RT_E_NOT_FOUND,
                       "%s: expected a folder with %s.jsonl (.json, .csv, .tsv; .gz, .zst), found "
                       "none",
                       folder, split));
done:
    free(data);
    return err;
}

static enum rt_err add_pattern(struct ds_files *files, const char *pattern, uint32_t part)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};
    char *path;

    RT_TRY(ds_glob(pattern, &names));
    for (size_t i = 0; i < names.n; i++) {
        RT_TRY(str_dup(names.name[i], &path));
        RT_TRY(add(files, path, part));
    }
done:
    dir_names_free(&names);
    return err;
}

static enum rt_err add_path(struct ds_files *files, const struct ds_part *p, const char *name,
                            uint32_t part)
{
    enum rt_err err = RT_OK;
    char *path = NULL;

    RT_TRY(p->folder && name[0] != '/' ? path_join(p->folder, name, &path) : str_dup(name, &path));
    if (dir_exists(path)) {
        RT_TRY(add_folder(files, path, p->split ? p->split : "train", part));
    } else if (ds_glob_is(name) && !file_exists(path)) {
        RT_TRY(add_pattern(files, path, part));
    } else {
        err = add(files, path, part);
        path = NULL;
    }
done:
    free(path);
    return err;
}

enum rt_err ds_files_find(const struct ds_part *parts, uint32_t n_parts, struct ds_files *out)
{
    enum rt_err err = RT_OK;
    struct ds_files files = {0};

    *out = files;
    for (uint32_t i = 0; i < n_parts; i++)
        for (uint32_t k = 0; k < parts[i].n_paths; k++)
            RT_TRY(add_path(&files, &parts[i], parts[i].paths[k], i));
    *out = files;
    files = (struct ds_files){0};
done:
    ds_files_free(&files);
    return err;
}

void ds_files_free(struct ds_files *files)
{
    for (uint32_t i = 0; i < files->n; i++)
        free(files->v[i].path);
    free(files->v);
    *files = (struct ds_files){0};
}

enum rt_err ds_folder_has(const char *folder, const char *split, bool *out)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};
    char *data = NULL;

    *out = false;
    RT_TRY(path_join(folder, "data", &data));
    for (int below = 0; below <= dir_exists(data) && !*out; below++) {
        dir_names_free(&names);
        RT_TRY(dir_list(below ? data : folder, &names));
        for (size_t i = 0; i < names.n && !*out; i++)
            *out = ds_is_split(names.name[i], split);
    }
done:
    dir_names_free(&names);
    free(data);
    return err;
}

// ---- fractions ----------------------------------------------------------------------------------

static enum rt_err count_rows(const char *path, uint64_t *n)
{
    enum rt_err err = RT_OK;
    struct fmt_stream *stream = NULL;
    struct ds_records *records = NULL;
    struct ds_record rec;
    struct ds_kind kind;

    RT_TRY(ds_kind_of(path, &kind));
    RT_TRY(fmt_stream_open(path, kind.packing, &stream));
    RT_TRY(ds_records_open(&stream, kind.format, path, &records));
    for (;; ++*n) {
        RT_TRY(ds_records_next(records, &rec));
        if (!rec.text)
            break;
    }
done:
    ds_records_close(&records);
    fmt_stream_close(&stream);
    return err;
}

enum rt_err ds_limits(const struct ds_part *parts, uint32_t n_parts, const struct ds_files *files,
                      uint64_t *limits)
{
    enum rt_err err = RT_OK;
    uint32_t with = 0;
    double sum = 0.0, total = INFINITY;

    for (uint32_t i = 0; i < n_parts; i++) {
        with += parts[i].has_fraction;
        sum += parts[i].has_fraction ? parts[i].fraction : 0.0;
        limits[i] = UINT64_MAX;
    }
    if (with == 0)
        goto done;
    if (with != n_parts || !(sum > 0.0))
        RT_TRY(rt_fail(RT_E_USAGE,
                       "datasets: expected a fraction for each of %u parts, one of them above 0, "
                       "or for none",
                       n_parts));
    for (uint32_t i = 0; i < n_parts; i++)
        limits[i] = 0;
    for (uint32_t i = 0; i < files->n; i++)
        RT_TRY(count_rows(files->v[i].path, &limits[files->v[i].part]));
    for (uint32_t i = 0; i < n_parts; i++)
        if (parts[i].fraction > 0.0)
            total = fmin(total, (double) limits[i] / (parts[i].fraction / sum));
    for (uint32_t i = 0; i < n_parts; i++)
        limits[i] = (uint64_t) rint(parts[i].fraction / sum * total);
done:
    return err;
}

// ---- columns ------------------------------------------------------------------------------------

static enum rt_err fail_column(const char *where, const char *name, json_t *row)
{
    struct str have = {0};
    enum rt_err err = RT_OK;

    for (void *it = json_object_iter(row); it; it = json_object_iter_next(row, it))
        RT_TRY(str_printf(&have, "%s%.60s", have.len ? ", " : "", json_object_iter_key(it)));
    RT_TRY(rt_fail(RT_E_FORMAT, "%s: columns: expected a column \"%s\", found %s", where, name,
                   have.len ? have.data : "none"));
done:
    str_free(&have);
    return err;
}

enum rt_err ds_rename(const struct ds_part *part, const char *where, json_t *row)
{
    enum rt_err err = RT_OK;
    json_t *v[DS_COLUMNS] = {0};

    if (part->n_columns == 0 || !json_is_object(row))
        goto done; // what is no object is refused where the row is made
    for (uint32_t i = 0; i < part->n_columns; i++) {
        v[i] = json_incref(json_object_get(row, part->columns[i].from));
        if (!v[i])
            RT_TRY(fail_column(where, part->columns[i].from, row));
    }
    if (part->select)
        json_object_clear(row);
    for (uint32_t i = 0; i < part->n_columns && !part->select; i++)
        json_object_del(row, part->columns[i].from);
    for (uint32_t i = 0; i < part->n_columns; i++)
        if (json_object_set(row, part->columns[i].to, v[i]) != 0)
            RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: a row"));
done:
    for (uint32_t i = 0; i < DS_COLUMNS; i++)
        json_decref(v[i]);
    return err;
}
