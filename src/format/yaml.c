#include "src/format/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "src/base/file.h"
#include "src/format/json.h"
#include "src/format/yaml_scalar.h"

#define TAG "tag:yaml.org,2002:"

struct anchor {
    char *name;
    const cJSON *node; // inside the tree that is being built; NULL while it is open
};

struct reader {
    yaml_parser_t parser;
    const char *where;
    size_t nodes, depth, n_anchors;
    struct anchor anchors[FMT_YAML_ANCHORS];
    cJSON *merged; // values of <<, kept to the end because an anchor may lie in one
};

static enum rt_err fail_at(const struct reader *r, const yaml_mark_t *at, const char *what,
                           const char *name)
{
    return rt_fail(RT_E_FORMAT, "%s:%zu:%zu: %s%s%s", r->where, at->line + 1, at->column + 1, what,
                   *name ? " " : "", name);
}

static enum rt_err next(struct reader *r, yaml_event_t *e)
{
    const yaml_parser_t *p = &r->parser;
    if (yaml_parser_parse(&r->parser, e))
        return RT_OK;
    memset(e, 0, sizeof(*e));
    if (p->error == YAML_MEMORY_ERROR)
        return rt_fail(RT_E_NOMEM, "%s: out of memory", r->where);
    return fail_at(r, p->error == YAML_READER_ERROR ? &p->mark : &p->problem_mark,
                   p->problem ? p->problem : "not valid YAML", "");
}

static enum rt_err count(struct reader *r, size_t n, const yaml_mark_t *at)
{
    r->nodes += n;
    return r->nodes <= FMT_YAML_NODES ? RT_OK : fail_at(r, at, "more than 10000 values", "");
}

static size_t size_of(const cJSON *node)
{
    const cJSON *item;
    size_t n = 1;
    cJSON_ArrayForEach(item, node)
    {
        n += size_of(item);
    }
    return n;
}

static enum rt_err copy(struct reader *r, const cJSON *node, const yaml_mark_t *at, cJSON **out)
{
    enum rt_err err = RT_OK;
    *out = NULL;
    RT_TRY(count(r, size_of(node), at));
    *out = cJSON_Duplicate(node, 1);
    RT_REQUIRE(*out, RT_E_NOMEM);
done:
    return err;
}

// ---- scalars ----

static enum rt_err check_text(const struct reader *r, const yaml_event_t *e)
{
    if (memchr(e->data.scalar.value, 0, e->data.scalar.length))
        return fail_at(r, &e->start_mark, "a scalar holds U+0000", "");
    return RT_OK;
}

// An explicit tag: which kind it asks for. A float may be written without its dot.
static enum rt_err apply_tag(const struct reader *r, const yaml_event_t *e,
                             enum fmt_yaml_kind *kind, double *v)
{
    static const char *const TAGS[] = {[FMT_YAML_STR] = TAG "str",
                                       [FMT_YAML_NULL] = TAG "null",
                                       [FMT_YAML_BOOL] = TAG "bool",
                                       [FMT_YAML_INT] = TAG "int",
                                       [FMT_YAML_FLOAT] = TAG "float"};
    const char *tag = (const char *) e->data.scalar.tag;
    char *text = (char *) e->data.scalar.value;
    cJSON as_text = {.type = cJSON_String, .valuestring = text};

    if (strcmp(tag, "!") == 0 || strcmp(tag, TAGS[FMT_YAML_STR]) == 0) {
        *kind = FMT_YAML_STR;
    } else if (strcmp(tag, TAGS[FMT_YAML_FLOAT]) == 0 && *kind != FMT_YAML_FLOAT) {
        if (*kind != FMT_YAML_INT && !fmt_json_to_num(&as_text, v))
            return fail_at(r, &e->start_mark, "not a number:", text);
        *kind = FMT_YAML_FLOAT;
    } else if (strcmp(tag, TAGS[*kind]) != 0) {
        return fail_at(r, &e->start_mark, "a tag that is unknown or does not fit its value:", tag);
    }
    return RT_OK;
}

static enum rt_err scalar(struct reader *r, const yaml_event_t *e, cJSON **out)
{
    enum rt_err err = RT_OK;
    const char *text = (const char *) e->data.scalar.value;
    double v;
    enum fmt_yaml_kind kind = fmt_yaml_resolve(text, &v);

    RT_TRY(check_text(r, e));
    if (e->data.scalar.tag)
        RT_TRY(apply_tag(r, e, &kind, &v));
    else if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        kind = FMT_YAML_STR;
    if (kind == FMT_YAML_INT && !(v > -0x1p53 && v < 0x1p53))
        kind = FMT_YAML_STR;
    *out = kind == FMT_YAML_STR    ? cJSON_CreateString(text)
           : kind == FMT_YAML_NULL ? cJSON_CreateNull()
           : kind == FMT_YAML_BOOL ? cJSON_CreateBool(v > 0.0)
                                   : cJSON_CreateNumber(v);
    RT_REQUIRE(*out, RT_E_NOMEM);
done:
    return err;
}

// ---- anchors ----

