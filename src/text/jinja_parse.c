// The parser's tools, and the tight parts of expressions: literals, subscripts, calls, filters,
// tests. Source: jinja2 3.1.6, parser.py.
#include "src/text/jinja_internal.h"

#include <stdio.h>
#include <string.h>

enum { HEIGHT_MAX = 400, PARSE_DEPTH_MAX = 200 };

// ---- tokens and nodes ---------------------------------------------------------------------------

bool jtok_is(const struct jparser *p, enum jtok type)
{
    return p->c->err == RT_OK && p->tok[p->pos].type == type;
}

bool jtok_name(const struct jparser *p, const char *name)
{
    return jtok_is(p, T_NAME) && jstr_is(p->tok[p->pos].val.u.s, name);
}

const struct jtoken *jtok_next(struct jparser *p)
{
    const struct jtoken *t = &p->tok[p->pos];
    p->c->line = t->line;
    if (t->type != T_EOF)
        p->pos++;
    return t;
}

bool jtok_skip(struct jparser *p, enum jtok type)
{
    if (!jtok_is(p, type))
        return false;
    jtok_next(p);
    return true;
}

bool jtok_skip_name(struct jparser *p, const char *name)
{
    if (!jtok_name(p, name))
        return false;
    jtok_next(p);
    return true;
}

static const char *type_name(enum jtok type)
{
    static const char *const NAMES[] = {
        [T_EOF] = "end of template",
        [T_DATA] = "template data / text",
        [T_BLOCK_BEGIN] = "begin of statement block",
        [T_BLOCK_END] = "end of statement block",
        [T_VAR_BEGIN] = "begin of print statement",
        [T_VAR_END] = "end of print statement",
        [T_NAME] = "name",
        [T_STRING] = "string",
        [T_INT] = "integer",
        [T_FLOAT] = "float",
        [T_ADD] = "+",
        [T_SUB] = "-",
        [T_DIV] = "/",
        [T_FLOORDIV] = "//",
        [T_MUL] = "*",
        [T_MOD] = "%",
        [T_POW] = "**",
        [T_TILDE] = "~",
        [T_LBRACKET] = "[",
        [T_RBRACKET] = "]",
        [T_LPAREN] = "(",
        [T_RPAREN] = ")",
        [T_LBRACE] = "{",
        [T_RBRACE] = "}",
        [T_EQ] = "==",
        [T_NE] = "!=",
        [T_GT] = ">",
        [T_GE] = ">=",
        [T_LT] = "<",
        [T_LE] = "<=",
        [T_ASSIGN] = "=",
        [T_DOT] = ".",
        [T_COLON] = ":",
        [T_PIPE] = "|",
        [T_COMMA] = ",",
        [T_SEMICOLON] = ";",
    };
    return NAMES[type];
}

const char *jtok_describe(const struct jtoken *t, char buf[64])
{
    if (t->type != T_NAME)
        return type_name(t->type);
    snprintf(buf, 64, "%.*s", (int) u64_min(t->val.u.s->len, 60), t->val.u.s->p);
    return buf;
}

const struct jtoken *jtok_expect(struct jparser *p, enum jtok type)
{
    char buf[64];
    if (!jtok_is(p, type)) {
        p->c->line = p->tok[p->pos].line;
        jc_fail(p->c, RT_E_FORMAT, "expected token '%s', got '%s'", type_name(type),
                jtok_describe(&p->tok[p->pos], buf));
        return &p->tok[p->pos];
    }
    return jtok_next(p);
}

bool jparse_enter(struct jparser *p)
{
    if (p->c->depth >= PARSE_DEPTH_MAX)
        jc_fail(p->c, RT_E_UNSUPPORTED, "nested more than %d deep", PARSE_DEPTH_MAX);
    return jc_enter(p->c);
}

// Never NULL: after an error a dummy, which nothing will run.
struct jn *jparse_node(struct jparser *p, enum jnode kind, uint32_t line)
{
    struct jn *n = jc_alloc(p->c, sizeof(*n));
    if (!n)
        return &p->dead;
    n->kind = kind;
    n->line = line;
    return n;
}

static uint32_t max_height(const struct jn *n, uint32_t h)
{
    return n && n->height > h ? n->height : h;
}

struct jn *jparse_link(struct jparser *p, struct jn *n)
{
    uint32_t h = max_height(n->d, max_height(n->c, max_height(n->b, max_height(n->a, 0))));

