#include "src/format/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/format/json.h"

#define META "__metadata__"

// Make the array *p hold n (at least 1) entries; on error it stays as it was.
static enum rt_err grow(void **p, size_t n, size_t size, const char *where)
{
    void *q = NULL;
    size_t bytes;
    if (size_mul(n ? n : 1, size, &bytes))
        q = realloc(*p, bytes);
    if (!q)
        return rt_fail(RT_E_NOMEM, "%s: out of memory: %zu entries", where, n);
    *p = q;
    return RT_OK;
}

// ---- one file ----

static bool whole_number(const cJSON *node, uint64_t *out)
{
    const double v = cJSON_IsNumber(node) ? node->valuedouble : -1.0;
    if (!(v >= 0.0 && v < 0x1p53) || v != (double) (uint64_t) v)
        return false;
    *out = (uint64_t) v;
    return true;
}

static enum rt_err read_shape(const struct fmt_json *j, struct fmt_tensor *t)
{
    enum rt_err err = RT_OK;
    const cJSON *shape, *dim;
    size_t count = 1;

    RT_TRY(fmt_json_array(j, "shape", &shape));
    cJSON_ArrayForEach(dim, shape)
    {
        if (t->rank == FMT_MAX_RANK)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: more than %u dimensions", j->where, FMT_MAX_RANK));
        if (!whole_number(dim, &t->shape[t->rank]))
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: shape: expected whole numbers below 2^53", j->where));
        if (!size_mul(count, t->shape[t->rank], &count))
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: the product of its shape overflows", j->where));
        t->rank++;
    }
    t->count = count;
done:
    return err;
}

// data[0, size) is what follows the header.
static enum rt_err read_offsets(const struct fmt_json *j, const unsigned char *data, size_t size,
                                struct fmt_tensor *t)
{
    enum rt_err err = RT_OK;
    const cJSON *pair;
    uint64_t begin = 0, end = 0;
    size_t bits;

    RT_TRY(fmt_json_array(j, "data_offsets", &pair));
    if (cJSON_GetArraySize(pair) != 2 || !whole_number(cJSON_GetArrayItem(pair, 0), &begin) ||
        !whole_number(cJSON_GetArrayItem(pair, 1), &end))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: data_offsets: expected two whole numbers", j->where));
    if (begin > end || end > size)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: data_offsets [%llu, %llu] are outside the data, %zu bytes",
                       j->where, (unsigned long long) begin, (unsigned long long) end, size));
    if (!size_mul((size_t) t->count, fmt_dtype_bits(t->dtype), &bits) || bits % 8 != 0 ||
        bits / 8 != end - begin)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: %llu bytes of data do not fit its shape: expected %llu elements of %s",
                       j->where, (unsigned long long) (end - begin), (unsigned long long) t->count,
                       fmt_dtype_name(t->dtype)));
    t->data = data + begin;
    t->bytes = (size_t) (end - begin);
done:
    return err;
}

static enum rt_err read_tensor(const struct fmt_st_file *f, const cJSON *item, size_t data_at,
                               struct fmt_tensor *t)
{
    enum rt_err err = RT_OK;
    struct str where = {0};
    struct fmt_json j = {.node = item};
    const char *dtype;

    RT_TRY(str_printf(&where, "%s: tensor %s", f->path, item->string));
    j.where = where.data;
    t->name = item->string;
    RT_TRY(fmt_json_str(&j, "dtype", &dtype));
    t->dtype = fmt_dtype_from_name(dtype);
    if (t->dtype == FMT_DTYPE_COUNT)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: unknown dtype \"%.32s\"", j.where, dtype));
    RT_TRY(read_shape(&j, t));
    RT_TRY(read_offsets(&j, f->map.data + data_at, f->map.size - data_at, t));
done:
    str_free(&where);
    return err == RT_E_NOT_FOUND ? RT_E_FORMAT : err; // a key that is missing is damage here
}

