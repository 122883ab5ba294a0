// Filters on sequences. What jinja2 makes a generator becomes a JK_ITER: it can be walked once, has
// no length and is always true.
// Source: jinja2 3.1.6, filters.py.
#include "src/text/jinja_internal.h"

#include <string.h>

#define FILTER(name)                                                                               \
    static struct jv name(struct jc *c, struct jv self, const struct jv *arg,                      \
                          const struct jargs *raw)

static struct jv iter(struct jseq *s)
{
    return jv_seq(JK_ITER, s);
}

// ---- map, select --------------------------------------------------------------------------------

static const struct jkw *keyword(const struct jargs *a, const char *name)
{
    for (size_t i = 0; i < a->nkw; i++)
        if (jstr_is(a->kw[i].name, name))
            return &a->kw[i];
    return NULL;
}

// The arguments behind the first `n`.
static struct jargs rest_of(const struct jargs *a, size_t n)
{
    struct jargs r = *a;
    r.pos += n;
    r.npos -= n;
    return r;
}

static const struct jnative *named(struct jc *c, struct jv name, bool test)
{
    const struct jstr *s = jarg_str(c, name, "", test ? "a test's name" : "a filter's name");
    const struct jnative *def = c->err != RT_OK ? NULL : test ? jtest_find(s) : jfilter_find(s);
    if (!def)
        jc_fail(c, RT_E_FORMAT, "No %s named '%.*s'.", test ? "test" : "filter",
                (int) u64_min(s->len, 100), s->p);
    return def;
}

static struct jv attr_or(struct jc *c, struct jv item, struct jv path, struct jv def)
{
    const struct jv v = jload_attr_path(c, item, path);
    return v.kind == JK_UNDEF && jv_given(def) && def.kind != JK_NONE ? def : v;
}

FILTER(f_map)
{
    const struct jkw *path = keyword(raw, "attribute"), *def = keyword(raw, "default");
    const struct jnative *f = NULL;
    struct jseq *out = jseq_new(c, 0);
    struct jargs rest = {0};
    struct jcursor k;

    (void) arg;
    if (!jv_truth(self))
        return iter(out);
    if (raw->npos == 0 && !path)
        jc_fail(c, RT_E_FORMAT, "map requires a filter argument");
    else if (raw->npos == 0 && raw->nkw > 1u + (def != NULL))
        jc_fail(c, RT_E_FORMAT, "map: unexpected keyword argument");
    if (raw->npos > 0) {
        f = named(c, raw->pos[0], false);
        rest = rest_of(raw, 1);
    }
    if (!jcursor_open(c, self, &k))
        return jv_none();
    while (k.n > 0 && jc_step(c, 1)) {
        const struct jv item = jcursor_next(c, &k);
        jseq_push(c, out,
                  f ? jcall_native(c, f, item, &rest)
                    : attr_or(c, item, path->val, def ? def->val : jv_missing()));
    }
    return iter(out);
}

static struct jv select_if(struct jc *c, struct jv self, const struct jargs *a, bool want,
                           bool attr)
{
    const size_t skip = attr ? 1 : 0;
    const struct jnative *test = NULL;
    struct jseq *out = jseq_new(c, 0);
    struct jargs rest = {0};
    struct jcursor k;

    if (!jv_truth(self))
        return iter(out);
    if (attr && a->npos == 0)
        jc_fail(c, RT_E_FORMAT, "Missing parameter for attribute name");
    if (a->npos > skip) {
        test = named(c, a->pos[skip], true);
        rest = rest_of(a, skip + 1);
    }
    if (!jcursor_open(c, self, &k))
        return jv_none();
    while (k.n > 0 && jc_step(c, 1)) {
        const struct jv item = jcursor_next(c, &k);
        const struct jv v = attr ? jload_attr_path(c, item, a->pos[0]) : item;
        if (jv_truth(test ? jcall_native(c, test, v, &rest) : v) == want)
            jseq_push(c, out, item);
    }
    return iter(out);
}

FILTER(f_select)
{
    (void) arg;
    return select_if(c, self, raw, true, false);
}
FILTER(f_reject)
{
    (void) arg;
    return select_if(c, self, raw, false, false);
}
FILTER(f_selectattr)
{
    (void) arg;
    return select_if(c, self, raw, true, true);
}
FILTER(f_rejectattr)
{
    (void) arg;
    return select_if(c, self, raw, false, true);
}

// ---- order --------------------------------------------------------------------------------------

struct keyed {
    struct jv key, val;
};

static struct jv fold(struct jc *c, struct jv v, bool case_sensitive)
{
    return v.kind == JK_STR && !case_sensitive ? jv_str(jstr_case(c, v.u.s, JCASE_LOWER)) : v;
}

