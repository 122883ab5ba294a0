// What is removed from the folder of tokenised rows.
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/data/cache.h"

#define DAY_S 86400.0
enum { KEY_LEN = 32 };
static const char ENDING[] = ".tokens";

struct entry {
    char *path;
    uint64_t size;
    double age_s;
};

struct list {
    struct entry *v;
    size_t n, removed;
    uint64_t bytes, removed_bytes;
};

// KEY.tokens, or with `half` KEY.tokens.tmp-PROCESS.
static bool is_name(const char *name, bool half)
{
    const char *behind = name + KEY_LEN + sizeof(ENDING) - 1;

    if (strspn(name, "0123456789abcdef") != KEY_LEN || !str_has_prefix(name + KEY_LEN, ENDING))
        return false;
    if (!half)
        return *behind == 0;
    return str_has_prefix(behind, ".tmp-") && behind[5] &&
           strspn(behind + 5, "0123456789") == strlen(behind + 5);
}

static enum rt_err drop(struct list *list, const struct entry *e)
{
    enum rt_err err = RT_OK;
    RT_TRY(file_remove(e->path));
    list->removed++;
    list->removed_bytes += e->size;
done:
    return err;
}

// One name of the folder: kept in the list, or removed.
static enum rt_err look(struct list *list, const char *folder, const char *name, const char *keep)
{
    enum rt_err err = RT_OK;
    struct entry e = {0};
    struct file_info info;
    const bool half = is_name(name, true);

    if (!half && !is_name(name, false))
        goto done;
    RT_TRY(path_join(folder, name, &e.path));
    if (!file_info(e.path, &info))
        goto done;
    e.size = info.size;
    e.age_s = info.age_s;
    const char *stale = half ? "left half-written" : ds_cache_stale(e.path);
    if ((stale && !*stale) || (half && e.age_s <= DAY_S))
        goto done;
    if (strcmp(e.path, keep) != 0 && (stale || e.age_s > DS_CACHE_DAYS * DAY_S)) {
        RT_TRY(drop(list, &e));
        goto done;
    }
    list->v[list->n++] = e;
    list->bytes += e.size;
    e.path = NULL;
done:
    free(e.path);
    return err;
}

static int oldest_first(const void *a, const void *b)
{
    const double x = ((const struct entry *) a)->age_s, y = ((const struct entry *) b)->age_s;
    return (x < y) - (x > y);
}

static enum rt_err trim(const char *folder, const char *keep, uint64_t most, struct list *done)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};
    struct list list = {0};

    RT_TRY(dir_list(folder, &names));
    list.v = calloc(names.n + 1, sizeof(*list.v));
    RT_REQUIRE(list.v, RT_E_NOMEM);
    for (size_t i = 0; i < names.n; i++)
        RT_TRY(look(&list, folder, names.name[i], keep));
    qsort(list.v, list.n, sizeof(*list.v), oldest_first);
    for (size_t i = 0; i < list.n && most && list.bytes > most; i++) {
        if (strcmp(list.v[i].path, keep) == 0)
            continue;
        RT_TRY(drop(&list, &list.v[i]));
        list.bytes -= list.v[i].size;
    }
done:
    for (size_t i = 0; i < list.n; i++)
        free(list.v[i].path);
    free(list.v);
    *done = (struct list){.removed = list.removed, .removed_bytes = list.removed_bytes};
    dir_names_free(&names);
    return err;
}

void ds_cache_trim(const char *folder, const char *keep, uint64_t most)
{
    struct str why = {0};
    struct list did;
    enum rt_err err;

    log_capture(&why);
    err = trim(folder, keep, most, &did);
    log_capture(NULL);
    if (did.removed)
        log_info("%s: %zu files of tokens removed, %.1f MiB: longest unused, or of no more use",
                 folder, did.removed, (double) did.removed_bytes / 0x1p20);
    if (err != RT_OK)
        log_warn("%s: old tokens stay: %s", folder, why.len ? why.data + 1 : rt_err_name(err));
    str_free(&why);
}
