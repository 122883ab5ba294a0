// Expressions and calls.
#include "src/text/jinja_internal.h"

#include <string.h>

static struct jv eval_list(struct jc *c, struct jscope *s, const struct jn *n)
{
    struct jseq *items = jseq_new(c, n->n);
    for (size_t i = 0; i < n->n && c->err == RT_OK; i++)
        jseq_push(c, items, jeval(c, s, n->list[i]));
    return jv_seq(n->kind == N_LIST ? JK_LIST : JK_TUPLE, items);
}

static struct jv eval_dict(struct jc *c, struct jscope *s, const struct jn *n)
{
    struct jdict *d = jdict_new(c, n->n / 2);
    for (size_t i = 0; i + 1 < n->n && c->err == RT_OK; i += 2) {
        const struct jv key = jeval(c, s, n->list[i]);
        jdict_set(c, d, key, jeval(c, s, n->list[i + 1]));
    }
    return jv_dict(d);
}

static struct jv eval_concat(struct jc *c, struct jscope *s, const struct jn *n)
{
    const struct jstr *r = &JSTR_EMPTY;
    for (size_t i = 0; i < n->n && c->err == RT_OK; i++) {
        const struct jv v = jeval(c, s, n->list[i]);
        c->line = n->line;
        r = jstr_concat(c, r, jv_to_str(c, v));
    }
    return jv_str(jstr_safe(c, r, false));
}

// a < b < c: each operand once, and no further than the first that fails.
static struct jv eval_compare(struct jc *c, struct jscope *s, const struct jn *n)
{
    struct jv left = jeval(c, s, n->list[0]);
    bool r = true;
    for (size_t i = 1; i < n->n && r && c->err == RT_OK; i++) {
        const struct jv right = jeval(c, s, n->list[i]);
        c->line = n->line;
        r = jop_compare(c, n->ops[i - 1], left, right);
        left = right;
    }
    return jv_bool(r);
}

static struct jv eval_slice(struct jc *c, struct jscope *s, const struct jn *n)
{
    const struct jv obj = jeval(c, s, n->a);
    const struct jv start = n->b ? jeval(c, s, n->b) : jv_missing();
    const struct jv stop = n->c ? jeval(c, s, n->c) : jv_missing();
    const struct jv step = n->d ? jeval(c, s, n->d) : jv_missing();
    c->line = n->line;
    return jop_slice(c, obj, start, stop, step);
}

static struct jv eval_call(struct jc *c, struct jscope *s, const struct jn *n)
{
    const struct jv f = jeval(c, s, n->a);
    struct jargs args;

    jeval_args(c, s, n->args, &args);
    c->line = n->line;
    return jcall_value(c, f, &args);
}

struct jv jeval_filter(struct jc *c, struct jscope *s, const struct jn *n, struct jv value)
{
    struct jargs args;

    if (!n->native) {
        c->line = n->line;
        jc_fail(c, RT_E_FORMAT, "No %s named '%.*s' found.",
                n->kind == N_FILTER ? "filter" : "test", (int) u64_min(n->val.u.s->len, 100),
                n->val.u.s->p);
        return jv_none();
    }
    jeval_args(c, s, n->args, &args);
    c->line = n->line;
    return jcall_native(c, n->native, value, &args);
}

// A chain of filters; the innermost may have no value of its own (filter blocks).
static struct jv eval_operators(struct jc *c, struct jscope *s, const struct jn *n)
{
    struct jv a, b;