    for (size_t i = 0; i < n->n; i++)
        h = max_height(n->list[i], h);
    for (size_t i = 0; n->args && i < n->args->npos; i++)
        h = max_height(n->args->pos[i], h);
    for (size_t i = 0; n->args && i < n->args->nkw; i++)
        h = max_height(n->args->kwval[i], h);
    if (n->args)
        h = max_height(n->args->star, max_height(n->args->starstar, h));
    for (size_t i = 0; n->params && i < n->params->ndefaults; i++)
        h = max_height(n->params->defaults[i], h);
    n->height = h + 1;
    if (n->height > HEIGHT_MAX)
        jc_fail(p->c, RT_E_UNSUPPORTED, "an expression or block nested more than %d deep",
                HEIGHT_MAX);
    return n;
}

void jlist_push(struct jc *c, struct jlist *l, struct jn *n)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 4;
        struct jn **grown = jc_alloc_array(c, cap, sizeof(*grown));
        if (!grown)
            return;
        if (l->n)
            memcpy(grown, l->v, l->n * sizeof(*grown));
        l->v = grown;
        l->cap = cap;
    }
    l->v[l->n++] = n;
}

uint32_t jparse_sym(struct jparser *p, const struct jstr *name)
{
    const struct jv *known = jdict_get(p->c, p->sym, jv_str(name));
    const size_t next = p->sym->n;
    if (known)
        return (uint32_t) known->u.i;
    jdict_set(p->c, p->sym, jv_str(name), jv_int((int64_t) next));
    return (uint32_t) next;
}

struct jn *jparse_pair(struct jparser *p, enum jnode kind, uint32_t line, struct jn *a,
                       struct jn *b)
{
    struct jn *n = jparse_node(p, kind, line);
    n->a = a;
    n->b = b;
    return jparse_link(p, n);
}

struct jn *jparse_listed(struct jparser *p, enum jnode kind, uint32_t line, const struct jlist *l)
{
    struct jn *n = jparse_node(p, kind, line);
    n->list = l->v;
    n->n = l->n;
    return jparse_link(p, n);
}

uint32_t jtok_line(const struct jparser *p)
{
    return p->tok[p->pos].line;
}

// ---- primaries ----------------------------------------------------------------------------------

// A name that a macro body reads decides what the macro accepts.
static void note_use(struct jparser *p, uint32_t sym)
{
    for (struct jmacro_use *m = p->macros; m; m = m->up) {
        m->varargs |= sym == JSYM_VARARGS;
        m->kwargs |= sym == JSYM_KWARGS;
        m->caller |= sym == JSYM_CALLER;
    }
}

static struct jn *name(struct jparser *p, bool nsref)
{
    static const struct {
        const char *name;
        struct jv val;
    } WORDS[] = {
        {"true", {JK_BOOL, {.b = true}}},   {"True", {JK_BOOL, {.b = true}}},
        {"false", {JK_BOOL, {.b = false}}}, {"False", {JK_BOOL, {.b = false}}},
        {"none", {JK_NONE, {.b = false}}},  {"None", {JK_NONE, {.b = false}}},
    };
    const struct jtoken *t = jtok_next(p);
    struct jn *n = jparse_node(p, N_NAME, t->line);

    for (size_t i = 0; i < COUNT_OF(WORDS); i++) {
        if (jstr_is(t->val.u.s, WORDS[i].name)) {
            n->kind = N_CONST;
            n->val = WORDS[i].val;
            return jparse_link(p, n);
        }
    }
    n->sym = jparse_sym(p, t->val.u.s);
    n->val = t->val;
    if (nsref && jtok_skip(p, T_DOT)) {
        n->kind = N_NSREF;
        n->a = jparse_node(p, N_NAME, t->line);
        n->a->sym = n->sym;
        n->a->val = n->val;
        n->val = jtok_expect(p, T_NAME)->val;
    } else if (n->sym < JSYM_FIXED) {
        note_use(p, n->sym);
    }
    return jparse_link(p, n);
}

static struct jn *strings(struct jparser *p)
{
    struct jn *n = jparse_node(p, N_CONST, jtok_line(p));
    const struct jstr *s = jtok_next(p)->val.u.s;
    while (jtok_is(p, T_STRING))
        s = jstr_concat(p->c, s, jtok_next(p)->val.u.s);
    n->val = jv_str(s);
    return jparse_link(p, n);
}

static struct jn *list_literal(struct jparser *p)
{
    const uint32_t line = jtok_next(p)->line;
    struct jlist l = {0};
    while (p->c->err == RT_OK && !jtok_is(p, T_RBRACKET)) {
        jlist_push(p->c, &l, jparse_expr(p));
        if (!jtok_skip(p, T_COMMA))
            break;
    }
    jtok_expect(p, T_RBRACKET);
    return jparse_listed(p, N_LIST, line, &l);
}

