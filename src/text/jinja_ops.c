// Operators with Python's meaning, subscripts, attributes and slices.
#include "src/text/jinja_internal.h"

#include <math.h>
#include <string.h>

static struct jv bad_operands(struct jc *c, const char *op, struct jv a, struct jv b)
{
    if (a.kind == JK_UNDEF || b.kind == JK_UNDEF)
        jv_fail_undef(c, a.kind == JK_UNDEF ? a : b);
    else if (a.kind == JK_BIG || b.kind == JK_BIG)
        jc_fail(c, RT_E_UNSUPPORTED, "arithmetic on an integer beyond 64 bits");
    else if (strcmp(op, "+") == 0 && a.kind == JK_STR)
        jc_fail(c, RT_E_FORMAT, "can only concatenate str (not \"%s\") to str", jv_type(b));
    else
        jc_fail(c, RT_E_FORMAT, "unsupported operand type(s) for %s: '%s' and '%s'", op, jv_type(a),
                jv_type(b));
    return jv_none();
}

static struct jv overflow(struct jc *c)
{
    jc_fail(c, RT_E_UNSUPPORTED, "an integer beyond 64 bits");
    return jv_none();
}

static struct jv divided_by_zero(struct jc *c)
{
    jc_fail(c, RT_E_FORMAT, "division by zero");
    return jv_none();
}

// ---- sequences ----------------------------------------------------------------------------------

static struct jv join_seqs(struct jc *c, struct jv a, struct jv b)
{
    struct jseq *s = jseq_new(c, a.u.seq->n + b.u.seq->n);
    for (size_t i = 0; i < a.u.seq->n && jc_step(c, i % 8 == 0); i++)
        jseq_push(c, s, a.u.seq->v[i]);
    for (size_t i = 0; i < b.u.seq->n && jc_step(c, i % 8 == 0); i++)
        jseq_push(c, s, b.u.seq->v[i]);
    return jv_seq(a.kind, s);
}

// Adding to a safe string escapes the other side.
static struct jv join_strs(struct jc *c, struct jv a, struct jv b)
{
    if (a.u.s->safe == b.u.s->safe) {
        const struct jstr *s = jstr_concat(c, a.u.s, b.u.s);
        return jv_str(jstr_safe(c, s, a.u.s->safe));
    }
    return jv_str(jstr_safe(c, jstr_concat(c, jescape(c, a), jescape(c, b)), true));
}

static struct jv add(struct jc *c, struct jv a, struct jv b)
{
    int64_t r;
    if (a.kind == JK_STR && b.kind == JK_STR)
        return join_strs(c, a, b);
    if (jv_intlike(a) && jv_intlike(b))
        return __builtin_add_overflow(jv_as_int(a), jv_as_int(b), &r) ? overflow(c) : jv_int(r);
    if (jv_number(a) && jv_number(b))
        return jv_float(jv_as_float(a) + jv_as_float(b));
    if (a.kind == b.kind && (a.kind == JK_LIST || a.kind == JK_TUPLE))
        return join_seqs(c, a, b);
    return bad_operands(c, "+", a, b);
}

static struct jv subtract(struct jc *c, struct jv a, struct jv b)
{
    int64_t r;
    if (jv_intlike(a) && jv_intlike(b))
        return __builtin_sub_overflow(jv_as_int(a), jv_as_int(b), &r) ? overflow(c) : jv_int(r);
    if (jv_number(a) && jv_number(b))
        return jv_float(jv_as_float(a) - jv_as_float(b));
    return bad_operands(c, "-", a, b);
}

const struct jstr *jstr_repeat(struct jc *c, const struct jstr *s, int64_t n)
{
    const struct jstr *r = &JSTR_EMPTY;
    size_t total;

    if (n <= 0 || s->len == 0)
        return jstr_safe(c, r, s->safe);
    if (!size_mul(s->len, (size_t) n, &total) || total > c->mem_limit) {
        jc_fail(c, RT_E_UNSUPPORTED, "a string of more than %zu bytes", c->mem_limit);
        return r;
    }
    for (; n > 0 && c->err == RT_OK; n /= 2) { // square and multiply
        if (n % 2)
            r = jstr_concat(c, r, s);
        if (n > 1)
            s = jstr_concat(c, jstr_copy(c, s->p, s->len), s);
    }
    return r;
}

static struct jv repeat(struct jc *c, struct jv v, int64_t n)
{
    struct jseq *s;
    if (v.kind == JK_STR)
        return jv_str(jstr_safe(c, jstr_repeat(c, v.u.s, n), v.u.s->safe));
    s = jseq_new(c, 0);
    for (int64_t k = 0; k < n && v.u.seq->n > 0 && c->err == RT_OK; k++)
        for (size_t i = 0; i < v.u.seq->n && jc_step(c, 1); i++)
            jseq_push(c, s, v.u.seq->v[i]);
    return jv_seq(v.kind, s);
}

