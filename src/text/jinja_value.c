// Values: undefined, truth, equality, order, hashes, iteration, and what JSON becomes.
#include "src/text/jinja_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct jv jv_undef_hint(struct jc *c, const char *hint)
{
    struct jundef *u = jc_alloc(c, sizeof(*u));
    if (u)
        u->hint = hint;
    return (struct jv){.kind = JK_UNDEF, .u.undef = u};
}

struct jv jv_undef(struct jc *c, const char *owner, struct jv name)
{
    struct jundef *u = jc_alloc(c, sizeof(*u));
    if (u) {
        u->owner = owner;
        u->name = name;
    }
    return (struct jv){.kind = JK_UNDEF, .u.undef = u};
}

struct jv jv_undef_unsafe(struct jc *c, const char *owner, struct jv name)
{
    struct jundef *u = jc_alloc(c, sizeof(*u));
    if (u)
        *u = (struct jundef){.owner = owner, .name = name, .unsafe = true};
    return (struct jv){.kind = JK_UNDEF, .u.undef = u};
}

void jv_fail_undef(struct jc *c, struct jv v)
{
    const struct jundef *u = v.kind == JK_UNDEF ? v.u.undef : NULL;
    struct str name = {0};

    if (c->err != RT_OK)
        return;
    if (!u || u->hint) {
        jc_fail(c, RT_E_FORMAT, "%s", u ? u->hint : "a value is undefined");
        return;
    }
    jv_repr(c, &name, u->name);
    if (u->unsafe)
        jc_fail(c, RT_E_FORMAT, "access to attribute %s of '%s' object is unsafe.", name.data,
                u->owner);
    else if (!u->owner)
        jc_fail(c, RT_E_FORMAT, "%s is undefined", name.data);
    else if (u->name.kind != JK_STR)
        jc_fail(c, RT_E_FORMAT, "%s object has no element %s", u->owner, name.data);
    else
        jc_fail(c, RT_E_FORMAT, "'%s object' has no attribute %s", u->owner, name.data);
    str_free(&name);
}

const char *jv_type(struct jv v)
{
    static const char *const NAMES[JK_COUNT] = {
        [JK_MISSING] = "missing",  [JK_UNDEF] = "Undefined", [JK_NONE] = "NoneType",
        [JK_BOOL] = "bool",        [JK_INT] = "int",         [JK_FLOAT] = "float",
        [JK_BIG] = "int",          [JK_STR] = "str",         [JK_LIST] = "list",
        [JK_TUPLE] = "tuple",      [JK_VIEW] = "dict view",  [JK_ITER] = "generator",
        [JK_DICT] = "dict",        [JK_RANGE] = "range",     [JK_NS] = "Namespace",
        [JK_LOOP] = "LoopContext", [JK_MACRO] = "Macro",     [JK_FUNC] = "function",
        [JK_METHOD] = "method",    [JK_CYCLER] = "Cycler",   [JK_JOINER] = "Joiner",
    };
    return NAMES[v.kind];
}

bool jv_truth(struct jv v)
{
    switch (v.kind) {
    case JK_MISSING:
    case JK_UNDEF:
    case JK_NONE:
        return false;
    case JK_BOOL:
        return v.u.b;
    case JK_INT:
        return v.u.i != 0;
    case JK_FLOAT:
        return v.u.f != 0.0;
    case JK_STR:
    case JK_LIST:
    case JK_TUPLE:
    case JK_VIEW:
    case JK_DICT:
    case JK_RANGE:
    case JK_LOOP:
        return jv_len(v) != 0;
    default: // generators and objects without a length
        return true;
    }
}

int64_t jv_len(struct jv v)
{
    switch (v.kind) {
    case JK_UNDEF:
        return 0;
    case JK_STR:
        return (int64_t) v.u.s->cps;
    case JK_LIST:
    case JK_TUPLE:
    case JK_VIEW:
        return (int64_t) v.u.seq->n;
    case JK_DICT:
        return (int64_t) v.u.dict->n;
    case JK_RANGE:
        return v.u.range->n;
    case JK_LOOP:
        return v.u.loop->n;
    default:
        return -1;
    }
}

// ---- hashes and equality ------------------------------------------------------------------------

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = n, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = mix(h, word);
    }
    word = 0;
    if (n)
        memcpy(&word, p, n);
    return mix(mix(h, word), 1);
}

// Equal numbers hash alike whatever their type.
static uint64_t hash_float(double f)
{
    uint64_t bits;
    if (f >= -9223372036854775808.0 && f < 9223372036854775808.0 && f == floor(f))
        return mix(2, (uint64_t) (int64_t) f);
    memcpy(&bits, &f, sizeof(bits));
    return mix(3, bits);
}