    switch (n->kind) {
    case N_NEG:
    case N_POS:
        a = jeval(c, s, n->a);
        c->line = n->line;
        return jop_negate(c, a, n->kind == N_NEG);
    case N_NOT:
        return jv_bool(!jv_truth(jeval(c, s, n->a)));
    case N_AND:
    case N_OR:
        a = jeval(c, s, n->a);
        return jv_truth(a) == (n->kind == N_OR) ? a : jeval(c, s, n->b);
    case N_BINARY:
        a = jeval(c, s, n->a);
        b = jeval(c, s, n->b);
        c->line = n->line;
        return jop_binary(c, n->op, a, b);
    case N_COND:
        if (jv_truth(jeval(c, s, n->a)))
            return jeval(c, s, n->b);
        return n->c ? jeval(c, s, n->c)
                    : jv_undef_hint(c, "the inline if-expression evaluated to false and no else "
                                       "section was defined.");
    default:
        a = jeval(c, s, n->a);
        b = jeval(c, s, n->b);
        c->line = n->line;
        return jop_item(c, a, b);
    }
}

static struct jv eval_node(struct jc *c, struct jscope *s, const struct jn *n)
{
    struct jv v;

    switch (n->kind) {
    case N_CONST:
        return n->val;
    case N_NAME:
        return jscope_get(c, s, n);
    case N_LIST:
    case N_TUPLE:
        return eval_list(c, s, n);
    case N_DICT:
        return eval_dict(c, s, n);
    case N_CONCAT:
        return eval_concat(c, s, n);
    case N_COMPARE:
        return eval_compare(c, s, n);
    case N_ATTR:
        v = jeval(c, s, n->a);
        c->line = n->line;
        return jop_attr(c, v, n->val.u.s);
    case N_SLICE:
        return eval_slice(c, s, n);
    case N_CALL:
        return eval_call(c, s, n);
    case N_FILTER:
    case N_TEST:
        return jeval_filter(c, s, n, jeval(c, s, n->a));
    default:
        return eval_operators(c, s, n);
    }
}

struct jv jeval(struct jc *c, struct jscope *s, const struct jn *n)
{
    struct jv v = jv_none();

    if (n->kind == N_CONST)
        return n->val;
    if (!jc_step(c, 1) || !jc_enter(c))
        return v;
    c->line = n->line;
    v = eval_node(c, s, n);
    jc_leave(c);
    return c->err == RT_OK ? v : jv_none();
}

// ---- arguments ----------------------------------------------------------------------------------

static void add_star(struct jc *c, struct jseq *pos, struct jv v)
{
    struct jcursor k;
    if (!jcursor_open(c, v, &k))
        return;
    while (k.n > 0 && jc_step(c, 1))
        jseq_push(c, pos, jcursor_next(c, &k));
}

static void add_starstar(struct jc *c, struct jkw *kw, size_t *n, struct jv v)
{
    for (size_t i = 0; i < v.u.dict->n; i++) {
        if (v.u.dict->e[i].key.kind != JK_STR) {
            jc_fail(c, RT_E_FORMAT, "keywords must be strings");
            return;
        }
        kw[(*n)++] = (struct jkw){v.u.dict->e[i].key.u.s, v.u.dict->e[i].val};
    }
}

void jeval_args(struct jc *c, struct jscope *s, const struct jcall *call, struct jargs *out)
{
    struct jseq *pos;
    struct jkw *kw;
    struct jv more = jv_missing();
    size_t n = 0;

    *out = (struct jargs){0};
    if (!call)
        return;
    pos = jseq_new(c, call->npos);
    for (size_t i = 0; i < call->npos && c->err == RT_OK; i++)
        jseq_push(c, pos, jeval(c, s, call->pos[i]));
    if (call->star)
        add_star(c, pos, jeval(c, s, call->star));
    if (call->starstar)
        more = jeval(c, s, call->starstar);
    if (jv_given(more) && more.kind != JK_DICT)
        jc_fail(c, RT_E_FORMAT, "argument after ** must be a mapping, not %s", jv_type(more));
    if (call->nkw || jv_given(more)) {
        kw = jc_alloc_array(
            c, call->nkw + (c->err == RT_OK && jv_given(more) ? more.u.dict->n : 0) + 1,
            sizeof(*kw));
        for (; kw && n < call->nkw && c->err == RT_OK; n++)
            kw[n] = (struct jkw){call->kwname[n], jeval(c, s, call->kwval[n])};
        if (kw && jv_given(more) && c->err == RT_OK)
            add_starstar(c, kw, &n, more);
        out->kw = kw;
        out->nkw = kw ? n : 0;
    }
    out->pos = pos->v;
    out->npos = pos->n;
}