static int by_place(const void *a, const void *b)
{
    const struct fmt_tensor *x = a, *y = b;
    if (x->data != y->data)
        return (const char *) x->data < (const char *) y->data ? -1 : 1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

// The tensors of a file lie one behind the other from the header's end to the file's end.
static enum rt_err check_places(const struct fmt_st_file *f, size_t data_at,
                                const struct fmt_tensor *t, size_t n)
{
    size_t at = data_at;
    for (size_t i = 0; i < n; i++) {
        const size_t begin = (size_t) ((const unsigned char *) t[i].data - f->map.data);
        if (begin != at)
            return rt_fail(RT_E_FORMAT, "%s: tensor %s: %s: it begins at byte %zu, expected %zu",
                           f->path, t[i].name, begin < at ? "overlaps another" : "a hole before it",
                           begin, at);
        at = begin + t[i].bytes;
    }
    if (at != f->map.size)
        return rt_fail(RT_E_FORMAT, "%s: %zu bytes behind the last tensor", f->path,
                       f->map.size - at);
    return RT_OK;
}

static enum rt_err check_meta(const struct fmt_st_file *f, const cJSON *meta)
{
    const cJSON *item;
    if (!cJSON_IsObject(meta))
        return rt_fail(RT_E_FORMAT, "%s: " META ": expected an object, found %s", f->path,
                       fmt_json_kind(meta));
    cJSON_ArrayForEach(item, meta)
    {
        if (!cJSON_IsString(item))
            return rt_fail(RT_E_FORMAT, "%s: " META ": key \"%s\": expected a string, found %s",
                           f->path, item->string, fmt_json_kind(item));
    }
    return RT_OK;
}

// Parse the header into f->header; the data begin at *data_at.
static enum rt_err read_header(struct fmt_st_file *f, size_t *data_at)
{
    enum rt_err err = RT_OK;
    uint64_t len = 0;

    if (f->map.size < 8)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: truncated: %zu bytes", f->path, f->map.size));
    for (unsigned i = 0; i < 8; i++)
        len |= (uint64_t) f->map.data[i] << (8 * i);
    if (len > FMT_ST_MAX_HEADER || len > f->map.size - 8)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: header length %llu exceeds the file (%zu bytes) or 100 MB: truncated, "
                       "or no safetensors file",
                       f->path, (unsigned long long) len, f->map.size));
    if (len == 0 ||
        f->map.data[8] != '{') // white space before it is refused, as the reference does
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: the header is no JSON object", f->path));
    *data_at = 8 + (size_t) len;
    RT_TRY(fmt_json_parse((const char *) f->map.data + 8, (size_t) len, f->path, &f->header));
done:
    return err;
}

// Append the tensors of the file to st; the file must be st's last.
static enum rt_err read_file(struct fmt_st *st, struct fmt_st_file *f)
{
    enum rt_err err = RT_OK;
    const cJSON *item;
    size_t data_at, n = 0;
    struct fmt_tensor *first;
    void *p = st->tensors;

    RT_TRY(read_header(f, &data_at));
    cJSON_ArrayForEach(item, f->header) n++;
    RT_TRY(grow(&p, st->n + n, sizeof(*st->tensors), f->path));
    st->tensors = p;
    first = st->tensors + st->n;
    n = 0;
    cJSON_ArrayForEach(item, f->header)
    {
        if (strcmp(item->string, META) == 0) {
            RT_TRY(check_meta(f, item));
            continue;
        }
        first[n] = (struct fmt_tensor){.file = st->n_files - 1};
        RT_TRY(read_tensor(f, item, data_at, &first[n]));
        n++;
    }
    qsort(first, n, sizeof(*first), by_place);
    RT_TRY(check_places(f, data_at, first, n));
    st->n += (uint32_t) n;
done:
    return err;
}

// A new, empty file entry at the end of st->files; *path is taken over.
static enum rt_err add_file(struct fmt_st *st, char **path, struct fmt_st_file **out)
{
    enum rt_err err = RT_OK;
    void *p = st->files;
    RT_TRY(grow(&p, st->n_files + 1, sizeof(*st->files), *path));
    st->files = p;
    *out = &st->files[st->n_files++];
    **out = (struct fmt_st_file){.path = *path};
    *path = NULL;
done:
    return err;
}

static enum rt_err open_file(struct fmt_st *st, const char *path)
{
    enum rt_err err = RT_OK;
    struct fmt_st_file *f = NULL;
    char *copy = NULL;

    RT_TRY(str_dup(path, &copy));
    RT_TRY(add_file(st, &copy, &f));
    RT_TRY(file_map_open(path, &f->map));
    RT_TRY(read_file(st, f));
done:
    free(copy);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct fmt_tensor *const *) a)->name,
                  (*(const struct fmt_tensor *const *) b)->name);
}

