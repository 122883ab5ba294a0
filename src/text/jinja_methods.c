// Methods of dicts, lists and numbers, and what attributes the interpreter's own objects have.
#include "src/text/jinja_internal.h"

#include <math.h>
#include <string.h>

#define METHOD(name)                                                                               \
    static struct jv name(struct jc *c, struct jv self, const struct jv *arg,                      \
                          const struct jargs *raw)

// ---- dicts --------------------------------------------------------------------------------------

METHOD(d_get)
{
    const struct jv *v = jdict_get(c, self.u.dict, arg[0]);
    (void) raw;
    if (v)
        return *v;
    return jv_given(arg[1]) ? arg[1] : jv_none();
}

static struct jv view(struct jc *c, const struct jdict *d, const char *name, bool keys, bool vals)
{
    struct jseq *s = jseq_new(c, d->n), *pair;

    for (size_t i = 0; i < d->n && jc_step(c, 1); i++) {
        if (keys && vals) {
            pair = jseq_new(c, 2);
            jseq_push(c, pair, d->e[i].key);
            jseq_push(c, pair, d->e[i].val);
            jseq_push(c, s, jv_seq(JK_TUPLE, pair));
        } else {
            jseq_push(c, s, keys ? d->e[i].key : d->e[i].val);
        }
    }
    s->view = name;
    return jv_seq(JK_VIEW, s);
}

METHOD(d_items)
{
    (void) arg, (void) raw;
    return view(c, self.u.dict, "dict_items", true, true);
}

METHOD(d_keys)
{
    (void) arg, (void) raw;
    return view(c, self.u.dict, "dict_keys", true, false);
}

METHOD(d_values)
{
    (void) arg, (void) raw;
    return view(c, self.u.dict, "dict_values", false, true);
}

METHOD(copy) // nothing can change a dict or list, so it may be shared
{
    (void) c, (void) arg, (void) raw;
    return self;
}

// ---- lists --------------------------------------------------------------------------------------

METHOD(l_count)
{
    struct jcursor k;
    int64_t n = 0;
    (void) raw;
    if (!jcursor_open(c, self, &k))
        return jv_none();
    while (k.n > 0 && jc_step(c, 1))
        n += jv_eq(c, jcursor_next(c, &k), arg[0]);
    return jv_int(n);
}

METHOD(l_index)
{
    struct jcursor k;
    (void) raw;
    if (!jcursor_open(c, self, &k))
        return jv_none();
    for (int64_t i = 0; k.n > 0 && jc_step(c, 1); i++)
        if (jv_eq(c, jcursor_next(c, &k), arg[0]))
            return jv_int(i);
    jc_fail(c, RT_E_FORMAT, "value is not in list");
    return jv_none();
}

METHOD(f_is_integer)
{
    (void) c, (void) arg, (void) raw;
    return jv_bool(isfinite(self.u.f) && floor(self.u.f) == self.u.f);
}

// ---- loop, cycler -------------------------------------------------------------------------------

METHOD(loop_cycle)
{
    (void) arg;
    if (raw->npos == 0 || raw->nkw) {
        jc_fail(c, RT_E_FORMAT, "no items for cycling given");
        return jv_none();
    }
    return raw->pos[self.u.loop->index0 % (int64_t) raw->npos];
}

METHOD(loop_changed)
{
    struct jseq *s = jseq_new(c, raw->npos);
    const struct jv now = jv_seq(JK_TUPLE, s);
    bool changed;

    (void) arg;
    for (size_t i = 0; i < raw->npos; i++)
        jseq_push(c, s, raw->pos[i]);
    changed = !jv_eq(c, self.u.loop->changed, now);
    self.u.loop->changed = now;
    return jv_bool(changed);
}

METHOD(cycler_next)
{
    struct jcycle *y = self.u.cycle;
    const struct jv v = y->items->n ? y->items->v[y->pos] : jv_none();
    (void) c, (void) arg, (void) raw;
    y->pos = y->items->n ? (y->pos + 1) % y->items->n : 0;
    return v;
}

METHOD(cycler_reset)
{
    (void) c, (void) arg, (void) raw;
    self.u.cycle->pos = 0;
    return jv_none();
}

static struct jv loop_attr(struct jc *c, const struct jloop *l, const struct jstr *name)
{
    const struct {
        const char *name;
        struct jv val;
    } ATTRS[] = {
        {"index", jv_int(l->index0 + 1)},
        {"index0", jv_int(l->index0)},
        {"first", jv_bool(l->index0 == 0)},
        {"last", jv_bool(l->index0 == l->n - 1)},
        {"length", jv_int(l->n)},
        {"revindex", jv_int(l->n - l->index0)},
        {"revindex0", jv_int(l->n - l->index0 - 1)},
        {"depth", jv_int((int64_t) l->depth0 + 1)},
        {"depth0", jv_int((int64_t) l->depth0)},
    };
    for (size_t i = 0; i < COUNT_OF(ATTRS); i++)
        if (jstr_is(name, ATTRS[i].name))
            return ATTRS[i].val;
    if (jstr_is(name, "previtem"))
        return l->index0 ? l->prev : jv_undef_hint(c, "there is no previous item");
    if (jstr_is(name, "nextitem"))
        return jv_given(l->next) ? l->next : jv_undef_hint(c, "there is no next item");
    return jv_missing();
}