static bool repeats(struct jv v)
{
    return v.kind == JK_STR || v.kind == JK_LIST || v.kind == JK_TUPLE;
}

static struct jv multiply(struct jc *c, struct jv a, struct jv b)
{
    int64_t r;
    if (jv_intlike(a) && jv_intlike(b))
        return __builtin_mul_overflow(jv_as_int(a), jv_as_int(b), &r) ? overflow(c) : jv_int(r);
    if (jv_number(a) && jv_number(b))
        return jv_float(jv_as_float(a) * jv_as_float(b));
    if (repeats(a) && jv_intlike(b))
        return repeat(c, a, jv_as_int(b));
    if (repeats(b) && jv_intlike(a))
        return repeat(c, b, jv_as_int(a));
    return bad_operands(c, "*", a, b);
}

// ---- division -----------------------------------------------------------------------------------

static struct jv divide(struct jc *c, struct jv a, struct jv b)
{
    if (!jv_number(a) || !jv_number(b))
        return bad_operands(c, "/", a, b);
    if (jv_as_float(b) == 0.0)
        return divided_by_zero(c);
    if (jv_intlike(a) && jv_intlike(b))
        return jv_float((double) ((long double) jv_as_int(a) / (long double) jv_as_int(b)));
    return jv_float(jv_as_float(a) / jv_as_float(b));
}

// Python's remainder has the divisor's sign; the quotient is rounded down.
static double float_mod(double x, double y)
{
    double r = fmod(x, y);
    if (r != 0.0)
        return (r < 0) != (y < 0) ? r + y : r;
    return copysign(0.0, y);
}

static double float_floordiv(double x, double y)
{
    const double mod = fmod(x, y);
    double div = (x - mod) / y, floored;
    if (mod != 0.0 && (mod < 0) != (y < 0))
        div -= 1.0;
    if (div == 0.0)
        return copysign(0.0, x / y);
    floored = floor(div);
    return div - floored > 0.5 ? floored + 1.0 : floored;
}

static struct jv floor_divide(struct jc *c, struct jv a, struct jv b)
{
    if (!jv_number(a) || !jv_number(b))
        return bad_operands(c, "//", a, b);
    if (jv_as_float(b) == 0.0)
        return divided_by_zero(c);
    if (jv_intlike(a) && jv_intlike(b)) {
        const int64_t x = jv_as_int(a), y = jv_as_int(b);
        if (x == INT64_MIN && y == -1)
            return overflow(c);
        return jv_int(x / y - (x % y != 0 && (x < 0) != (y < 0)));
    }
    return jv_float(float_floordiv(jv_as_float(a), jv_as_float(b)));
}

static struct jv modulo(struct jc *c, struct jv a, struct jv b)
{
    if (a.kind == JK_STR)
        return jformat_percent(c, a.u.s, b);
    if (!jv_number(a) || !jv_number(b))
        return bad_operands(c, "%", a, b);
    if (jv_as_float(b) == 0.0)
        return divided_by_zero(c);
    if (jv_intlike(a) && jv_intlike(b)) {
        const int64_t x = jv_as_int(a), y = jv_as_int(b);
        const int64_t r = y == -1 ? 0 : x % y;
        return jv_int(r != 0 && (r < 0) != (y < 0) ? r + y : r);
    }
    return jv_float(float_mod(jv_as_float(a), jv_as_float(b)));
}

static struct jv int_power(struct jc *c, int64_t base, int64_t e)
{
    int64_t r = 1;
    while (e > 0) {
        if (e % 2 && __builtin_mul_overflow(r, base, &r))
            return overflow(c);
        e /= 2;
        if (e > 0 && __builtin_mul_overflow(base, base, &base))
            return overflow(c);
    }
    return jv_int(r);
}

static struct jv power(struct jc *c, struct jv a, struct jv b)
{
    double r;
    if (!jv_number(a) || !jv_number(b))
        return bad_operands(c, "** or pow()", a, b);
    if (jv_intlike(a) && jv_intlike(b) && jv_as_int(b) >= 0)
        return int_power(c, jv_as_int(a), jv_as_int(b));
    if (jv_as_float(a) == 0.0 && jv_as_float(b) < 0.0)
        return divided_by_zero(c);
    r = pow(jv_as_float(a), jv_as_float(b));
    if (isnan(r) && !isnan(jv_as_float(a)) && !isnan(jv_as_float(b)))
        jc_fail(c, RT_E_UNSUPPORTED, "a complex number");
    if (isinf(r) && !isinf(jv_as_float(a)) && !isinf(jv_as_float(b)))
        jc_fail(c, RT_E_FORMAT, "Numerical result out of range");
    return jv_float(r);
}

