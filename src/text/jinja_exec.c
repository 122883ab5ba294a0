// Statements, scopes, loops and macros.
//
// A scope is entered by: an iteration of a for loop, a macro, a call, filter, set or generation
// block, and with. An if has none. `set` writes to the innermost scope; reading goes outwards.
#include "src/text/jinja_internal.h"

#include <string.h>

enum { MACRO_DEPTH_MAX = 200, SCOPE_ROOM = 4 };

struct jscope *jscope_new(struct jc *c, struct jscope *up)
{
    struct jscope *s = jc_alloc(c, sizeof(*s) + SCOPE_ROOM * sizeof(*s->b));
    if (!s)
        return NULL;
    s->up = up;
    s->b = (struct jbind *) (void *) (s + 1);
    s->cap = SCOPE_ROOM;
    return s;
}

void jscope_set(struct jc *c, struct jscope *s, uint32_t sym, struct jv v)
{
    if (c->err != RT_OK)
        return;
    if (!s) {
        c->globals[sym] = v;
        return;
    }
    for (unsigned i = 0; i < s->n; i++) {
        if (s->b[i].sym == sym) {
            s->b[i].val = v;
            return;
        }
    }
    if (s->n == s->cap) {
        struct jbind *grown = jc_alloc_array(c, 2 * (size_t) s->cap, sizeof(*grown));
        if (!grown)
            return;
        memcpy(grown, s->b, s->n * sizeof(*grown));
        s->b = grown;
        s->cap *= 2;
    }
    s->b[s->n++] = (struct jbind){sym, v};
}

struct jv jscope_get(struct jc *c, struct jscope *s, const struct jn *name)
{
    struct jv v = c->globals[name->sym];

    for (bool found = false; s && !found; s = s->up) {
        for (unsigned i = 0; i < s->n && !found; i++) {
            found = s->b[i].sym == name->sym;
            v = found ? s->b[i].val : v;
        }
    }
    return jv_given(v) ? v : jv_undef(c, NULL, name->val);
}

// ---- assignment ---------------------------------------------------------------------------------

static void set_attribute(struct jc *c, struct jscope *s, const struct jn *n, struct jv v)
{
    const struct jv ns = jscope_get(c, s, n->a);
    const struct jstr *name = n->val.u.s;

    if (ns.kind != JK_NS)
        jc_fail(c, RT_E_FORMAT, "cannot assign attribute on non-namespace object");
    else if (name->len && name->p[0] == '_')
        jc_fail(c, RT_E_FORMAT, "cannot store underscore-prefixed attributes on a namespace");
    else
        jdict_set(c, ns.u.dict, n->val, v);
}

static void assign(struct jc *c, struct jscope *s, const struct jn *target, struct jv v)
{
    struct jseq *items;

    if (target->kind == N_NAME) {
        jscope_set(c, s, target->sym, v);
    } else if (target->kind == N_NSREF) {
        set_attribute(c, s, target, v);
    } else {
        items = jv_to_seq(c, v);
        if (c->err == RT_OK && items->n != target->n)
            jc_fail(c, RT_E_FORMAT, "%s values to unpack (expected %zu, got %zu)",
                    items->n > target->n ? "too many" : "not enough", target->n, items->n);
        for (size_t i = 0; i < target->n && c->err == RT_OK; i++)
            assign(c, s, target->list[i], items->v[i]);
    }
}

// ---- captured output ----------------------------------------------------------------------------

// The output since `mark`, taken away from it.
static const struct jstr *capture(struct jc *c, size_t mark)
{
    const size_t n = c->out.len - mark;
    const struct jstr *s = c->err == RT_OK && n ? jstr_copy(c, c->out.data + mark, n) : &JSTR_EMPTY;
    c->out.len = mark;
    c->mem -= u64_min(c->mem, n); // counted by jsb
    return s;
}

// Run a body in a scope of its own and return what it printed.
static const struct jstr *run_captured(struct jc *c, struct jscope *up, const struct jn *body)
{
    const size_t mark = c->out.len;
    struct jscope *s = jscope_new(c, up);
    if (s)
        jexec(c, s, body);
    return capture(c, mark);
}

