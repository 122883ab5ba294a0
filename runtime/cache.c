// The disk cache of compiled kernels. Nothing in it is trusted: a file that is not exactly what was
// stored is as good as absent. File: magic, key, length, hash of key and bytes, then the bytes.
#include "runtime/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"

static const char MAGIC[8] = {'A', 'N', 'Y', 'D', 'P', 'O', 'C', '1'};

struct header {
    char magic[8];
    uint64_t key, length, hash; // as the machine orders bytes: the cache is of this machine alone
};

static enum rt_err path_of(const char *dir, const char *kind, uint64_t key, char **out)
{
    char name[64];
    snprintf(name, sizeof(name), "%s-%016llx.bin", kind, (unsigned long long) key);
    return path_join(dir, name, out);
}

static bool sound(const struct file_map *map, uint64_t key)
{
    struct header h;
    if (map->size < sizeof(h))
        return false;
    memcpy(&h, map->data, sizeof(h));
    return memcmp(h.magic, MAGIC, sizeof(MAGIC)) == 0 && h.key == key &&
           h.length == map->size - sizeof(h) &&
           h.hash == rt_hash(key, map->data + sizeof(h), (size_t) h.length);
}

enum rt_err rt_cache_load(const char *dir, const char *kind, uint64_t key, struct str *out)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    char *path = NULL;

    str_clear(out);
    if (!dir)
        return RT_OK;
    RT_TRY(path_of(dir, kind, key, &path));
    if (!file_exists(path) || file_map_open(path, &map) != RT_OK)
        goto done;
    if (sound(&map, key))
        RT_TRY(str_append(out, map.data + sizeof(struct header), map.size - sizeof(struct header)));
    else
        log_info("%s: damaged cache file, made anew", path);
done:
    file_map_close(&map);
    free(path);
    return err;
}

static enum rt_err store(const char *path, uint64_t key, const void *bytes, size_t n)
{
    enum rt_err err = RT_OK;
    struct file_out f = {0};
    struct header h = {.key = key, .length = n, .hash = rt_hash(key, bytes, n)};

    memcpy(h.magic, MAGIC, sizeof(MAGIC));
    RT_TRY(file_out_open(path, &f));
    RT_TRY(file_out_write(&f, &h, sizeof(h)));
    RT_TRY(file_out_write(&f, bytes, n));
    RT_TRY(file_out_commit(&f));
done:
    file_out_close(&f);
    return err;
}

void rt_cache_store(const char *dir, const char *kind, uint64_t key, const void *bytes, size_t n)
{
    char *path = NULL;
    if (!dir)
        return;
    if (path_of(dir, kind, key, &path) != RT_OK || store(path, key, bytes, n) != RT_OK)
        log_warn("%s: compiled kernels are not kept", dir);
    free(path);
}
