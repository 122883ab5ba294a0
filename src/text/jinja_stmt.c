// Tokens to statements.
// Source: jinja2 3.1.6, parser.py; ext.py (break, continue); transformers (generation).
#include "src/text/jinja_internal.h"

#include <string.h>

static struct jn *body(struct jparser *p, const char *const *ends);

static bool at_end_tag(const struct jparser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (jtok_name(p, *ends))
            return true;
    return false;
}

// Up to one of the tags `ends` (a NULL-terminated list), of which the name is the next token.
static struct jn *statements(struct jparser *p, const char *const *ends)
{
    struct jn *n;

    jtok_skip(p, T_COLON);
    jtok_expect(p, T_BLOCK_END);
    n = body(p, ends);
    if (p->c->err == RT_OK && !at_end_tag(p, ends))
        jc_fail(p->c, RT_E_FORMAT, "Unexpected end of template. Jinja was looking for '%s'",
                ends[0]);
    return n;
}

// The body of a statement that ends with one tag only, which is skipped.
static struct jn *block(struct jparser *p, const char *end)
{
    const char *const ends[] = {end, NULL};
    struct jn *n = statements(p, ends);
    jtok_next(p);
    return n;
}

static bool assignable(const struct jn *n)
{
    if (n->kind == N_TUPLE) {
        for (size_t i = 0; i < n->n; i++)
            if (!assignable(n->list[i]))
                return false;
        return true;
    }
    return n->kind == N_NAME || n->kind == N_NSREF;
}

static struct jn *target(struct jparser *p, bool attributes, const char *end)
{
    struct jn *n = jparse_flat_tuple(p, end);

    if (p->c->err == RT_OK && (!assignable(n) || (!attributes && n->kind == N_NSREF)))
        jc_fail(p->c, RT_E_FORMAT, "can't assign to this expression");
    return n;
}

static struct jn *parse_set(struct jparser *p)
{
    struct jn *n = jparse_node(p, N_SET, jtok_next(p)->line);
    const unsigned loops = p->loops;

    n->a = target(p, true, NULL);
    if (jtok_skip(p, T_ASSIGN)) {
        n->b = jparse_tuple(p, true, false, NULL);
        return n;
    }
    n->kind = N_SETBLOCK;
    n->b = jtok_is(p, T_PIPE) ? jparse_filters(p, NULL, false) : NULL;
    p->loops = 0; // a captured body cannot break out of a loop
    n->c = block(p, "endset");
    p->loops = loops;
    return n;
}

static bool binds_loop(const struct jn *n)
{
    if (n->kind == N_TUPLE) {
        for (size_t i = 0; i < n->n; i++)
            if (binds_loop(n->list[i]))
                return true;
    }
    return n->kind == N_NAME && n->sym == JSYM_LOOP;
}

static struct jn *parse_for(struct jparser *p)
{
    static const char *const ENDS[] = {"endfor", "else", NULL};
    struct jn *n = jparse_node(p, N_FOR, jtok_next(p)->line);
    struct jlist l = {0};

    n->a = target(p, false, "in");
    if (p->c->err == RT_OK && binds_loop(n->a))
        jc_fail(p->c, RT_E_FORMAT, "Can't assign to special loop variable in for-loop target");
    if (p->c->err == RT_OK && !jtok_skip_name(p, "in"))
        jc_fail(p->c, RT_E_FORMAT, "expected token 'in' in a for loop");
    n->b = jparse_tuple(p, false, false, "recursive");
    if (jtok_skip_name(p, "if"))
        n->c = jparse_expr(p);
    n->flag = jtok_skip_name(p, "recursive");
    p->loops++;
    jlist_push(p->c, &l, statements(p, ENDS));
    p->loops--;
    if (jtok_name(p, "else")) {
        jtok_next(p);
        jlist_push(p->c, &l, block(p, "endfor"));
    } else {
        jtok_next(p);
    }
    n->list = l.v;
    n->n = l.n;
    return n;
}

static struct jn *parse_if(struct jparser *p)
{
    static const char *const ENDS[] = {"elif", "else", "endif", NULL};
    struct jn *n = jparse_node(p, N_IF, jtok_line(p));
    struct jlist l = {0};

    do {
        jtok_next(p); // if, elif
        jlist_push(p->c, &l, jparse_tuple(p, false, false, NULL));
        jlist_push(p->c, &l, statements(p, ENDS));
    } while (jtok_name(p, "elif"));
    if (jtok_name(p, "else")) {
        jtok_next(p);
        jlist_push(p->c, &l, block(p, "endif"));
    } else {
        jtok_next(p);
    }
    n->list = l.v;
    n->n = l.n;
    return n;
}