// A chain of filters on a captured text: the innermost node has no value.
static struct jv filter_text(struct jc *c, struct jscope *s, const struct jn *n, struct jv v)
{
    if (!n || !jc_enter(c))
        return v;
    v = filter_text(c, s, n->a, v);
    jc_leave(c);
    return c->err == RT_OK ? jeval_filter(c, s, n, v) : v;
}

// ---- loops --------------------------------------------------------------------------------------

// The items that pass the loop's test.
static struct jv filter_items(struct jc *c, struct jscope *up, const struct jn *n, struct jv v)
{
    struct jscope *s = jscope_new(c, up);
    struct jseq *kept = jseq_new(c, 0);
    struct jcursor k;

    if (!jcursor_open(c, v, &k) || !s)
        return jv_none();
    while (k.n > 0 && jc_step(c, 1)) {
        const struct jv item = jcursor_next(c, &k);
        assign(c, s, n->a, item);
        if (jv_truth(jeval(c, s, n->c)))
            jseq_push(c, kept, item);
        if (s->captured && !(s = jscope_new(c, up)))
            break;
    }
    return jv_seq(JK_LIST, kept);
}

// False: no iteration ran to its end, be it for want of items, continue or break; then jinja2 runs
// the else body.
static bool iterate(struct jc *c, struct jscope *up, struct jloop *l, struct jcursor *k)
{
    struct jscope *s = jscope_new(c, up);
    enum jflow flow = FLOW_NEXT;
    bool ran = false;

    if (k->n > 0)
        l->next = jcursor_next(c, k);
    for (l->index0 = 0; l->index0 < l->n && s && flow != FLOW_BREAK && jc_step(c, 1); l->index0++) {
        l->prev = l->cur;
        l->cur = l->next;
        l->next = k->n > 0 ? jcursor_next(c, k) : jv_missing();
        jscope_set(c, s, JSYM_LOOP, (struct jv){.kind = JK_LOOP, .u.loop = l});
        assign(c, s, l->node->a, l->cur);
        flow = jexec(c, s, l->node->list[0]);
        ran = ran || flow == FLOW_NEXT;
        if (s->captured)
            s = jscope_new(c, up);
        else
            s->n = 0;
    }
    return ran;
}

static enum jflow run_loop(struct jc *c, struct jscope *s, const struct jn *n, struct jv v,
                           unsigned depth0)
{
    struct jloop *l = jc_alloc(c, sizeof(*l));
    struct jcursor k;

    if (n->c)
        v = filter_items(c, s, n, v);
    if (!l || !jcursor_open(c, v, &k))
        return FLOW_NEXT;
    *l = (struct jloop){.node = n, .scope = s, .n = (int64_t) k.n, .depth0 = depth0};
    if (!iterate(c, s, l, &k) && n->n > 1 && (s = jscope_new(c, s)))
        return jexec(c, s, n->list[1]); // may break out of a loop around this one
    return FLOW_NEXT;
}

// loop(items) in a recursive loop.
struct jv jcall_loop(struct jc *c, const struct jloop *l, const struct jargs *a)
{
    const size_t mark = c->out.len;

    if (!l->node->flag)
        jc_fail(c, RT_E_FORMAT,
                "The loop must have the 'recursive' marker to be called recursively.");
    if (a->npos != 1 || a->nkw)
        jc_fail(c, RT_E_FORMAT, "loop() takes one argument");
    if (c->macro_depth >= MACRO_DEPTH_MAX)
        jc_fail(c, RT_E_UNSUPPORTED, "calls nested more than %d deep", MACRO_DEPTH_MAX);
    if (c->err != RT_OK)
        return jv_none();
    c->macro_depth++;
    run_loop(c, l->scope, l->node, a->pos[0], l->depth0 + 1);
    c->macro_depth--;
    return jv_str(capture(c, mark));
}

// ---- macros -------------------------------------------------------------------------------------