// Stable merge sort of a[0, n) with room t[0, n).
static void merge_sort(struct jc *c, struct keyed *a, struct keyed *t, size_t n, bool reverse)
{
    const size_t half = n / 2;
    size_t i = 0, j = half, k = 0;

    if (n < 2 || !jc_step(c, n))
        return;
    merge_sort(c, a, t, half, reverse);
    merge_sort(c, a + half, t, n - half, reverse);
    while (i < half && j < n) {
        const int r =
            reverse ? jv_cmp(c, a[i].key, a[j].key, "<") : jv_cmp(c, a[j].key, a[i].key, "<");
        t[k++] = r < 0 ? a[j++] : a[i++];
    }
    memcpy(t + k, a + i, (half - i) * sizeof(*a)); // what is left of the right half lies there
    memcpy(a, t, (k + half - i) * sizeof(*a));
}

// The items of a sequence with their keys, sorted; NULL after an error.
static struct keyed *sorted(struct jc *c, const struct jseq *s, const struct jv *keys, bool reverse)
{
    struct keyed *a = jc_alloc_array(c, s->n + 1, sizeof(*a));
    struct keyed *t = jc_alloc_array(c, s->n + 1, sizeof(*t));

    if (!a || !t)
        return NULL;
    for (size_t i = 0; i < s->n; i++)
        a[i] = (struct keyed){keys[i], s->v[i]};
    merge_sort(c, a, t, s->n, reverse);
    return c->err == RT_OK ? a : NULL;
}

// Keys of sort: the list of attributes "a,b.c" of an item.
static struct jv sort_key(struct jc *c, struct jv item, struct jv attribute, bool case_sensitive)
{
    struct jseq *key = jseq_new(c, 1);
    size_t i = 0;

    if (attribute.kind != JK_STR) {
        jseq_push(c, key, fold(c, jload_attr_path(c, item, attribute), case_sensitive));
        return jv_seq(JK_LIST, key);
    }
    while (i <= attribute.u.s->len && c->err == RT_OK) {
        const char *p = attribute.u.s->p + i, *comma = memchr(p, ',', attribute.u.s->len - i);
        const size_t n = comma ? (size_t) (comma - p) : attribute.u.s->len - i;
        const struct jv path = jv_str(jstr_share(c, p, n));
        jseq_push(c, key, fold(c, jload_attr_path(c, item, path), case_sensitive));
        i += n + 1;
    }
    return jv_seq(JK_LIST, key);
}

FILTER(f_sort)
{
    struct jseq *s = jv_to_seq(c, self), *keys = jseq_new(c, s->n), *out = jseq_new(c, s->n);
    const struct keyed *a;

    (void) raw;
    for (size_t i = 0; i < s->n && jc_step(c, 1); i++)
        jseq_push(c, keys, sort_key(c, s->v[i], arg[2], jarg_bool(arg[1], false)));
    a = c->err == RT_OK ? sorted(c, s, keys->v, jarg_bool(arg[0], false)) : NULL;
    for (size_t i = 0; a && i < s->n; i++)
        jseq_push(c, out, a[i].val);
    return jv_seq(JK_LIST, out);
}

static struct jv pair(struct jc *c, struct jv a, struct jv b)
{
    struct jseq *s = jseq_new(c, 2);
    jseq_push(c, s, a);
    jseq_push(c, s, b);
    return jv_seq(JK_TUPLE, s);
}

FILTER(f_dictsort)
{
    const struct jstr *by = jarg_str(c, arg[1], "key", "by");
    const bool value = jstr_is(by, "value"), sensitive = jarg_bool(arg[0], false);
    struct jseq *s = jseq_new(c, 0), *keys = jseq_new(c, 0), *out = jseq_new(c, 0);
    const struct keyed *a;

    (void) raw;
    if (self.kind == JK_UNDEF)
        jv_fail_undef(c, self);
    if (self.kind != JK_DICT)
        jc_fail(c, RT_E_FORMAT, "dictsort needs a mapping, not %s", jv_type(self));
    if (!value && !jstr_is(by, "key"))
        jc_fail(c, RT_E_FORMAT, "You can only sort by either \"key\" or \"value\"");
    for (size_t i = 0; c->err == RT_OK && i < self.u.dict->n && jc_step(c, 1); i++) {
        const struct jentry *e = &self.u.dict->e[i];
        jseq_push(c, s, pair(c, e->key, e->val));
        jseq_push(c, keys, fold(c, value ? e->val : e->key, sensitive));
    }
    a = c->err == RT_OK ? sorted(c, s, keys->v, jarg_bool(arg[2], false)) : NULL;
    for (size_t i = 0; a && i < s->n; i++)
        jseq_push(c, out, a[i].val);
    return jv_seq(JK_LIST, out);
}