static struct jn *dict_literal(struct jparser *p)
{
    const uint32_t line = jtok_next(p)->line;
    struct jlist l = {0};
    while (p->c->err == RT_OK && !jtok_is(p, T_RBRACE)) {
        jlist_push(p->c, &l, jparse_expr(p));
        jtok_expect(p, T_COLON);
        jlist_push(p->c, &l, jparse_expr(p));
        if (!jtok_skip(p, T_COMMA))
            break;
    }
    jtok_expect(p, T_RBRACE);
    return jparse_listed(p, N_DICT, line, &l);
}

struct jn *jparse_primary(struct jparser *p, bool nsref)
{
    const struct jtoken *t = &p->tok[p->pos];
    struct jn *n = &p->dead;
    char buf[64];

    switch (t->type) {
    case T_NAME:
        return name(p, nsref);
    case T_STRING:
        return strings(p);
    case T_INT:
    case T_FLOAT:
        n = jparse_node(p, N_CONST, t->line);
        n->val = jtok_next(p)->val;
        return jparse_link(p, n);
    case T_LPAREN:
        jtok_next(p);
        n = nsref ? jparse_flat_tuple(p, NULL) : jparse_tuple(p, true, true, NULL);
        jtok_expect(p, T_RPAREN);
        return n;
    case T_LBRACKET:
        return list_literal(p);
    case T_LBRACE:
        return dict_literal(p);
    default:
        p->c->line = t->line;
        jc_fail(p->c, RT_E_FORMAT, "unexpected '%s'", jtok_describe(t, buf));
        return n;
    }
}

// ---- subscripts and calls -----------------------------------------------------------------------

static struct jn *slice_or_expr(struct jparser *p, struct jn *obj)
{
    struct jn *part[3] = {NULL, NULL, NULL}, *n;
    const uint32_t line = jtok_line(p);
    bool slice = false;

    for (size_t i = 0; i < 3; i++) {
        if (!jtok_is(p, T_COLON) && !jtok_is(p, T_RBRACKET) && !jtok_is(p, T_COMMA))
            part[i] = jparse_expr(p);
        if (i == 2 || !jtok_skip(p, T_COLON))
            break;
        slice = true;
    }
    if (!slice)
        return part[0] ? part[0] : jparse_expr(p); // an empty subscript: the error
    n = jparse_node(p, N_SLICE, line);
    n->a = obj;
    n->b = part[0];
    n->c = part[1];
    n->d = part[2];
    return jparse_link(p, n);
}

static struct jn *subscript(struct jparser *p, struct jn *obj)
{
    const struct jtoken *t = jtok_next(p);
    const uint32_t line = t->line;
    struct jlist l = {0};
    struct jn *n;

    if (t->type == T_DOT) {
        const bool number = jtok_is(p, T_INT);
        n = jparse_node(p, number ? N_CONST : N_ATTR, line);
        n->val = number ? jtok_next(p)->val : jtok_expect(p, T_NAME)->val;
        if (number)
            return jparse_pair(p, N_ITEM, line, obj, jparse_link(p, n));
        n->a = obj;
        return jparse_link(p, n);
    }
    do {
        jlist_push(p->c, &l, slice_or_expr(p, obj));
    } while (jtok_skip(p, T_COMMA) && !jtok_is(p, T_RBRACKET));
    jtok_expect(p, T_RBRACKET);
    if (p->c->err != RT_OK)
        return &p->dead;
    if (l.n == 1 && l.v[0]->kind == N_SLICE && l.v[0]->a == obj)
        return l.v[0];
    for (size_t i = 0; i < l.n; i++)
        if (l.v[i]->kind == N_SLICE && l.v[i]->a == obj)
            jc_fail(p->c, RT_E_UNSUPPORTED, "a slice among several subscripts");
    return jparse_pair(p, N_ITEM, line, obj,
                       l.n == 1 ? l.v[0] : jparse_listed(p, N_TUPLE, line, &l));
}

static bool one_arg(struct jparser *p, struct jcall *call, struct jlist *pos, struct jlist *kw,
                    struct jseq *names)
{
    if (jtok_skip(p, T_MUL)) {
        if (call->star || call->starstar)
            return false;
        call->star = jparse_expr(p);
    } else if (jtok_skip(p, T_POW)) {
        if (call->starstar)
            return false;
        call->starstar = jparse_expr(p);
    } else if (jtok_is(p, T_NAME) && p->tok[p->pos + 1].type == T_ASSIGN) {
        if (call->starstar)
            return false;
        jseq_push(p->c, names, jtok_next(p)->val);
        jtok_next(p);
        jlist_push(p->c, kw, jparse_expr(p));
    } else {
        if (call->star || call->starstar || kw->n)
            return false;
        jlist_push(p->c, pos, jparse_expr(p));
    }
    return true;
}