static struct jv new_macro(struct jc *c, struct jscope *s, const struct jn *n)
{
    struct jmacro *m = jc_alloc(c, sizeof(*m));
    if (!m)
        return jv_none();
    *m = (struct jmacro){.node = n, .closure = s};
    for (; s && !s->captured; s = s->up)
        s->captured = true;
    return (struct jv){.kind = JK_MACRO, .u.macro = m};
}

// Keywords that are no parameter: caller, and what goes to kwargs.
static void bind_rest(struct jc *c, struct jscope *s, const struct jparams *p,
                      const struct jargs *a, const bool *used)
{
    struct jdict *kwargs = jdict_new(c, 0);
    struct jseq *varargs = jseq_new(c, 0);
    struct jv caller = jv_undef_hint(c, "No caller defined");

    for (size_t i = 0; i < a->nkw && c->err == RT_OK; i++) {
        if (used[i])
            continue;
        if (p->caller && !p->has_caller && jstr_is(a->kw[i].name, "caller"))
            caller = a->kw[i].val;
        else if (p->kwargs)
            jdict_set(c, kwargs, jv_str(a->kw[i].name), a->kw[i].val);
        else
            jc_fail(c, RT_E_FORMAT, "macro takes no keyword argument '%.*s'",
                    (int) u64_min(a->kw[i].name->len, 100), a->kw[i].name->p);
    }
    for (size_t i = p->n; i < a->npos; i++)
        jseq_push(c, varargs, a->pos[i]);
    if (varargs->n && !p->varargs)
        jc_fail(c, RT_E_FORMAT, "macro takes not more than %zu argument(s)", p->n);
    if (p->caller && !p->has_caller)
        jscope_set(c, s, JSYM_CALLER, caller);
    if (p->kwargs)
        jscope_set(c, s, JSYM_KWARGS, jv_dict(kwargs));
    if (p->varargs)
        jscope_set(c, s, JSYM_VARARGS, jv_seq(JK_TUPLE, varargs));
}

static struct jv param_missing(struct jc *c, const struct jstr *name)
{
    struct str s = {0};
    const struct jstr *text;

    jsb(c, &s, "parameter '", 11);
    jsb(c, &s, name->p, name->len);
    jsb(c, &s, "' was not provided", 19); // with its NUL
    text = jstr_take(c, &s);
    return jv_undef_hint(c, text->p);
}

static void bind_params(struct jc *c, struct jscope *s, const struct jparams *p,
                        const struct jargs *a)
{
    bool *used = jc_alloc(c, a->nkw + 1);
    struct jv *given = jc_alloc_array(c, p->n + 1, sizeof(*given));

    if (!used || !given)
        return;
    for (size_t i = 0; i < p->n; i++) {
        given[i] = i < a->npos ? a->pos[i] : jv_missing();
        for (size_t k = 0; k < a->nkw && i >= a->npos && jc_step(c, 1); k++) {
            if (!used[k] && jv_eq(c, jv_str(a->kw[k].name), jv_str(p->name[i]))) {
                used[k] = true;
                given[i] = a->kw[k].val;
                break;
            }
        }
    }
    bind_rest(c, s, p, a, used);
    for (size_t i = 0; i < p->n && c->err == RT_OK; i++) {
        const size_t d = i + p->ndefaults;
        if (!jv_given(given[i]))
            given[i] =
                d >= p->n ? jeval(c, s, p->defaults[d - p->n]) : param_missing(c, p->name[i]);
        jscope_set(c, s, p->sym[i], given[i]);
    }
}

struct jv jcall_macro(struct jc *c, const struct jmacro *m, const struct jargs *a)
{
    const size_t mark = c->out.len;
    struct jscope *s = jscope_new(c, m->closure);

    if (c->macro_depth >= MACRO_DEPTH_MAX)
        jc_fail(c, RT_E_UNSUPPORTED, "macros nested more than %d deep", MACRO_DEPTH_MAX);
    if (!s || !jc_enter(c))
        return jv_none();
    c->macro_depth++;
    bind_params(c, s, m->node->params, a);
    if (c->err == RT_OK)
        jexec(c, s, m->node->b);
    c->macro_depth--;
    jc_leave(c);
    return jv_str(capture(c, mark));
}