static struct jv macro_attr(struct jc *c, const struct jmacro *m, const struct jstr *name)
{
    const struct jparams *p = m->node->params;
    struct jseq *s;

    if (jstr_is(name, "name"))
        return m->node->kind == N_MACRO ? m->node->val : jv_str(jstr_share(c, "caller", 6));
    if (jstr_is(name, "catch_kwargs"))
        return jv_bool(p->kwargs);
    if (jstr_is(name, "catch_varargs"))
        return jv_bool(p->varargs);
    if (jstr_is(name, "caller"))
        return jv_bool(p->caller);
    if (!jstr_is(name, "arguments"))
        return jv_missing();
    s = jseq_new(c, p->n);
    for (size_t i = 0; i < p->n; i++)
        jseq_push(c, s, jv_str(p->name[i]));
    return jv_seq(JK_TUPLE, s);
}

static struct jv range_attr(const struct jrange *r, const struct jstr *name)
{
    if (jstr_is(name, "start"))
        return jv_int(r->start);
    if (jstr_is(name, "stop"))
        return jv_int(r->stop);
    return jstr_is(name, "step") ? jv_int(r->step) : jv_missing();
}

struct jv jobject_attr(struct jc *c, struct jv obj, const struct jstr *name)
{
    const struct jv *v;

    switch (obj.kind) {
    case JK_NS:
        v = jdict_get(c, obj.u.dict, jv_str(name));
        return v ? *v : jv_missing();
    case JK_LOOP:
        return loop_attr(c, obj.u.loop, name);
    case JK_MACRO:
        return macro_attr(c, obj.u.macro, name);
    case JK_RANGE:
        return range_attr(obj.u.range, name);
    case JK_CYCLER:
        return jstr_is(name, "current") && obj.u.cycle->items->n
                   ? obj.u.cycle->items->v[obj.u.cycle->pos]
                   : jv_missing();
    case JK_TUPLE:
        if (obj.u.seq->group && obj.u.seq->n == 2 && jstr_is(name, "grouper"))
            return obj.u.seq->v[0];
        if (obj.u.seq->group && obj.u.seq->n == 2 && jstr_is(name, "list"))
            return obj.u.seq->v[1];
        return jv_missing();
    default:
        return jv_missing();
    }
}

// ---- tables -------------------------------------------------------------------------------------

static const struct jnative DICT_METHODS[] = {
    {"get", d_get, "/key,default", 1}, {"items", d_items, "/", 0}, {"keys", d_keys, "/", 0},
    {"values", d_values, "/", 0},      {"copy", copy, "/", 0},
};
static const struct jnative LIST_METHODS[] = {
    {"count", l_count, "/value", 1},
    {"index", l_index, "/value", 1},
    {"copy", copy, "/", 0},
};
static const struct jnative TUPLE_METHODS[] = {
    {"count", l_count, "/value", 1},
    {"index", l_index, "/value", 1},
};
static const struct jnative FLOAT_METHODS[] = {{"is_integer", f_is_integer, "/", 0}};
static const struct jnative LOOP_METHODS[] = {
    {"cycle", loop_cycle, NULL, 0},
    {"changed", loop_changed, NULL, 0},
};
static const struct jnative CYCLER_METHODS[] = {
    {"next", cycler_next, "/", 0},
    {"reset", cycler_reset, "/", 0},
};

static const struct jnative *find(const struct jnative *table, size_t n, const struct jstr *name)
{
    for (size_t i = 0; i < n; i++)
        if (jstr_is(name, table[i].name))
            return &table[i];
    return NULL;
}

const struct jnative *jmethod_find(struct jv self, const struct jstr *name)
{
    const struct jnative *def;

    switch (self.kind) {
    case JK_STR:
        def = find(JSTR_METHODS, JSTR_NMETHODS, name);
        return def ? def : find(JCASE_METHODS, JCASE_NMETHODS, name);
    case JK_DICT:
        return find(DICT_METHODS, COUNT_OF(DICT_METHODS), name);
    case JK_LIST:
        return find(LIST_METHODS, COUNT_OF(LIST_METHODS), name);
    case JK_TUPLE:
    case JK_RANGE:
        return find(TUPLE_METHODS, COUNT_OF(TUPLE_METHODS), name);
    case JK_FLOAT:
        return find(FLOAT_METHODS, COUNT_OF(FLOAT_METHODS), name);
    case JK_LOOP:
        return find(LOOP_METHODS, COUNT_OF(LOOP_METHODS), name);
    case JK_CYCLER:
        return find(CYCLER_METHODS, COUNT_OF(CYCLER_METHODS), name);
    default:
        return NULL;
    }
}

bool jmethod_unsafe(struct jv self, const struct jstr *name)
{
    static const char *const DICT[] = {"clear", "pop", "popitem", "setdefault", "update"};
    static const char *const LIST[] = {"append", "clear", "pop",    "reverse",
                                       "insert", "sort",  "extend", "remove"};
    for (size_t i = 0; self.kind == JK_DICT && i < COUNT_OF(DICT); i++)
        if (jstr_is(name, DICT[i]))
            return true;
    for (size_t i = 0; self.kind == JK_LIST && i < COUNT_OF(LIST); i++)
        if (jstr_is(name, LIST[i]))
            return true;
    return false;
}
