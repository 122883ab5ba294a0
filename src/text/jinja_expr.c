// Operators and tuples. Precedence, lowest first: if-else, or, and, not, comparisons, + -, ~,
// * / // %, ** (to the left, as jinja2 has it), unary, then filters and tests, then . [] ().
// Source: jinja2 3.1.6, parser.py.
#include "src/text/jinja_internal.h"

// ---- operators ----------------------------------------------------------------------------------

static struct jn *unary(struct jparser *p, bool filters)
{
    const uint32_t line = jtok_line(p);
    struct jn *n;

    if (!jparse_enter(p))
        return &p->dead;
    if (jtok_skip(p, T_SUB))
        n = jparse_pair(p, N_NEG, line, unary(p, false), NULL);
    else if (jtok_skip(p, T_ADD))
        n = jparse_pair(p, N_POS, line, unary(p, false), NULL);
    else
        n = jparse_primary(p, false);
    n = jparse_postfix(p, n);
    while (filters && p->c->err == RT_OK) {
        if (jtok_is(p, T_PIPE))
            n = jparse_filters(p, n, false);
        else if (jtok_skip_name(p, "is"))
            n = jparse_test(p, n);
        else if (jtok_is(p, T_LPAREN))
            n = jparse_call(p, n);
        else
            break;
    }
    jc_leave(p->c);
    return n;
}

struct level {
    enum jtok tok[4];
    enum jop op[4];
    size_t n;
};

static struct jn *concat(struct jparser *p);

// Left to right: next (op next)*
static struct jn *binary(struct jparser *p, const struct level *l,
                         struct jn *(*next)(struct jparser *) )
{
    struct jn *left = next(p);
    for (size_t i = 0; i < l->n && p->c->err == RT_OK;) {
        const uint32_t line = jtok_line(p);
        if (!jtok_skip(p, l->tok[i])) {
            i++;
            continue;
        }
        left = jparse_pair(p, N_BINARY, line, left, next(p));
        left->op = l->op[i];
        i = 0;
    }
    return left;
}

static struct jn *operand(struct jparser *p)
{
    return unary(p, true);
}

static struct jn *power(struct jparser *p)
{
    static const struct level L = {{T_POW}, {OP_POW}, 1};
    return binary(p, &L, operand);
}

static struct jn *product(struct jparser *p)
{
    static const struct level L = {
        {T_MUL, T_DIV, T_FLOORDIV, T_MOD}, {OP_MUL, OP_DIV, OP_FLOORDIV, OP_MOD}, 4};
    return binary(p, &L, power);
}

static struct jn *sum(struct jparser *p)
{
    static const struct level L = {{T_ADD, T_SUB}, {OP_ADD, OP_SUB}, 2};
    return binary(p, &L, concat);
}

static struct jn *concat(struct jparser *p)
{
    const uint32_t line = jtok_line(p);
    struct jlist l = {0};
    struct jn *first = product(p);

    if (!jtok_is(p, T_TILDE))
        return first;
    jlist_push(p->c, &l, first);
    while (jtok_skip(p, T_TILDE))
        jlist_push(p->c, &l, product(p));
    return jparse_listed(p, N_CONCAT, line, &l);
}

static bool compare_op(struct jparser *p, enum jop *op)
{
    static const struct level L[] = {
        {{T_EQ, T_NE, T_LT, T_LE}, {OP_EQ, OP_NE, OP_LT, OP_LE}, 4},
        {{T_GT, T_GE}, {OP_GT, OP_GE}, 2},
    };
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < L[k].n; i++) {
            *op = L[k].op[i];
            if (jtok_skip(p, L[k].tok[i]))
                return true;
        }
    }
    *op = OP_IN;
    if (jtok_skip_name(p, "in"))
        return true;
    *op = OP_NOTIN;
    if (!jtok_name(p, "not") || p->tok[p->pos + 1].type != T_NAME ||
        !jstr_is(p->tok[p->pos + 1].val.u.s, "in"))
        return false;
    jtok_next(p);
    jtok_next(p);
    return true;
}

static struct jn *compare(struct jparser *p)
{
    const uint32_t line = jtok_line(p);
    struct jlist l = {0};
    struct jn *first = sum(p), *n;
    struct jseq *ops = NULL;
    enum jop op;

