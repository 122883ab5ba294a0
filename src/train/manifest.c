#include "src/train/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/hash.h"
#include "src/format/json.h"

enum { FORMAT = 1, DEEPEST = 4, PIECE = 16 << 20 };

struct digest {
    uint64_t bytes;
    char hex[17];
};

static enum rt_err digest_of(const char *path, struct digest *out)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    struct hash h;

    RT_TRY(file_map_open(path, &map));
    hash_begin(&h, 0);
    for (size_t at = 0, n; at < map.size; at += n) {
        n = (size_t) u64_min(PIECE, map.size - at);
        hash_add(&h, map.data + at, n);
        file_map_done_with(&map, at, n);
    }
    out->bytes = map.size;
    snprintf(out->hex, sizeof(out->hex), "%016" PRIx64, hash_end(&h));
done:
    file_map_close(&map);
    return err;
}

// ---- Writing ----------------------------------------------------------------------------------

// The files of dir/sub ("" = dir itself, else "name/") and below.
static enum rt_err list_files(struct fmt_jw *w, const char *dir, const char *sub, unsigned depth)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};
    struct digest digest;
    struct str path = {0}, name = {0};

    RT_TRY(str_printf(&path, "%s/%s", dir, sub));
    RT_TRY(dir_list(path.data, &names));
    RT_REQUIRE(depth < DEEPEST, RT_E_ARG);
    for (size_t i = 0; i < names.n; i++) {
        str_clear(&path);
        str_clear(&name);
        RT_TRY(str_printf(&path, "%s/%s%s", dir, sub, names.name[i]));
        RT_TRY(str_printf(&name, "%s%s", sub, names.name[i]));
        if (dir_exists(path.data)) {
            RT_TRY(str_putc(&name, '/'));
            RT_TRY(list_files(w, dir, name.data, depth + 1));
            continue;
        }
        RT_TRY(digest_of(path.data, &digest));
        fmt_jw_object(w);
        fmt_jw_put_str(w, "name", name.data);
        fmt_jw_put_int(w, "bytes", (int64_t) digest.bytes);
        fmt_jw_put_str(w, "xxh64", digest.hex);
        fmt_jw_end(w);
    }
    str_clear(&path);
    RT_TRY(str_printf(&path, "%s/%s", dir, sub));
    RT_TRY(dir_sync(path.data));
done:
    dir_names_free(&names);
    str_free(&path);
    str_free(&name);
    return err;
}

enum rt_err tr_manifest_write(const char *dir)
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    struct fmt_jw w = {.out = &text, .indent = 1};
    char *path = NULL;

    fmt_jw_object(&w);
    fmt_jw_put_int(&w, "format", FORMAT);
    fmt_jw_key(&w, "files");
    fmt_jw_array(&w);
    RT_TRY(list_files(&w, dir, "", 0));
    fmt_jw_end(&w);
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(str_putc(&text, '\n'));
    RT_TRY(path_join(dir, TR_MANIFEST, &path));
    RT_TRY(file_write(path, text.data, text.len));
    RT_TRY(dir_sync(dir));
done:
    free(path);
    str_free(&text);
    return err;
}

// ---- Reading ----------------------------------------------------------------------------------

// Note a fault that is not logged here.
static enum rt_err fault(struct str *why, const char *what, const char *name)
{
    const enum rt_err err = str_printf(why, "%s %s", name, what);
    return err == RT_OK ? RT_E_FORMAT : err;
}

static bool is_inside(const char *name)
{
    return name[0] && name[0] != '/' && !strstr(name, "..");
}

static enum rt_err check_file(const char *dir, const cJSON *row, struct str *why)
{
    enum rt_err err = RT_OK;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(row, "name"),
                *bytes = cJSON_GetObjectItemCaseSensitive(row, "bytes"),
                *hex = cJSON_GetObjectItemCaseSensitive(row, "xxh64");
    struct digest found;
    char *path = NULL;

    if (!cJSON_IsString(name) || !cJSON_IsNumber(bytes) || !cJSON_IsString(hex) ||
        !is_inside(name->valuestring))
        return fault(why, "is damaged", TR_MANIFEST);
    RT_TRY(path_join(dir, name->valuestring, &path));
    if (!file_exists(path))
        RT_TRY(fault(why, "is missing", name->valuestring));
    RT_TRY(digest_of(path, &found));
    if ((double) found.bytes < bytes->valuedouble || (double) found.bytes > bytes->valuedouble) {
        RT_TRY(str_printf(why, "%s has %" PRIu64 " bytes, expected %.0f", name->valuestring,
                          found.bytes, bytes->valuedouble));
        err = RT_E_FORMAT;
    } else if (strcmp(found.hex, hex->valuestring) != 0) {
        RT_TRY(str_printf(why, "%s is damaged: its XXH64 is %s, expected %.16s", name->valuestring,
                          found.hex, hex->valuestring));
        err = RT_E_FORMAT;
    }
done:
    free(path);
    return err;
}

enum rt_err tr_manifest_verify(const char *dir, struct str *why)
{
    enum rt_err err = RT_OK;
    cJSON *root = NULL;
    const cJSON *row, *format, *files;
    char *path = NULL;

    RT_TRY(path_join(dir, TR_MANIFEST, &path));
    if (!file_exists(path))
        RT_TRY(fault(why, "is missing", TR_MANIFEST));
    err = fmt_json_read(path, &root);
    if (err == RT_E_FORMAT)
        err = fault(why, "is damaged", TR_MANIFEST);
    RT_TRY(err);
    format = cJSON_GetObjectItemCaseSensitive(root, "format");
    files = cJSON_GetObjectItemCaseSensitive(root, "files");
    if (!cJSON_IsNumber(format) || !cJSON_IsArray(files))
        RT_TRY(fault(why, "is damaged", TR_MANIFEST));
    if (format->valueint != FORMAT)
        RT_TRY(fault(why, "is of another version of this program", TR_MANIFEST));
    cJSON_ArrayForEach(row, files) RT_TRY(check_file(dir, row, why));
done:
    cJSON_Delete(root);
    free(path);
    return err;
}