static void exec_call_block(struct jc *c, struct jscope *s, const struct jn *n)
{
    const struct jv f = jeval(c, s, n->a->a);
    struct jargs args;
    struct jkw *kw;

    jeval_args(c, s, n->a->args, &args);
    kw = jc_alloc_array(c, args.nkw + 1, sizeof(*kw));
    if (!kw)
        return;
    if (args.nkw)
        memcpy(kw, args.kw, args.nkw * sizeof(*kw));
    kw[args.nkw++] = (struct jkw){jstr_share(c, "caller", 6), new_macro(c, s, n)};
    args.kw = kw;
    c->line = n->line;
    jv_print(c, &c->out, jcall_value(c, f, &args));
}

// ---- statements ---------------------------------------------------------------------------------

static enum jflow exec_if(struct jc *c, struct jscope *s, const struct jn *n)
{
    size_t i = 0;
    for (; i + 1 < n->n && c->err == RT_OK; i += 2)
        if (jv_truth(jeval(c, s, n->list[i])))
            return jexec(c, s, n->list[i + 1]);
    return i < n->n ? jexec(c, s, n->list[i]) : FLOW_NEXT;
}

static enum jflow exec_with(struct jc *c, struct jscope *up, const struct jn *n)
{
    struct jscope *s = jscope_new(c, up);
    for (size_t i = 0; s && i + 1 < n->n && c->err == RT_OK; i += 2)
        assign(c, s, n->list[i], jeval(c, up, n->list[i + 1]));
    return s ? jexec(c, s, n->b) : FLOW_NEXT;
}

static enum jflow exec_body(struct jc *c, struct jscope *s, const struct jn *n)
{
    enum jflow flow = FLOW_NEXT;

    for (size_t i = 0; i < n->nunset; i++)
        jscope_set(c, s, n->unset[i], jv_missing());
    for (size_t i = 0; i < n->n && flow == FLOW_NEXT && c->err == RT_OK; i++)
        flow = jexec(c, s, n->list[i]);
    return flow;
}

static enum jflow exec_node(struct jc *c, struct jscope *s, const struct jn *n)
{
    struct jv v;

    switch (n->kind) {
    case N_BODY:
        return exec_body(c, s, n);
    case N_TEXT:
        jsb(c, &c->out, n->val.u.s->p, n->val.u.s->len);
        return FLOW_NEXT;
    case N_PRINT:
        v = jeval(c, s, n->a);
        if (c->err == RT_OK)
            jv_print(c, &c->out, v);
        return FLOW_NEXT;
    case N_IF:
        return exec_if(c, s, n);
    case N_FOR:
        return run_loop(c, s, n, jeval(c, s, n->b), 0);
    case N_SET:
        v = jeval(c, s, n->b);
        assign(c, s, n->a, v);
        return FLOW_NEXT;
    case N_SETBLOCK:
        v = jv_str(run_captured(c, s, n->c));
        assign(c, s, n->a, filter_text(c, s, n->b, v));
        return FLOW_NEXT;
    case N_MACRO:
        jscope_set(c, s, n->sym, new_macro(c, s, n));
        return FLOW_NEXT;
    case N_CALLBLOCK:
        exec_call_block(c, s, n);
        return FLOW_NEXT;
    case N_FILTERBLOCK:
        v = filter_text(c, s, n->a, jv_str(run_captured(c, s, n->b)));
        if (v.kind != JK_STR)
            jc_fail(c, RT_E_FORMAT, "a filter block gave no text but: %s", jv_type(v));
        jv_print(c, &c->out, v);
        return FLOW_NEXT;
    case N_WITH:
        return exec_with(c, s, n);
    case N_SCOPE:
        s = jscope_new(c, s);
        return s ? jexec(c, s, n->b) : FLOW_NEXT;
    default:
        return n->kind == N_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
    }
}

enum jflow jexec(struct jc *c, struct jscope *s, const struct jn *n)
{
    enum jflow flow;

    if (!jc_step(c, 1) || !jc_enter(c))
        return FLOW_NEXT;
    c->line = n->line;
    flow = exec_node(c, s, n);
    jc_leave(c);
    return flow;
}