uint64_t jv_hash(struct jc *c, struct jv v)
{
    uint64_t h = 4;

    switch (v.kind) {
    case JK_STR:
    case JK_BIG:
        return hash_bytes(v.u.s->p, v.u.s->len);
    case JK_BOOL:
    case JK_INT:
        return mix(2, (uint64_t) jv_as_int(v));
    case JK_FLOAT:
        return hash_float(v.u.f);
    case JK_NONE:
    case JK_UNDEF:
        return mix(5, v.kind);
    case JK_TUPLE:
        if (!jc_enter(c))
            return 0;
        for (size_t i = 0; i < v.u.seq->n && jc_step(c, 1); i++)
            h = mix(h, jv_hash(c, v.u.seq->v[i]));
        jc_leave(c);
        return h;
    case JK_LIST:
    case JK_DICT:
    case JK_VIEW:
        jc_fail(c, RT_E_FORMAT, "unhashable type: '%s'", jv_type(v));
        return 0;
    default:
        return mix(6, (uint64_t) (uintptr_t) v.u.seq);
    }
}

// Exactly, also where the int has more than 53 bits.
static int cmp_numbers(struct jv a, struct jv b)
{
    long double x, y;
    if (jv_intlike(a) && jv_intlike(b)) {
        const int64_t i = jv_as_int(a), j = jv_as_int(b);
        return (i > j) - (i < j);
    }
    x = a.kind == JK_FLOAT ? (long double) a.u.f : (long double) jv_as_int(a);
    y = b.kind == JK_FLOAT ? (long double) b.u.f : (long double) jv_as_int(b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

static int cmp_strings(const struct jstr *a, const struct jstr *b)
{
    const size_t n = a->len < b->len ? a->len : b->len;
    const int r = n ? memcmp(a->p, b->p, n) : 0; // UTF-8 sorts as its code points do
    return r ? (r > 0) - (r < 0) : (a->len > b->len) - (a->len < b->len);
}

static bool eq_seqs(struct jc *c, const struct jseq *a, const struct jseq *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jc_step(c, 1) || !jv_eq(c, a->v[i], b->v[i]))
            return false;
    return true;
}

static bool eq_dicts(struct jc *c, const struct jdict *a, const struct jdict *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct jv *v = jc_step(c, 1) ? jdict_get(c, b, a->e[i].key) : NULL;
        if (!v || !jv_eq(c, a->e[i].val, *v))
            return false;
    }
    return true;
}

bool jv_eq(struct jc *c, struct jv a, struct jv b)
{
    bool same = false;

    if (jv_number(a) && jv_number(b))
        return cmp_numbers(a, b) == 0;
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case JK_NONE:
    case JK_UNDEF:
    case JK_MISSING:
        return true;
    case JK_STR:
    case JK_BIG:
        return a.u.s == b.u.s ||
               (a.u.s->len == b.u.s->len && memcmp(a.u.s->p, b.u.s->p, a.u.s->len) == 0);
    case JK_RANGE:
        return memcmp(a.u.range, b.u.range, sizeof(*a.u.range)) == 0;
    case JK_LIST:
    case JK_TUPLE:
    case JK_DICT:
        if (!jc_enter(c))
            return false;
        same = a.kind == JK_DICT ? eq_dicts(c, a.u.dict, b.u.dict) : eq_seqs(c, a.u.seq, b.u.seq);
        jc_leave(c);
        return same;
    default:
        return a.u.seq == b.u.seq;
    }
}

int jv_cmp(struct jc *c, struct jv a, struct jv b, const char *op)
{
    int r = 0;

    if (jv_number(a) && jv_number(b))
        return cmp_numbers(a, b);
    if (a.kind == JK_STR && b.kind == JK_STR)
        return cmp_strings(a.u.s, b.u.s);
    if (a.kind == JK_UNDEF || b.kind == JK_UNDEF) {
        jv_fail_undef(c, a.kind == JK_UNDEF ? a : b);
        return 0;
    }
    if (a.kind != b.kind || (a.kind != JK_LIST && a.kind != JK_TUPLE)) {
        jc_fail(c, RT_E_FORMAT, "'%s' not supported between instances of '%s' and '%s'", op,
                jv_type(a), jv_type(b));
        return 0;
    }
    if (!jc_enter(c))
        return 0;
    for (size_t i = 0; i < a.u.seq->n && i < b.u.seq->n && r == 0 && jc_step(c, 1); i++)
        if (!jv_eq(c, a.u.seq->v[i], b.u.seq->v[i]))
            r = jv_cmp(c, a.u.seq->v[i], b.u.seq->v[i], op);
    jc_leave(c);
    return r ? r : (a.u.seq->n > b.u.seq->n) - (a.u.seq->n < b.u.seq->n);
}