// ( a, b, *c, d=e, **f )
static const struct jcall *call_args(struct jparser *p)
{
    struct jcall *call = jc_alloc(p->c, sizeof(*call));
    struct jseq *names = jseq_new(p->c, 0);
    struct jlist pos = {0}, kw = {0};

    jtok_expect(p, T_LPAREN);
    while (call && p->c->err == RT_OK && !jtok_is(p, T_RPAREN)) {
        if (!one_arg(p, call, &pos, &kw, names))
            jc_fail(p->c, RT_E_FORMAT, "invalid syntax for function call expression");
        if (!jtok_skip(p, T_COMMA))
            break;
    }
    jtok_expect(p, T_RPAREN);
    if (!call || p->c->err != RT_OK)
        return NULL;
    call->pos = pos.v;
    call->npos = pos.n;
    call->kwval = kw.v;
    call->nkw = kw.n;
    call->kwname = jc_alloc_array(p->c, kw.n ? kw.n : 1, sizeof(*call->kwname));
    for (size_t i = 0; call->kwname && i < kw.n; i++)
        call->kwname[i] = names->v[i].u.s;
    return call->kwname ? call : NULL;
}

struct jn *jparse_call(struct jparser *p, struct jn *f)
{
    struct jn *n = jparse_node(p, N_CALL, jtok_line(p));
    n->a = f;
    n->args = call_args(p);
    return jparse_link(p, n);
}

struct jn *jparse_postfix(struct jparser *p, struct jn *n)
{
    while (p->c->err == RT_OK) {
        if (jtok_is(p, T_DOT) || jtok_is(p, T_LBRACKET))
            n = subscript(p, n);
        else if (jtok_is(p, T_LPAREN))
            n = jparse_call(p, n);
        else
            break;
    }
    return n;
}

// ---- filters and tests --------------------------------------------------------------------------

// A filter's or test's name, which may have dots.
static struct jv dotted_name(struct jparser *p)
{
    const struct jstr *s = jtok_expect(p, T_NAME)->val.u.s;
    const struct jstr dot = {.p = ".", .len = 1, .cps = 1};

    while (jtok_skip(p, T_DOT)) {
        const struct jtoken *t = jtok_expect(p, T_NAME);
        if (p->c->err != RT_OK)
            break;
        s = jstr_concat(p->c, jstr_concat(p->c, s, &dot), t->val.u.s);
    }
    return jv_str(p->c->err == RT_OK ? s : &JSTR_EMPTY);
}

static struct jn *filter(struct jparser *p, struct jn *value)
{
    struct jn *n = jparse_node(p, N_FILTER, jtok_line(p));
    n->a = value;
    n->val = dotted_name(p);
    n->native = jfilter_find(n->val.u.s);
    if (jtok_is(p, T_LPAREN))
        n->args = call_args(p);
    return jparse_link(p, n);
}

struct jn *jparse_filters(struct jparser *p, struct jn *value, bool inline_first)
{
    while (p->c->err == RT_OK && (inline_first || jtok_skip(p, T_PIPE))) {
        value = filter(p, value);
        inline_first = false;
    }
    return value;
}

// An argument without brackets: x is divisibleby 3
static bool starts_test_arg(const struct jparser *p)
{
    switch (p->tok[p->pos].type) {
    case T_NAME:
        return !jtok_name(p, "else") && !jtok_name(p, "or") && !jtok_name(p, "and");
    case T_STRING:
    case T_INT:
    case T_FLOAT:
    case T_LBRACKET:
    case T_LBRACE:
        return true;
    default:
        return false;
    }
}

struct jn *jparse_test(struct jparser *p, struct jn *value)
{
    const uint32_t line = jtok_line(p);
    const bool negated = jtok_skip_name(p, "not");
    struct jn *n = jparse_node(p, N_TEST, line);

    n->a = value;
    n->val = dotted_name(p);
    n->native = jtest_find(n->val.u.s);
    if (jtok_is(p, T_LPAREN)) {
        n->args = call_args(p);
    } else if (p->c->err == RT_OK && starts_test_arg(p)) {
        struct jcall *one = jc_alloc(p->c, sizeof(*one));
        struct jlist l = {0};
        if (jtok_name(p, "is"))
            jc_fail(p->c, RT_E_FORMAT, "You cannot chain multiple tests with is");
        jlist_push(p->c, &l, jparse_postfix(p, jparse_primary(p, false)));
        if (one) {
            one->pos = l.v;
            one->npos = l.n;
        }
        n->args = one;
    }
    jparse_link(p, n);
    return negated ? jparse_pair(p, N_NOT, line, n, NULL) : n;
}