static enum rt_err sort_names(struct fmt_st *st)
{
    enum rt_err err = RT_OK;
    void *p = (void *) st->by_name;
    RT_TRY(grow(&p, st->n, sizeof(*st->by_name), st->path));
    st->by_name = p;
    for (uint32_t i = 0; i < st->n; i++)
        st->by_name[i] = &st->tensors[i];
    qsort(st->by_name, st->n, sizeof(*st->by_name), by_name);
done:
    return err;
}

// ---- an index of shards ----

struct entry {
    const char *tensor, *file;
};

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const struct entry *) a)->tensor, ((const struct entry *) b)->tensor);
}

static int by_file(const void *a, const void *b)
{
    return strcmp(((const struct entry *) a)->file, ((const struct entry *) b)->file);
}

// The weight map as an array, sorted by file. Names are borrowed from the tree.
static enum rt_err read_entries(const struct fmt_json *index, struct entry **out, size_t *n)
{
    enum rt_err err = RT_OK;
    struct fmt_json map;
    const cJSON *item;
    void *p = NULL;

    RT_TRY(fmt_json_object(index, "weight_map", &map));
    cJSON_ArrayForEach(item, map.node)(*n)++;
    RT_TRY(grow(&p, *n, sizeof(**out), index->where));
    *out = p;
    *n = 0;
    cJSON_ArrayForEach(item, map.node)
    {
        const char *file = item->valuestring;
        if (!cJSON_IsString(item) || !file[0] || strpbrk(file, "/\\"))
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: tensor %s: expected the name of a file in this folder",
                           index->where, item->string));
        (*out)[(*n)++] = (struct entry){item->string, file};
    }
    qsort(*out, *n, sizeof(**out), by_file);
done:
    return err == RT_E_NOT_FOUND ? RT_E_FORMAT : err;
}

// Open shard `e[0].file` and keep those of its tensors that the n entries name; all must be there.
static enum rt_err open_shard(struct fmt_st *st, const char *dir, struct entry *e, size_t n)
{
    enum rt_err err = RT_OK;
    char *path = NULL;
    const uint32_t first = st->n;
    uint32_t kept = first;
    size_t i = 0;

    RT_TRY(path_join(dir, e[0].file, &path));
    RT_TRY(open_file(st, path));
    for (uint32_t k = first; k < st->n; k++) {
        const struct entry want = {st->tensors[k].name, NULL};
        if (bsearch(&want, e, n, sizeof(*e), by_tensor))
            st->tensors[kept++] = st->tensors[k];
    }
    if (kept - first == n)
        goto done; // no name occurs twice in an index or a file
    st->n = kept;
    RT_TRY(sort_names(st));
    while (i + 1 < n && fmt_st_find(st, e[i].tensor))
        i++;
    err = rt_fail(RT_E_FORMAT, "%s: tensor %s, which %s places here, is missing", path, e[i].tensor,
                  st->path);
done:
    if (err == RT_OK)
        st->n = kept;
    free(path);
    return err;
}

static enum rt_err open_index(struct fmt_st *st, const char *path)
{
    enum rt_err err = RT_OK;
    struct fmt_json index = {.where = path};
    cJSON *tree = NULL;
    struct entry *e = NULL;
    char *dir = NULL;
    const char *slash = strrchr(path, '/');
    size_t n = 0, end;

    RT_TRY(slash ? str_dup_n(path, (size_t) (slash - path), &dir) : str_dup(".", &dir));
    RT_TRY(fmt_json_read(path, &tree));
    index.node = tree;
    RT_TRY(read_entries(&index, &e, &n));
    for (size_t begin = 0; begin < n; begin = end) {
        for (end = begin + 1; end < n && strcmp(e[begin].file, e[end].file) == 0; end++)
            ;
        qsort(e + begin, end - begin, sizeof(*e), by_tensor);
        RT_TRY(open_shard(st, dir, e + begin, end - begin));
    }
done:
    free(dir);
    free(e);
    cJSON_Delete(tree);
    return err;
}

static enum rt_err open_dir(struct fmt_st *st, const char *dir)
{
    static const struct {
        const char *name;
        enum rt_err (*open)(struct fmt_st *, const char *); // NULL: known, and not supported
    } KINDS[] = {{"model.safetensors", open_file},
                 {"model.safetensors.index.json", open_index},
                 {"pytorch_model.bin", NULL},
                 {"pytorch_model.bin.index.json", NULL}};
    enum rt_err err = RT_OK;
    char *path = NULL;