bool jv_contains(struct jc *c, struct jv seq, struct jv item)
{
    struct jcursor k;

    if (seq.kind == JK_STR) {
        if (item.kind != JK_STR) {
            jc_fail(c, RT_E_FORMAT, "'in <string>' requires string as left operand, not %s",
                    jv_type(item));
            return false;
        }
        return jstr_find(c, seq.u.s->p, seq.u.s->len, item.u.s) != SIZE_MAX;
    }
    if (seq.kind == JK_DICT)
        return jdict_get(c, seq.u.dict, item) != NULL;
    if (!jcursor_open(c, seq, &k))
        return false;
    while (k.n > 0 && jc_step(c, 1)) {
        const bool same = jv_eq(c, jcursor_next(c, &k), item);
        if (same)
            return true;
    }
    return false;
}

// ---- iteration ----------------------------------------------------------------------------------

bool jcursor_open(struct jc *c, struct jv v, struct jcursor *out)
{
    int64_t n = v.kind == JK_LOOP ? -1 : jv_len(v);

    *out = (struct jcursor){.src = v};
    if (c->err != RT_OK)
        return false;
    if (v.kind == JK_ITER)
        n = (int64_t) (v.u.seq->n - v.u.seq->pos);
    if (n < 0) {
        jc_fail(c, RT_E_FORMAT, "'%s' object is not iterable", jv_type(v));
        return false;
    }
    out->n = (size_t) n;
    return true;
}

struct jv jcursor_next(struct jc *c, struct jcursor *k)
{
    const size_t i = k->i++;
    size_t len;

    k->n--;
    switch (k->src.kind) {
    case JK_LIST:
    case JK_TUPLE:
    case JK_VIEW:
        return k->src.u.seq->v[i];
    case JK_ITER: // another walk may have taken the rest meanwhile
        if (k->src.u.seq->pos < k->src.u.seq->n)
            return k->src.u.seq->v[k->src.u.seq->pos++];
        return jv_none();
    case JK_DICT:
        return k->src.u.dict->e[i].key;
    case JK_RANGE:
        return jv_int(k->src.u.range->start + (int64_t) i * k->src.u.range->step);
    case JK_STR:
        jcp_at(k->src.u.s->p + k->byte, &len);
        k->byte += len;
        return jv_str(jstr_share(c, k->src.u.s->p + k->byte - len, len));
    default:
        return jv_none();
    }
}

struct jseq *jv_to_seq(struct jc *c, struct jv v)
{
    struct jcursor k;
    struct jseq *s;

    if (!jcursor_open(c, v, &k))
        return &c->dead_seq;
    s = jseq_new(c, k.n);
    while (k.n > 0 && jc_step(c, 1))
        jseq_push(c, s, jcursor_next(c, &k));
    return s;
}

// ---- JSON ---------------------------------------------------------------------------------------

static struct jv from_object(struct jc *c, const json_t *j)
{
    struct jdict *d = jdict_new(c, json_object_size(j));
    void *it = json_object_iter((json_t *) (uintptr_t) j);

    for (; it && c->err == RT_OK; it = json_object_iter_next((json_t *) (uintptr_t) j, it)) {
        const struct jstr *key =
            jstr_share(c, json_object_iter_key(it), json_object_iter_key_len(it));
        jdict_set(c, d, jv_str(key), jv_from_json(c, json_object_iter_value(it)));
    }
    return jv_dict(d);
}

// Strings are shared with the JSON, which outlives the rendering.
struct jv jv_from_json(struct jc *c, const json_t *j)
{
    struct jv v = jv_none();

    switch (j ? json_typeof(j) : JSON_NULL) {
    case JSON_STRING:
        c->mem_limit += 8 * json_string_length(j);
        return jv_str(jstr_share(c, json_string_value(j), json_string_length(j)));
    case JSON_INTEGER:
        return jv_int(json_integer_value(j));
    case JSON_REAL:
        return jv_float(json_real_value(j));
    case JSON_TRUE:
    case JSON_FALSE:
        return jv_bool(json_is_true(j));
    case JSON_NULL:
        return v;
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    if (!jc_enter(c))
        return v;
    c->mem_limit += 1024;
    if (json_is_object(j)) {
        v = from_object(c, j);
    } else {
        struct jseq *s = jseq_new(c, json_array_size(j));
        for (size_t i = 0; i < json_array_size(j) && c->err == RT_OK; i++)
            jseq_push(c, s, jv_from_json(c, json_array_get(j, i)));
        v = jv_seq(JK_LIST, s);
    }
    jc_leave(c);
    return v;
}