FILTER(f_groupby)
{
    const bool sensitive = jarg_bool(arg[2], false);
    struct jseq *s = jv_to_seq(c, self), *keys = jseq_new(c, s->n), *out = jseq_new(c, 0);
    struct jseq *group = NULL;
    const struct keyed *a;

    (void) raw;
    for (size_t i = 0; i < s->n && jc_step(c, 1); i++)
        jseq_push(c, keys, fold(c, attr_or(c, s->v[i], arg[0], arg[1]), sensitive));
    a = c->err == RT_OK ? sorted(c, s, keys->v, false) : NULL;
    for (size_t i = 0; a && i < s->n && jc_step(c, 1); i++) {
        if (!group || !jv_eq(c, a[i - 1].key, a[i].key)) {
            struct jv t;
            group = jseq_new(c, 0);
            t = pair(c, sensitive ? a[i].key : attr_or(c, a[i].val, arg[0], arg[1]),
                     jv_seq(JK_LIST, group));
            t.u.seq->group = true;
            jseq_push(c, out, t);
        }
        jseq_push(c, group, a[i].val);
    }
    return jv_seq(JK_LIST, out);
}

static struct jv extreme(struct jc *c, struct jv self, const struct jv *arg, int sign)
{
    struct jv best = jv_missing(), best_key = jv_missing();
    struct jcursor k;

    if (!jcursor_open(c, self, &k))
        return jv_none();
    if (k.n == 0)
        return jv_undef_hint(c, "No aggregated item, sequence was empty.");
    while (k.n > 0 && jc_step(c, 1)) {
        const struct jv v = jcursor_next(c, &k);
        const struct jv key = fold(c, jload_attr_path(c, v, arg[1]), jarg_bool(arg[0], false));
        const int r = jv_given(best) ? jv_cmp(c, key, best_key, sign < 0 ? "<" : ">") : sign;
        if (r != 2 && r * sign > 0) {
            best = v;
            best_key = key;
        }
    }
    return best;
}

FILTER(f_min)
{
    (void) raw;
    return extreme(c, self, arg, -1);
}
FILTER(f_max)
{
    (void) raw;
    return extreme(c, self, arg, 1);
}

FILTER(f_unique)
{
    struct jseq *out = jseq_new(c, 0);
    struct jdict *seen = jdict_new(c, 0);
    struct jcursor k;

    (void) raw;
    if (!jcursor_open(c, self, &k))
        return jv_none();
    while (k.n > 0 && jc_step(c, 1)) {
        const struct jv v = jcursor_next(c, &k);
        const struct jv key = fold(c, jload_attr_path(c, v, arg[1]), jarg_bool(arg[0], false));
        if (jdict_get(c, seen, key))
            continue;
        jdict_set(c, seen, key, jv_none());
        jseq_push(c, out, v);
    }
    return iter(out);
}

// ---- parts --------------------------------------------------------------------------------------

FILTER(f_first)
{
    struct jcursor k;
    (void) arg, (void) raw;
    if (!jcursor_open(c, self, &k))
        return jv_none();
    return k.n ? jcursor_next(c, &k) : jv_undef_hint(c, "No first item, sequence was empty.");
}

FILTER(f_last)
{
    const int64_t n = jv_len(self);
    (void) arg, (void) raw;
    if (n < 0 || self.kind == JK_LOOP) {
        jc_fail(c, RT_E_FORMAT, "'%s' object is not reversible", jv_type(self));
        return jv_none();
    }
    if (n == 0)
        return jv_undef_hint(c, "No last item, sequence was empty.");
    if (jv_has_items(self))
        return self.u.seq->v[n - 1];
    return self.kind == JK_DICT ? self.u.dict->e[n - 1].key : jop_item(c, self, jv_int(-1));
}

FILTER(f_list)
{
    (void) arg, (void) raw;
    return jv_seq(JK_LIST, jv_to_seq(c, self));
}

FILTER(f_reverse)
{
    struct jseq *s, *out;

    (void) arg, (void) raw;
    if (self.kind == JK_STR)
        return jop_slice(c, self, jv_missing(), jv_missing(), jv_int(-1));
    s = jv_to_seq(c, self);
    out = jseq_new(c, s->n);
    for (size_t i = s->n; i-- > 0;)
        jseq_push(c, out, s->v[i]);
    return jv_seq(self.kind == JK_ITER ? JK_LIST : JK_ITER, out);
}

FILTER(f_items)
{
    struct jseq *out = jseq_new(c, 0);
    (void) arg, (void) raw;
    if (self.kind == JK_UNDEF)
        return iter(out);
    if (self.kind != JK_DICT) {
        jc_fail(c, RT_E_FORMAT, "Can only get item pairs from a mapping.");
        return jv_none();
    }
    for (size_t i = 0; i < self.u.dict->n && jc_step(c, 1); i++)
        jseq_push(c, out, pair(c, self.u.dict->e[i].key, self.u.dict->e[i].val));
    return iter(out);
}