static struct jn *parse_with(struct jparser *p)
{
    struct jn *n = jparse_node(p, N_WITH, jtok_next(p)->line);
    struct jlist l = {0};

    while (p->c->err == RT_OK && !jtok_is(p, T_BLOCK_END)) {
        if (l.n)
            jtok_expect(p, T_COMMA);
        jlist_push(p->c, &l, target(p, false, NULL));
        jtok_expect(p, T_ASSIGN);
        jlist_push(p->c, &l, jparse_expr(p));
    }
    n->list = l.v;
    n->n = l.n;
    n->b = block(p, "endwith");
    return n;
}

// ---- macros -------------------------------------------------------------------------------------

// ( a, b=1 ); only counted in lists here, made arrays by params_done
static void signature(struct jparser *p, struct jseq *names, struct jlist *defaults)
{
    jtok_expect(p, T_LPAREN);
    while (p->c->err == RT_OK && !jtok_is(p, T_RPAREN)) {
        if (names->n)
            jtok_expect(p, T_COMMA);
        jseq_push(p->c, names, jtok_expect(p, T_NAME)->val);
        if (jtok_skip(p, T_ASSIGN))
            jlist_push(p->c, defaults, jparse_expr(p));
        else if (defaults->n)
            jc_fail(p->c, RT_E_FORMAT, "non-default argument follows default argument");
    }
    jtok_expect(p, T_RPAREN);
}

static const struct jparams *params_done(struct jparser *p, const struct jseq *names,
                                         const struct jlist *defaults, const struct jmacro_use *use)
{
    struct jparams *r = jc_alloc(p->c, sizeof(*r));
    const size_t n = names->n;

    if (!r)
        return NULL;
    r->sym = jc_alloc_array(p->c, n + 1, sizeof(*r->sym));
    r->name = jc_alloc_array(p->c, n + 1, sizeof(*r->name));
    if (!r->sym || !r->name)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        r->name[i] = names->v[i].u.s;
        r->sym[i] = jparse_sym(p, r->name[i]);
        r->has_caller |= r->sym[i] == JSYM_CALLER;
    }
    r->n = n;
    r->defaults = defaults->v;
    r->ndefaults = defaults->n;
    r->varargs = use->varargs;
    r->kwargs = use->kwargs;
    r->caller = use->caller;
    return r;
}

// The body of a macro or call block: what it may break out of and which special names it reads.
static struct jn *macro_body(struct jparser *p, const char *end, struct jmacro_use *use)
{
    const unsigned loops = p->loops;
    struct jn *n;

    *use = (struct jmacro_use){.up = p->macros};
    p->macros = use;
    p->loops = 0;
    n = block(p, end);
    p->loops = loops;
    p->macros = use->up;
    return n;
}

static struct jn *parse_macro(struct jparser *p)
{
    struct jn *n = jparse_node(p, N_MACRO, jtok_next(p)->line);
    struct jseq *names = jseq_new(p->c, 0);
    struct jlist defaults = {0};
    struct jmacro_use use;

    n->val = jtok_expect(p, T_NAME)->val;
    if (p->c->err != RT_OK)
        return n;
    n->sym = jparse_sym(p, n->val.u.s);
    signature(p, names, &defaults);
    n->b = macro_body(p, "endmacro", &use);
    n->params = params_done(p, names, &defaults, &use);
    return n;
}

static struct jn *parse_call(struct jparser *p)
{
    struct jn *n = jparse_node(p, N_CALLBLOCK, jtok_next(p)->line);
    struct jseq *names = jseq_new(p->c, 0);
    struct jlist defaults = {0};
    struct jmacro_use use;

    if (jtok_is(p, T_LPAREN))
        signature(p, names, &defaults);
    n->a = jparse_expr(p);
    if (p->c->err == RT_OK && n->a->kind != N_CALL)
        jc_fail(p->c, RT_E_FORMAT, "expected call");
    n->b = macro_body(p, "endcall", &use);
    n->params = params_done(p, names, &defaults, &use);
    return n;
}

static struct jn *parse_filter(struct jparser *p)
{
    struct jn *n = jparse_node(p, N_FILTERBLOCK, jtok_next(p)->line);
    const unsigned loops = p->loops;

