// The interpreter's entry points: parse a template, render it.
#include "src/text/jinja_internal.h"

#include <stdlib.h>
#include <string.h>

static const size_t TEXT_MAX = 16u << 20, MEMORY_MAX = 64u << 20;
static const uint64_t STEPS_MAX = 10u * 1000 * 1000;

// The fixed symbols first, in the order of their numbers.
static void fixed_symbols(struct jparser *p)
{
    static const char *const NAMES[JSYM_FIXED] = {"loop", "caller", "varargs", "kwargs"};
    for (size_t i = 0; i < JSYM_FIXED; i++)
        jparse_sym(p, jstr_share(p->c, NAMES[i], strlen(NAMES[i])));
}

static void parse(struct jc *c, const char *text, size_t len, struct txt_jinja *t)
{
    struct jparser p = {.c = c, .sym = jdict_new(c, 64)};

    if (len > TEXT_MAX)
        jc_fail(c, RT_E_UNSUPPORTED, "a template of more than %zu bytes", TEXT_MAX);
    else if (!jcp_valid(text, len))
        jc_fail(c, RT_E_FORMAT, "the template is not UTF-8");
    fixed_symbols(&p);
    if (c->err == RT_OK)
        jlex(&p, text, len);
    if (c->err == RT_OK)
        jparse_template(&p, &t->root);
    if (c->err == RT_OK)
        jcheck_names(c, t->root, false);
    if (c->err == RT_OK)
        jscope_analyze(c, t->root);
    if (c->err != RT_OK)
        return;
    t->nsym = p.sym->n;
    t->sym = jc_alloc_array(c, t->nsym, sizeof(*t->sym));
    for (size_t i = 0; t->sym && i < t->nsym; i++)
        t->sym[i] = p.sym->e[i].key.u.s;
}

enum rt_err txt_jinja_parse(const char *text, size_t len, struct txt_jinja **out,
                            struct str *reason)
{
    enum rt_err err = RT_OK;
    struct jc c = {.reason = reason, .mem_limit = MEMORY_MAX * 4, .step_limit = STEPS_MAX};
    struct txt_jinja *t = NULL;

    *out = NULL;
    RT_REQUIRE((text || len == 0) && reason, RT_E_ARG);
    t = calloc(1, sizeof(*t));
    RT_REQUIRE(t, RT_E_NOMEM);
    parse(&c, text, len, t);
    RT_TRY(c.err);
    t->values = c.values; // the tree lives in the arenas
    t->bytes = c.bytes;
    c.values = c.bytes = NULL;
    *out = t;
    t = NULL;
done:
    jc_free(&c);
    txt_jinja_free(&t);
    return err;
}

void txt_jinja_free(struct txt_jinja **t)
{
    if (!*t)
        return;
    jchunk_free((*t)->values);
    jchunk_free((*t)->bytes);
    free(*t);
    *t = NULL;
}

// What each name of the template means at first: a variable, a global function, or nothing.
static void load_globals(struct jc *c)
{
    c->globals = jc_alloc_array(c, c->t->nsym, sizeof(*c->globals));
    for (size_t i = 0; c->err == RT_OK && i < c->t->nsym; i++) {
        const struct jv *v = jdict_get(c, c->vars, jv_str(c->t->sym[i]));
        const struct jnative *f = v ? NULL : jglobal_find(c->t->sym[i]);
        if (v)
            c->globals[i] = *v;
        else if (f)
            c->globals[i] = (struct jv){.kind = JK_FUNC, .u.native = f};
    }
}

enum rt_err txt_jinja_render(const struct txt_jinja *t, const struct txt_jinja_args *args,
                             struct str *out, struct str *reason)
{
    enum rt_err err = RT_OK;
    struct jc c = {.t = t, .reason = reason, .mem_limit = MEMORY_MAX, .step_limit = STEPS_MAX};

    RT_REQUIRE(t && args && out && reason, RT_E_ARG);
    c.now = args->now;
    c.vars = jdict_new(&c, 16);
    if (args->fill)
        args->fill(&c, args->user);
    load_globals(&c);
    if (c.err == RT_OK)
        jexec(&c, NULL, t->root);
    RT_TRY(c.err);
    RT_TRY(str_append(out, c.out.data, c.out.len));
done:
    jc_free(&c);
    return err;
}