static struct anchor *find_anchor(struct reader *r, const char *name)
{
    for (size_t i = 0; i < r->n_anchors; i++)
        if (strcmp(r->anchors[i].name, name) == 0)
            return &r->anchors[i];
    return NULL;
}

static const char *anchor_of(const yaml_event_t *e)
{
    return (const char *) (e->type == YAML_SCALAR_EVENT           ? e->data.scalar.anchor
                           : e->type == YAML_SEQUENCE_START_EVENT ? e->data.sequence_start.anchor
                                                                  : e->data.mapping_start.anchor);
}

// Enter the node's anchor, if it has one, as open.
static enum rt_err open_anchor(struct reader *r, const yaml_event_t *e)
{
    const char *name = anchor_of(e);
    enum rt_err err = RT_OK;
    if (!name)
        goto done;
    if (find_anchor(r, name))
        RT_TRY(fail_at(r, &e->start_mark, "an anchor is given twice:", name));
    if (r->n_anchors == FMT_YAML_ANCHORS)
        RT_TRY(fail_at(r, &e->start_mark, "more than 64 anchors:", name));
    RT_TRY(str_dup(name, &r->anchors[r->n_anchors].name));
    r->n_anchors++;
done:
    return err;
}

static enum rt_err alias(struct reader *r, const yaml_event_t *e, cJSON **out)
{
    const char *name = (const char *) e->data.alias.anchor;
    const struct anchor *a = find_anchor(r, name);
    if (!a)
        return fail_at(r, &e->start_mark, "unknown alias", name);
    if (!a->node)
        return fail_at(r, &e->start_mark, "an alias inside its own anchor:", name);
    return copy(r, a->node, &e->start_mark, out);
}

// ---- containers ----

static enum rt_err node(struct reader *r, const yaml_event_t *e, cJSON **out);

static enum rt_err sequence(struct reader *r, cJSON *array)
{
    enum rt_err err = RT_OK;
    yaml_event_t e = {0};
    cJSON *item;

    RT_TRY(next(r, &e));
    while (e.type != YAML_SEQUENCE_END_EVENT) {
        RT_TRY(node(r, &e, &item));
        cJSON_AddItemToArray(array, item);
        yaml_event_delete(&e);
        RT_TRY(next(r, &e));
    }
done:
    yaml_event_delete(&e);
    return err;
}