// Put the arguments into the places that the signature names.
static bool bind(struct jc *c, const struct jnative *def, const struct jargs *a,
                 struct jv arg[JARG_MAX])
{
    const char *sig = def->sig + (def->sig[0] == '/');
    size_t n = 0, used = 0;

    for (; *sig && n < JARG_MAX; n++) {
        const size_t len = strcspn(sig, ",");
        arg[n] = n < a->npos ? a->pos[n] : jv_missing();
        for (size_t k = 0; k < a->nkw && def->sig[0] != '/'; k++) {
            if (a->kw[k].name->len != len || memcmp(a->kw[k].name->p, sig, len) != 0)
                continue;
            if (jv_given(arg[n]))
                jc_fail(c, RT_E_FORMAT, "%s() got multiple values for argument '%.*s'", def->name,
                        (int) len, sig);
            arg[n] = a->kw[k].val;
            used++;
        }
        if (n < def->required && !jv_given(arg[n]))
            jc_fail(c, RT_E_FORMAT, "%s() missing required argument '%.*s'", def->name, (int) len,
                    sig);
        sig += len + (sig[len] == ',');
    }
    if (a->npos > n)
        jc_fail(c, RT_E_FORMAT, "%s() takes at most %zu arguments (%zu given)", def->name, n,
                a->npos);
    if (used < a->nkw)
        jc_fail(c, RT_E_FORMAT, "%s() got an unexpected keyword argument", def->name);
    return c->err == RT_OK;
}

struct jv jcall_native(struct jc *c, const struct jnative *def, struct jv self,
                       const struct jargs *a)
{
    struct jv arg[JARG_MAX] = {0}, v = jv_none();

    if (!jc_enter(c))
        return v;
    if (!def->sig)
        v = def->fn(c, self, NULL, a);
    else if (bind(c, def, a, arg))
        v = def->fn(c, self, arg, a);
    jc_leave(c);
    return v;
}

// ---- calls --------------------------------------------------------------------------------------

// What a method of a safe string returns is safe.
static struct jv keep_safe(struct jc *c, struct jv v)
{
    struct jseq *s;
    if (v.kind == JK_STR)
        return jv_str(jstr_safe(c, v.u.s, true));
    if (v.kind != JK_LIST && v.kind != JK_TUPLE)
        return v;
    s = jseq_new(c, v.u.seq->n);
    for (size_t i = 0; i < v.u.seq->n && c->err == RT_OK; i++)
        jseq_push(c, s, keep_safe(c, v.u.seq->v[i]));
    return jv_seq(v.kind, s);
}

static struct jv call_joiner(struct jcycle *j)
{
    return j->pos++ == 0 ? jv_str(&JSTR_EMPTY) : j->sep;
}

struct jv jcall_value(struct jc *c, struct jv f, const struct jargs *a)
{
    struct jv v = jv_none();

    if (c->err != RT_OK)
        return v;
    switch (f.kind) {
    case JK_FUNC:
        return jcall_native(c, f.u.native, v, a);
    case JK_METHOD:
        v = jcall_native(c, f.u.method->def, f.u.method->self, a);
        if (f.u.method->self.kind == JK_STR && f.u.method->self.u.s->safe)
            return keep_safe(c, v);
        return v;
    case JK_MACRO:
        return jcall_macro(c, f.u.macro, a);
    case JK_LOOP:
        return jcall_loop(c, f.u.loop, a);
    case JK_JOINER:
        return call_joiner(f.u.cycle);
    case JK_UNDEF:
        jv_fail_undef(c, f);
        return v;
    default:
        jc_fail(c, RT_E_FORMAT, "'%s' object is not callable", jv_type(f));
        return v;
    }
}