FILTER(f_batch)
{
    const int64_t count = jarg_int(c, arg[0], 0, "linecount");
    struct jseq *out = jseq_new(c, 0), *line = NULL;
    struct jcursor k;

    (void) raw;
    if (!jcursor_open(c, self, &k))
        return jv_none();
    while (k.n > 0 && jc_step(c, 1)) {
        if (!line || (int64_t) line->n == count) {
            if (!line && count == 0) // jinja2 begins with an empty line then
                jseq_push(c, out, jv_seq(JK_LIST, jseq_new(c, 0)));
            line = jseq_new(c, 0);
            jseq_push(c, out, jv_seq(JK_LIST, line));
        }
        jseq_push(c, line, jcursor_next(c, &k));
    }
    while (line && jv_given(arg[1]) && arg[1].kind != JK_NONE && (int64_t) line->n < count &&
           jc_step(c, 1))
        jseq_push(c, line, arg[1]);
    return iter(out);
}

FILTER(f_slice)
{
    const int64_t slices = jarg_int(c, arg[0], 1, "slices");
    const struct jseq *s = jv_to_seq(c, self);
    struct jseq *out = jseq_new(c, 0), *part;
    int64_t each, extra, at = 0;

    (void) raw;
    if (slices == 0)
        jc_fail(c, RT_E_FORMAT, "division by zero");
    if (c->err != RT_OK || slices < 0)
        return iter(out);
    each = (int64_t) s->n / slices;
    extra = (int64_t) s->n % slices;
    for (int64_t i = 0; i < slices && jc_step(c, 1); i++) {
        const int64_t n = each + (i < extra);
        part = jseq_new(c, (size_t) n);
        for (int64_t k = 0; k < n; k++)
            jseq_push(c, part, s->v[at++]);
        if (jv_given(arg[1]) && arg[1].kind != JK_NONE && i >= extra)
            jseq_push(c, part, arg[1]);
        jseq_push(c, out, jv_seq(JK_LIST, part));
    }
    return iter(out);
}

// ---- folds --------------------------------------------------------------------------------------

FILTER(f_join)
{
    const struct jstr *sep = jv_given(arg[0]) ? jv_to_str(c, arg[0]) : &JSTR_EMPTY;
    struct str out = {0};
    struct jcursor k;

    (void) raw;
    if (!jcursor_open(c, self, &k))
        return jv_none();
    for (bool first = true; k.n > 0 && jc_step(c, 1); first = false) {
        const struct jv v = jload_attr_path(c, jcursor_next(c, &k), arg[1]);
        if (!first)
            jsb(c, &out, sep->p, sep->len);
        jv_print(c, &out, v);
    }
    return jv_str(jstr_take(c, &out));
}

FILTER(f_sum)
{
    struct jv total = jv_given(arg[1]) ? arg[1] : jv_int(0);
    struct jcursor k;

    (void) raw;
    if (!jcursor_open(c, self, &k))
        return jv_none();
    if (total.kind == JK_STR)
        jc_fail(c, RT_E_FORMAT, "sum() can't sum strings");
    while (k.n > 0 && jc_step(c, 1))
        total = jop_binary(c, OP_ADD, total, jload_attr_path(c, jcursor_next(c, &k), arg[0]));
    return total;
}

const struct jnative JSEQ_FILTERS[] = {
    {"map", f_map, NULL, 0},
    {"select", f_select, NULL, 0},
    {"reject", f_reject, NULL, 0},
    {"selectattr", f_selectattr, NULL, 0},
    {"rejectattr", f_rejectattr, NULL, 0},
    {"sort", f_sort, "reverse,case_sensitive,attribute", 0},
    {"dictsort", f_dictsort, "case_sensitive,by,reverse", 0},
    {"groupby", f_groupby, "attribute,default,case_sensitive", 1},
    {"min", f_min, "case_sensitive,attribute", 0},
    {"max", f_max, "case_sensitive,attribute", 0},
    {"unique", f_unique, "case_sensitive,attribute", 0},
    {"first", f_first, "/", 0},
    {"last", f_last, "/", 0},
    {"list", f_list, "/", 0},
    {"reverse", f_reverse, "/", 0},
    {"items", f_items, "/", 0},
    {"batch", f_batch, "linecount,fill_with", 1},
    {"slice", f_slice, "slices,fill_with", 1},
    {"join", f_join, "d,attribute", 0},
    {"sum", f_sum, "attribute,start", 0},
};
const size_t JSEQ_NFILTERS = COUNT_OF(JSEQ_FILTERS);