    for (size_t i = 0; i < COUNT_OF(KINDS); i++) {
        free(path);
        RT_TRY(path_join(dir, KINDS[i].name, &path));
        if (!file_exists(path))
            continue;
        if (!KINDS[i].open)
            RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: expected safetensors, found a pickle", path));
        RT_TRY(KINDS[i].open(st, path));
        goto done;
    }
    err = rt_fail(RT_E_NOT_FOUND, "%s: no model.safetensors nor model.safetensors.index.json", dir);
done:
    free(path);
    return err;
}

enum rt_err fmt_st_open(const char *path, struct fmt_st *out)
{
    enum rt_err err = RT_OK;
    struct fmt_st st = {0};

    *out = (struct fmt_st){0};
    RT_TRY(str_dup(path, &st.path));
    if (dir_exists(path))
        RT_TRY(open_dir(&st, path));
    else if (str_has_suffix(path, ".index.json"))
        RT_TRY(open_index(&st, path));
    else
        RT_TRY(open_file(&st, path));
    RT_TRY(sort_names(&st));
    *out = st;
    st = (struct fmt_st){0};
done:
    fmt_st_close(&st);
    return err;
}

enum rt_err fmt_st_open_memory(const void *bytes, size_t size, const char *where,
                               struct fmt_st *out)
{
    enum rt_err err = RT_OK;
    struct fmt_st st = {0};
    struct fmt_st_file *f = NULL;
    char *copy = NULL;

    *out = (struct fmt_st){0};
    RT_TRY(str_dup(where, &st.path));
    RT_TRY(str_dup(where, &copy));
    RT_TRY(add_file(&st, &copy, &f));
    f->borrowed = true;
    f->map = (struct file_map){bytes, size};
    RT_TRY(read_file(&st, f));
    RT_TRY(sort_names(&st));
    *out = st;
    st = (struct fmt_st){0};
done:
    free(copy);
    fmt_st_close(&st);
    return err;
}

void fmt_st_close(struct fmt_st *st)
{
    for (uint32_t i = 0; i < st->n_files; i++) {
        cJSON_Delete(st->files[i].header);
        if (!st->files[i].borrowed)
            file_map_close(&st->files[i].map);
        free(st->files[i].path);
    }
    free(st->files);
    free(st->tensors);
    free((void *) st->by_name);
    free(st->path);
    *st = (struct fmt_st){0};
}

// ---- use ----

const struct fmt_tensor *fmt_st_find(const struct fmt_st *st, const char *name)
{
    const struct fmt_tensor want = {.name = name}, *key = &want, **at;
    if (st->n == 0)
        return NULL;
    at = bsearch(&key, st->by_name, st->n, sizeof(*st->by_name), by_name);
    return at ? *at : NULL;
}

enum rt_err fmt_st_get(const struct fmt_st *st, const char *name, const struct fmt_tensor **out)
{
    const char *nearest = NULL;
    unsigned least = 255;

    *out = fmt_st_find(st, name);
    if (*out)
        return RT_OK;
    for (uint32_t i = 0; i < st->n; i++) {
        const unsigned d = str_distance(name, st->tensors[i].name);
        if (d < least) {
            least = d;
            nearest = st->tensors[i].name;
        }
    }
    return rt_fail(RT_E_NOT_FOUND, "%s: no tensor %s%s%s%s", st->path, name,
                   nearest ? " (nearest: " : "", nearest ? nearest : "", nearest ? ")" : "");
}

const char *fmt_st_meta(const struct fmt_st *st, const char *key)
{
    const cJSON *value = NULL;
    for (uint32_t i = 0; i < st->n_files && !value; i++) {
        const cJSON *meta = cJSON_GetObjectItemCaseSensitive(st->files[i].header, META);
        value = cJSON_GetObjectItemCaseSensitive(meta, key);
    }
    return value ? value->valuestring : NULL;
}

void fmt_st_done_with(const struct fmt_st *st, const struct fmt_tensor *t, uint64_t first,
                      uint64_t count)
{
    const struct fmt_st_file *f = &st->files[t->file];
    const size_t at = (size_t) ((const unsigned char *) t->data - f->map.data);
    const size_t size = fmt_dtype_bits(t->dtype) / 8;
    if (!f->borrowed && first <= t->count && count <= t->count - first)
        file_map_done_with(&f->map, at + first * size, count * size);
}