struct jv jop_binary(struct jc *c, enum jop op, struct jv a, struct jv b)
{
    switch (op) {
    case OP_ADD:
        return add(c, a, b);
    case OP_SUB:
        return subtract(c, a, b);
    case OP_MUL:
        return multiply(c, a, b);
    case OP_DIV:
        return divide(c, a, b);
    case OP_FLOORDIV:
        return floor_divide(c, a, b);
    case OP_MOD:
        return modulo(c, a, b);
    case OP_POW:
        return power(c, a, b);
    default:
        return jv_bool(jop_compare(c, op, a, b));
    }
}

struct jv jop_negate(struct jc *c, struct jv v, bool minus)
{
    if (v.kind == JK_FLOAT)
        return jv_float(minus ? -v.u.f : v.u.f);
    if (jv_intlike(v)) {
        if (minus && jv_as_int(v) == INT64_MIN)
            return overflow(c);
        return jv_int(minus ? -jv_as_int(v) : jv_as_int(v));
    }
    if (v.kind == JK_UNDEF)
        jv_fail_undef(c, v);
    else
        jc_fail(c, RT_E_FORMAT, "bad operand type for unary %c: '%s'", minus ? '-' : '+',
                jv_type(v));
    return jv_none();
}

bool jop_compare(struct jc *c, enum jop op, struct jv a, struct jv b)
{
    int r;
    switch (op) {
    case OP_EQ:
        return jv_eq(c, a, b);
    case OP_NE:
        return !jv_eq(c, a, b);
    case OP_IN:
        return jv_contains(c, b, a);
    case OP_NOTIN:
        return !jv_contains(c, b, a);
    case OP_LT:
        return jv_cmp(c, a, b, "<") < 0;
    case OP_LE:
        return jv_cmp(c, a, b, "<=") <= 0;
    case OP_GT:
        r = jv_cmp(c, a, b, ">");
        return r > 0 && r != 2;
    default:
        r = jv_cmp(c, a, b, ">=");
        return r >= 0 && r != 2;
    }
}

// ---- subscripts ---------------------------------------------------------------------------------

// Byte offset of a code point; cp <= s->cps.
static size_t byte_of(const struct jstr *s, size_t cp)
{
    size_t i = 0;
    if (s->cps == s->len)
        return cp;
    for (; cp > 0; cp--) {
        size_t len;
        jcp_at(s->p + i, &len);
        i += len;
    }
    return i;
}

const struct jstr *jstr_slice(struct jc *c, const struct jstr *s, size_t from, size_t to)
{
    const size_t a = from < to ? byte_of(s, from) : 0;
    const size_t b = from < to ? byte_of(s, to) : 0;
    jc_step(c, s->cps == s->len ? 0 : b / 64);
    return jstr_safe(c, jstr_share(c, s->p + a, b - a), s->safe);
}

static struct jv nth(struct jc *c, struct jv obj, int64_t i)
{
    switch (obj.kind) {
    case JK_STR:
        return jv_str(jstr_slice(c, obj.u.s, (size_t) i, (size_t) i + 1));
    case JK_RANGE:
        return jv_int(obj.u.range->start + i * obj.u.range->step);
    default:
        return obj.u.seq->v[i];
    }
}

static bool subscriptable(struct jv v)
{
    return v.kind == JK_STR || v.kind == JK_LIST || v.kind == JK_TUPLE || v.kind == JK_RANGE;
}

// obj.name of anything but what is under a key; JK_MISSING: there is none.
static struct jv attribute(struct jc *c, struct jv obj, const struct jstr *name)
{
    const struct jnative *def = jmethod_find(obj, name);
    struct jmethod *m;

    if (jmethod_unsafe(obj, name))
        return jv_undef_unsafe(c, jv_type(obj), jv_str(name));
    if (!def)
        return jobject_attr(c, obj, name);
    m = jc_alloc(c, sizeof(*m));
    if (!m)
        return jv_none();
    *m = (struct jmethod){.self = obj, .def = def};
    return (struct jv){.kind = JK_METHOD, .u.method = m};
}

struct jv jop_item(struct jc *c, struct jv obj, struct jv key)
{
    struct jv r = jv_missing();
    const struct jv *found;

    if (obj.kind == JK_UNDEF) {
        jv_fail_undef(c, obj);
        return obj;
    }
    if (obj.kind == JK_DICT && key.kind != JK_LIST && key.kind != JK_DICT) {
        found = jdict_get(c, obj.u.dict, key);
        if (found)
            return *found;
    } else if (subscriptable(obj) && jv_intlike(key)) {
        const int64_t n = jv_len(obj), i = jv_as_int(key);
        if (i < n && i >= -n)
            return nth(c, obj, i < 0 ? i + n : i);
    }
    if (key.kind == JK_STR)
        r = attribute(c, obj, key.u.s);
    return jv_given(r) ? r : jv_undef(c, jv_type(obj), key);
}