    n->a = jparse_filters(p, NULL, true);
    p->loops = 0;
    n->b = block(p, "endfilter");
    p->loops = loops;
    return n;
}

static struct jn *parse_generation(struct jparser *p)
{
    struct jn *n = jparse_node(p, N_SCOPE, jtok_next(p)->line);
    struct jmacro_use use;

    n->b = macro_body(p, "endgeneration", &use);
    for (struct jmacro_use *m = p->macros; m; m = m->up) { // it is no macro of the template's
        m->varargs |= use.varargs;
        m->kwargs |= use.kwargs;
        m->caller |= use.caller;
    }
    return n;
}

static struct jn *parse_print(struct jparser *p)
{
    struct jn *n = jparse_node(p, N_BODY, jtok_next(p)->line);
    struct jlist l = {0};

    while (p->c->err == RT_OK && !jtok_is(p, T_BLOCK_END)) {
        if (l.n)
            jtok_expect(p, T_COMMA);
        jlist_push(p->c, &l, jparse_pair(p, N_PRINT, jtok_line(p), jparse_expr(p), NULL));
    }
    n->list = l.v;
    n->n = l.n;
    return n;
}

static struct jn *parse_break(struct jparser *p)
{
    const struct jtoken *t = jtok_next(p);
    if (p->loops == 0)
        jc_fail(p->c, RT_E_FORMAT, "'%.*s' outside a loop", (int) t->val.u.s->len, t->val.u.s->p);
    return jparse_node(p, jstr_is(t->val.u.s, "break") ? N_BREAK : N_CONTINUE, t->line);
}

static struct jn *parse_unsupported(struct jparser *p)
{
    const struct jtoken *t = jtok_next(p);
    jc_fail(p->c, RT_E_UNSUPPORTED, "the tag '%.*s' is not implemented", (int) t->val.u.s->len,
            t->val.u.s->p);
    return &p->dead;
}

static struct jn *statement(struct jparser *p)
{
    static const struct {
        const char *name;
        struct jn *(*parse)(struct jparser *p);
    } TAGS[] = {
        {"set", parse_set},
        {"for", parse_for},
        {"if", parse_if},
        {"with", parse_with},
        {"macro", parse_macro},
        {"call", parse_call},
        {"filter", parse_filter},
        {"generation", parse_generation},
        {"print", parse_print},
        {"break", parse_break},
        {"continue", parse_break},
        {"block", parse_unsupported},
        {"autoescape", parse_unsupported},
        {"extends", parse_unsupported},
        {"include", parse_unsupported},
        {"import", parse_unsupported},
        {"from", parse_unsupported},
    };
    struct jn *n = &p->dead;
    char buf[64];

    if (!jparse_enter(p))
        return n;
    if (!jtok_is(p, T_NAME))
        jc_fail(p->c, RT_E_FORMAT, "tag name expected, got '%s'",
                jtok_describe(&p->tok[p->pos], buf));
    for (size_t i = 0; i < COUNT_OF(TAGS) && n == &p->dead && p->c->err == RT_OK; i++)
        if (jtok_name(p, TAGS[i].name))
            n = jparse_link(p, TAGS[i].parse(p));
    if (n == &p->dead)
        jc_fail(p->c, RT_E_FORMAT, "Encountered unknown tag '%s'",
                jtok_describe(&p->tok[p->pos], buf));
    jc_leave(p->c);
    return n;
}

// Statements, texts and prints up to {% END, of which END is the next token, or to the end of all.
static struct jn *body(struct jparser *p, const char *const *ends)
{
    struct jn *n = jparse_node(p, N_BODY, jtok_line(p)), *part;
    struct jlist l = {0};

    while (p->c->err == RT_OK && !jtok_is(p, T_EOF)) {
        const struct jtoken *t = jtok_next(p);
        if (t->type == T_DATA) {
            part = jparse_node(p, N_TEXT, t->line);
            part->val = t->val;
        } else if (t->type == T_VAR_BEGIN) {
            part = jparse_pair(p, N_PRINT, t->line, jparse_tuple(p, true, false, NULL), NULL);
            jtok_expect(p, T_VAR_END);
        } else {
            if (at_end_tag(p, ends))
                break;
            part = statement(p);
            jtok_expect(p, T_BLOCK_END);
        }
        jlist_push(p->c, &l, jparse_link(p, part));
    }
    n->list = l.v;
    n->n = l.n;
    return jparse_link(p, n);
}

void jparse_template(struct jparser *p, struct jn **root)
{
    *root = body(p, NULL);
}