static bool is_merge(const yaml_event_t *key)
{
    return strcmp((const char *) key->data.scalar.value, "<<") == 0 && !key->data.scalar.tag &&
           key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static enum rt_err check_key(const struct reader *r, const yaml_event_t *key)
{
    if (key->type != YAML_SCALAR_EVENT)
        return fail_at(r, &key->start_mark, "a key must be a plain word or a string", "");
    if (key->data.scalar.anchor)
        return fail_at(r, &key->start_mark, "a key cannot have an anchor", "");
    return check_text(r, key);
}

// Members of `from`, a mapping, that `object` lacks.
static enum rt_err merge_one(struct reader *r, const cJSON *from, const yaml_mark_t *at,
                             cJSON *object)
{
    enum rt_err err = RT_OK;
    const cJSON *item;
    cJSON *twin = NULL;

    if (!cJSON_IsObject(from))
        RT_TRY(fail_at(r, at, "<< expects a mapping or a list of mappings", ""));
    cJSON_ArrayForEach(item, from)
    {
        if (cJSON_GetObjectItemCaseSensitive(object, item->string))
            continue;
        RT_TRY(copy(r, item, at, &twin));
        RT_REQUIRE(cJSON_AddItemToObject(object, item->string, twin), RT_E_NOMEM);
        twin = NULL;
    }
done:
    cJSON_Delete(twin);
    return err;
}

static enum rt_err merge(struct reader *r, const cJSON *from, const yaml_mark_t *at, cJSON *object)
{
    enum rt_err err = RT_OK;
    const cJSON *item;

    if (!cJSON_IsArray(from))
        return merge_one(r, from, at, object);
    cJSON_ArrayForEach(item, from)
    {
        RT_TRY(merge_one(r, item, at, object));
    }
done:
    return err;
}

// One key and its value; the value of << goes to *merged (owned by r), to be applied when all
// keys are known.
static enum rt_err member(struct reader *r, const yaml_event_t *key, cJSON *object, cJSON **merged)
{
    enum rt_err err = RT_OK;
    yaml_event_t e = {0};
    cJSON *value = NULL;
    const char *name = (const char *) key->data.scalar.value;

    RT_TRY(check_key(r, key));
    if (is_merge(key) ? *merged : cJSON_GetObjectItemCaseSensitive(object, name))
        RT_TRY(fail_at(r, &key->start_mark, "a key is given twice:", name));
    RT_TRY(next(r, &e));
    RT_TRY(node(r, &e, &value));
    if (is_merge(key)) {
        *merged = value;
        cJSON_AddItemToArray(r->merged, value);
    } else {
        RT_REQUIRE(cJSON_AddItemToObject(object, name, value), RT_E_NOMEM);
    }
    value = NULL;
done:
    cJSON_Delete(value);
    yaml_event_delete(&e);
    return err;
}

static enum rt_err mapping(struct reader *r, const yaml_mark_t *at, cJSON *object)
{
    enum rt_err err = RT_OK;
    yaml_event_t e = {0};
    cJSON *merged = NULL;

    RT_TRY(next(r, &e));
    while (e.type != YAML_MAPPING_END_EVENT) {
        RT_TRY(member(r, &e, object, &merged));
        yaml_event_delete(&e);
        RT_TRY(next(r, &e));
    }
    if (merged)
        RT_TRY(merge(r, merged, at, object));
done:
    yaml_event_delete(&e);
    return err;
}

static enum rt_err container(struct reader *r, const yaml_event_t *e, cJSON **out)
{
    enum rt_err err = RT_OK;
    const bool map = e->type == YAML_MAPPING_START_EVENT;
    const char *tag = (const char *) (map ? e->data.mapping_start.tag : e->data.sequence_start.tag);
    cJSON *item = NULL;

    if (r->depth == FMT_YAML_DEPTH)
        RT_TRY(fail_at(r, &e->start_mark, "nested deeper than 64 levels", ""));
    if (tag && strcmp(tag, "!") != 0 && strcmp(tag, map ? TAG "map" : TAG "seq") != 0)
        RT_TRY(fail_at(r, &e->start_mark, "a tag that is unknown or does not fit its value:", tag));
    item = map ? cJSON_CreateObject() : cJSON_CreateArray();
    RT_REQUIRE(item, RT_E_NOMEM);
    r->depth++;
    RT_TRY(map ? mapping(r, &e->start_mark, item) : sequence(r, item));
    r->depth--;
    *out = item;
    item = NULL;
done:
    cJSON_Delete(item);
    return err;
}

// The node that begins with event e; depth is bounded by container().
static enum rt_err node(struct reader *r, const yaml_event_t *e, cJSON **out)
{
    enum rt_err err = RT_OK;
    struct anchor *a;

    *out = NULL;
    if (e->type == YAML_ALIAS_EVENT)
        return alias(r, e, out);
    RT_TRY(count(r, 1, &e->start_mark));
    RT_TRY(open_anchor(r, e));
    RT_TRY(e->type == YAML_SCALAR_EVENT ? scalar(r, e, out) : container(r, e, out));
    a = anchor_of(e) ? find_anchor(r, anchor_of(e)) : NULL;
    if (a)
        a->node = *out;
done:
    return err;
}

// ---- documents ----

static enum rt_err document(struct reader *r, cJSON **out)
{
    enum rt_err err = RT_OK;
    yaml_event_t e = {0};

    RT_TRY(next(r, &e)); // stream start
    yaml_event_delete(&e);
    RT_TRY(next(r, &e));
    if (e.type == YAML_STREAM_END_EVENT) {
        *out = cJSON_CreateNull();
        RT_REQUIRE(*out, RT_E_NOMEM);
        goto done;
    }
    yaml_event_delete(&e); // document start
    RT_TRY(next(r, &e));
    RT_TRY(node(r, &e, out));
    for (int i = 0; i < 2; i++) { // document end, stream end
        yaml_event_delete(&e);
        RT_TRY(next(r, &e));
    }
    if (e.type != YAML_STREAM_END_EVENT)
        RT_TRY(fail_at(r, &e.start_mark, "expected one document, found another", ""));
done:
    yaml_event_delete(&e);
    return err;
}

enum rt_err fmt_yaml_parse(const char *text, size_t len, const char *where, cJSON **out)
{
    enum rt_err err = RT_OK;
    struct reader r = {.where = where};
    cJSON *tree = NULL;

    *out = NULL;
    if (len > FMT_YAML_BYTES)
        return rt_fail(RT_E_FORMAT, "%s: %zu bytes: a YAML file has at most 1 MiB", where, len);
    if (!yaml_parser_initialize(&r.parser))
        return rt_fail(RT_E_NOMEM, "%s: out of memory", where);
    r.merged = cJSON_CreateArray();
    RT_REQUIRE(r.merged, RT_E_NOMEM);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *) (text ? text : ""), len);
    RT_TRY(document(&r, &tree));
    *out = tree;
    tree = NULL;
done:
    cJSON_Delete(tree);
    cJSON_Delete(r.merged);
    for (size_t i = 0; i < r.n_anchors; i++)
        free(r.anchors[i].name);
    yaml_parser_delete(&r.parser);
    return err;
}

enum rt_err fmt_recipe_read(const char *path, cJSON **out)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    cJSON *tree = NULL;
    const bool json = str_has_suffix(path, ".json");

    *out = NULL;
    RT_TRY(file_map_open(path, &map));
    RT_TRY(
        (json ? fmt_json_parse : fmt_yaml_parse)((const char *) map.data, map.size, path, &tree));
    if (!cJSON_IsObject(tree))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected a mapping of option names, found %s", path,
                       fmt_json_kind(tree)));
    *out = tree;
    tree = NULL;
done:
    cJSON_Delete(tree);
    file_map_close(&map);
    return err == RT_E_FORMAT ? RT_E_USAGE : err; // damage in a recipe is its user's mistake
}