    while (p->c->err == RT_OK && compare_op(p, &op)) {
        if (!ops) {
            ops = jseq_new(p->c, 1);
            jlist_push(p->c, &l, first);
        }
        jseq_push(p->c, ops, jv_int((int64_t) op));
        jlist_push(p->c, &l, sum(p));
    }
    if (!ops)
        return first;
    n = jparse_listed(p, N_COMPARE, line, &l);
    n->ops = jc_alloc_array(p->c, ops->n, sizeof(*n->ops));
    for (size_t i = 0; n->ops && i < ops->n; i++)
        n->ops[i] = (enum jop) ops->v[i].u.i;
    return n;
}

static struct jn *negation(struct jparser *p)
{
    const uint32_t line = jtok_line(p);
    struct jn *n;
    if (!jtok_name(p, "not"))
        return compare(p);
    if (!jparse_enter(p))
        return &p->dead;
    jtok_next(p);
    n = jparse_pair(p, N_NOT, line, negation(p), NULL);
    jc_leave(p->c);
    return n;
}

static struct jn *conjunction(struct jparser *p)
{
    struct jn *left = negation(p);
    while (jtok_name(p, "and")) {
        const uint32_t line = jtok_next(p)->line;
        left = jparse_pair(p, N_AND, line, left, negation(p));
    }
    return left;
}

static struct jn *disjunction(struct jparser *p)
{
    struct jn *left = conjunction(p);
    while (jtok_name(p, "or")) {
        const uint32_t line = jtok_next(p)->line;
        left = jparse_pair(p, N_OR, line, left, conjunction(p));
    }
    return left;
}

struct jn *jparse_expr(struct jparser *p)
{
    struct jn *n, *cond;

    if (!jparse_enter(p))
        return &p->dead;
    n = disjunction(p);
    while (jtok_name(p, "if")) {
        cond = jparse_node(p, N_COND, jtok_next(p)->line);
        cond->b = n;
        cond->a = disjunction(p);
        if (jtok_skip_name(p, "else"))
            cond->c = jparse_expr(p);
        n = jparse_link(p, cond);
    }
    jc_leave(p->c);
    return n;
}

static bool tuple_ends(const struct jparser *p, const char *end)
{
    return p->c->err != RT_OK || jtok_is(p, T_VAR_END) || jtok_is(p, T_BLOCK_END) ||
           jtok_is(p, T_RPAREN) || (end && jtok_name(p, end));
}

struct jn *jparse_tuple(struct jparser *p, bool cond, bool parens, const char *end)
{
    const uint32_t line = jtok_line(p);
    struct jlist l = {0};
    bool tuple = false;
    char buf[64];

    while (!tuple_ends(p, end)) {
        jlist_push(p->c, &l, cond ? jparse_expr(p) : disjunction(p));
        if (!jtok_skip(p, T_COMMA))
            break;
        tuple = true;
    }
    if (p->c->err != RT_OK)
        return &p->dead;
    if (!tuple && l.n == 1)
        return l.v[0];
    if (!tuple && !parens)
        jc_fail(p->c, RT_E_FORMAT, "Expected an expression, got '%s'",
                jtok_describe(&p->tok[p->pos], buf));
    return jparse_listed(p, N_TUPLE, line, &l);
}

struct jn *jparse_flat_tuple(struct jparser *p, const char *end)
{
    const uint32_t line = jtok_line(p);
    struct jlist l = {0};
    bool tuple = false;

    if (!jparse_enter(p))
        return &p->dead;
    while (!tuple_ends(p, end) && !jtok_is(p, T_ASSIGN)) {
        jlist_push(p->c, &l, jparse_primary(p, true));
        if (!jtok_skip(p, T_COMMA))
            break;
        tuple = true;
    }
    jc_leave(p->c);
    if (p->c->err == RT_OK && l.n == 0)
        jc_fail(p->c, RT_E_FORMAT, "Expected a name to assign to");
    if (p->c->err != RT_OK)
        return &p->dead;
    return tuple ? jparse_listed(p, N_TUPLE, line, &l) : l.v[0];
}
