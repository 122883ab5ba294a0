// Unknown filters and tests are errors of the whole template, but inside a condition (an if
// statement or an inline if) only when they are reached: templates probe for what is there.
// Source: jinja2 3.1.6, compiler.py (soft frames).
#include "src/text/jinja_internal.h"

static void check_all(struct jc *c, struct jn *const *list, size_t n, bool soft)
{
    for (size_t i = 0; i < n; i++)
        jcheck_names(c, list[i], soft);
}

void jcheck_names(struct jc *c, const struct jn *n, bool soft)
{
    const bool is_filter = n && n->kind == N_FILTER;

    if (!n || c->err != RT_OK)
        return;
    if ((is_filter || n->kind == N_TEST) && !n->native && !soft) {
        c->line = n->line;
        jc_fail(c, RT_E_FORMAT, "No %s named '%.*s'.", is_filter ? "filter" : "test",
                (int) u64_min(n->val.u.s->len, 100), n->val.u.s->p);
    }
    if (n->kind == N_IF || n->kind == N_COND)
        soft = true;
    if (n->kind == N_FOR) {
        jcheck_names(c, n->b, soft);
        jcheck_names(c, n->c, false);
        check_all(c, n->list, n->n, false);
        return;
    }
    jcheck_names(c, n->a, soft && n->kind != N_FILTERBLOCK);
    jcheck_names(c, n->b,
                 soft && n->kind != N_MACRO && n->kind != N_CALLBLOCK && n->kind != N_FILTERBLOCK &&
                     n->kind != N_WITH && n->kind != N_SCOPE && n->kind != N_SETBLOCK);
    jcheck_names(c, n->c, soft && n->kind != N_SETBLOCK);
    jcheck_names(c, n->d, soft);
    check_all(c, n->list, n->n, soft);
    if (n->args) {
        check_all(c, n->args->pos, n->args->npos, soft);
        check_all(c, n->args->kwval, n->args->nkw, soft);
        jcheck_names(c, n->args->star, soft);
        jcheck_names(c, n->args->starstar, soft);
    }
    if (n->params)
        check_all(c, n->params->defaults, n->params->ndefaults, false);
}