struct jv jop_attr(struct jc *c, struct jv obj, const struct jstr *name)
{
    struct jv r;
    const struct jv *found;

    if (obj.kind == JK_UNDEF) {
        jv_fail_undef(c, obj);
        return obj;
    }
    r = attribute(c, obj, name);
    if (jv_given(r))
        return r;
    found = obj.kind == JK_DICT ? jdict_get(c, obj.u.dict, jv_str(name)) : NULL;
    return found ? *found : jv_undef(c, jv_type(obj), jv_str(name));
}

// ---- slices -------------------------------------------------------------------------------------

static int64_t bound(struct jc *c, struct jv v, int64_t n, int64_t step, int64_t def)
{
    const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? n - 1 : n;
    int64_t i;

    if (!jv_given(v) || v.kind == JK_NONE)
        return def;
    if (!jv_intlike(v)) {
        if (v.kind == JK_UNDEF)
            jv_fail_undef(c, v);
        jc_fail(c, RT_E_FORMAT, "slice indices must be integers or None, not %s", jv_type(v));
        return 0;
    }
    i = jv_as_int(v);
    if (i < 0)
        i += n;
    return i < low ? low : i > high ? high : i;
}

static struct jv slice_range(struct jc *c, const struct jrange *src, int64_t from, int64_t step,
                             int64_t to, int64_t n)
{
    struct jrange *r = jc_alloc(c, sizeof(*r));

    if (!r)
        return jv_none();
    *r = (struct jrange){.n = n};
    if (__builtin_mul_overflow(src->step, step, &r->step) ||
        __builtin_mul_overflow(from, src->step, &r->start) ||
        __builtin_add_overflow(r->start, src->start, &r->start) ||
        __builtin_mul_overflow(to, src->step, &r->stop) ||
        __builtin_add_overflow(r->stop, src->start, &r->stop))
        return overflow(c);
    return (struct jv){.kind = JK_RANGE, .u.range = r};
}

// Every step-th character, in either direction.
static struct jv slice_steps(struct jc *c, const struct jstr *s, int64_t from, int64_t step,
                             int64_t n)
{
    struct jcursor k;
    struct str out = {0};
    struct jseq *all = &c->dead_seq;

    if (s->cps != s->len && jcursor_open(c, jv_str(s), &k))
        all = jv_to_seq(c, jv_str(s));
    for (int64_t i = 0, at = from; i < n && jc_step(c, 1); i++, at += step) {
        const struct jstr *ch = s->cps == s->len ? NULL : all->v[at].u.s;
        jsb(c, &out, ch ? ch->p : s->p + at, ch ? ch->len : 1);
    }
    return jv_str(jstr_safe(c, jstr_take(c, &out), s->safe));
}

struct jv jop_slice(struct jc *c, struct jv obj, struct jv start, struct jv stop, struct jv step)
{
    int64_t from, to, by = 1, count = 0, n = subscriptable(obj) ? jv_len(obj) : 0;
    struct jseq *s;

    if (obj.kind == JK_UNDEF)
        jv_fail_undef(c, obj);
    else if (!subscriptable(obj))
        jc_fail(c, RT_E_FORMAT, "'%s' object cannot be sliced", jv_type(obj));
    if (jv_given(step) && step.kind != JK_NONE)
        by = jarg_int(c, step, 1, "slice step");
    if (by == 0 || by == INT64_MIN)
        jc_fail(c, RT_E_FORMAT, "slice step cannot be zero");
    from = bound(c, start, n, by, by < 0 ? n - 1 : 0);
    to = bound(c, stop, n, by, by < 0 ? -1 : n);
    if (c->err != RT_OK)
        return jv_none();
    if (by > 0 && to > from)
        count = (to - from - 1) / by + 1;
    else if (by < 0 && from > to)
        count = (from - to - 1) / -by + 1;
    if (obj.kind == JK_STR && by == 1)
        return jv_str(jstr_slice(c, obj.u.s, (size_t) from, (size_t) (from + count)));
    if (obj.kind == JK_STR)
        return slice_steps(c, obj.u.s, from, by, count);
    if (obj.kind == JK_RANGE)
        return slice_range(c, obj.u.range, from, by, to, count);
    s = jseq_new(c, (size_t) count);
    for (int64_t i = 0; i < count && jc_step(c, i % 8 == 0); i++)
        jseq_push(c, s, obj.u.seq->v[from + i * by]);
    return jv_seq(obj.kind, s);
}
