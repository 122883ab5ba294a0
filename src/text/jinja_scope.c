// Which names are undefined, whatever the variables hold, until a block sets them.
//
// jinja2 decides per block ("frame") at compile time where a name comes from. If the first thing
// that a frame itself does with a name is to set it, and not under an if, and no frame around it
// mentions the name, then blocks inside that read it earlier find nothing, not even a variable of
// that name. Lists of such names are put on the bodies of frames; running a body binds them.
// Source: jinja2 3.1.6, idtracking.py.
#include "src/text/jinja_internal.h"

struct frame {
    struct jc *c;
    const struct frame *up;
    struct jdict *seen; // symbols that the frame mentions
    struct jseq *undef; // symbols that are unset at its start
    struct jlist inner; // statements that hold frames
};

static void walk(struct frame *f, struct jn *n, bool conditional);

static void mark(struct frame *f, uint32_t sym)
{
    jdict_set(f->c, f->seen, jv_int(sym), jv_none());
}

static bool mentioned(const struct frame *f, uint32_t sym)
{
    for (; f; f = f->up)
        if (jdict_get(f->c, f->seen, jv_int(sym)))
            return true;
    return false;
}

static void store(struct frame *f, uint32_t sym, bool conditional)
{
    if (!conditional && !mentioned(f, sym))
        jseq_push(f->c, f->undef, jv_int(sym));
    mark(f, sym);
}

static void store_target(struct frame *f, const struct jn *target, bool conditional)
{
    if (target->kind == N_NAME)
        store(f, target->sym, conditional);
    else if (target->kind == N_NSREF)
        mark(f, target->sym);
    for (size_t i = 0; i < target->n; i++)
        store_target(f, target->list[i], conditional);
}

static void mark_target(struct frame *f, const struct jn *target)
{
    if (target->kind == N_NAME)
        mark(f, target->sym);
    for (size_t i = 0; i < target->n; i++)
        mark_target(f, target->list[i]);
}

static void walk_all(struct frame *f, struct jn *const *list, size_t n, bool conditional)
{
    for (size_t i = 0; i < n; i++)
        walk(f, list[i], conditional);
}

static void walk_expr(struct frame *f, struct jn *n)
{
    if (n->kind == N_NAME)
        mark(f, n->sym);
    walk(f, n->a, false);
    walk(f, n->b, false);
    walk(f, n->c, false);
    walk(f, n->d, false);
    walk_all(f, n->list, n->n, false);
    if (n->args) {
        walk_all(f, n->args->pos, n->args->npos, false);
        walk_all(f, n->args->kwval, n->args->nkw, false);
        walk(f, n->args->star, false);
        walk(f, n->args->starstar, false);
    }
}

// What the frame itself does, in order. Bodies of inner frames wait.
static void walk(struct frame *f, struct jn *n, bool conditional)
{
    if (!n || !jc_step(f->c, 1))
        return;
    switch (n->kind) {
    case N_BODY:
        walk_all(f, n->list, n->n, conditional);
        return;
    case N_IF:
        for (size_t i = 0; i < n->n; i++)
            walk(f, n->list[i], true);
        return;
    case N_SET:
        walk(f, n->b, conditional);
        store_target(f, n->a, conditional);
        return;
    case N_SETBLOCK:
        store_target(f, n->a, conditional);
        walk(f, n->b, conditional);
        break;
    case N_MACRO:
        store(f, n->sym, conditional);
        break;
    case N_FOR:
        walk(f, n->b, conditional);
        break;
    case N_CALLBLOCK:
    case N_FILTERBLOCK:
        walk(f, n->a, conditional);
        break;
    case N_WITH:
        for (size_t i = 1; i < n->n; i += 2)
            walk(f, n->list[i], conditional);
        break;
    case N_SCOPE:
        break;
    default:
        walk_expr(f, n);
        return;
    }
    jlist_push(f->c, &f->inner, n);
}

// The frame of `body`. Its parameters: those of `owner`, a loop's target, or with's.
static void analyze(struct jc *c, const struct frame *up, struct jn *body, const struct jn *owner)
{
    struct frame f = {.c = c, .up = up, .seen = jdict_new(c, 0), .undef = jseq_new(c, 0)};

    if (!body || !jc_enter(c))
        return;
    for (uint32_t i = 0; i < JSYM_FIXED; i++)
        mark(&f, i);
    if (owner && owner->kind == N_FOR && body == owner->list[0])
        mark_target(&f, owner->a);
    for (size_t i = 0; owner && owner->kind == N_WITH && i < owner->n; i += 2)
        mark_target(&f, owner->list[i]);
    for (size_t i = 0; owner && owner->params && i < owner->params->n; i++)
        mark(&f, owner->params->sym[i]);
    for (size_t i = 0; owner && owner->params && i < owner->params->ndefaults; i++)
        walk(&f, owner->params->defaults[i], false);
    walk(&f, body, false);
    body->nunset = f.undef->n;
    body->unset = jc_alloc_array(c, f.undef->n + 1, sizeof(*body->unset));
    for (size_t i = 0; body->unset && i < f.undef->n; i++)
        body->unset[i] = (uint32_t) f.undef->v[i].u.i;
    for (size_t i = 0; i < f.inner.n && c->err == RT_OK; i++) {
        const struct jn *n = f.inner.v[i];
        if (n->kind == N_FOR) {
            analyze(c, &f, n->list[0], n);
            analyze(c, &f, n->n > 1 ? n->list[1] : NULL, n);
        } else {
            analyze(c, &f, n->kind == N_SETBLOCK ? n->c : n->b, n);
        }
    }
    jc_leave(c);
}

void jscope_analyze(struct jc *c, struct jn *root)
{
    analyze(c, NULL, root, NULL);
}
