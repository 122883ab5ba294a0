// Values to text: Python's str() and repr(), and json.dumps.
#include "src/text/jinja_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct jc *c, struct str *s, const char *text)
{
    jsb(c, s, text, strlen(text));
}

// The shortest digits that read back as f, laid out as Python does.
void jfloat_repr(char buf[40], double f)
{
    char sci[40], digits[24];
    int n = 0, exp, prec = 0;

    if (isnan(f) || isinf(f)) {
        strcpy(buf, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    do
        snprintf(sci, sizeof(sci), "%.*e", prec, f);
    while (strtod(sci, NULL) != f && ++prec < 17);
    for (const char *p = sci; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    exp = atoi(strchr(sci, 'e') + 1);
    if (sci[0] == '-')
        *buf++ = '-';
    if (exp < -4 || exp >= 16)
        snprintf(buf, 39, n > 1 ? "%c.%.*se%c%02d" : "%c%.*se%c%02d", digits[0], n - 1, digits + 1,
                 exp < 0 ? '-' : '+', abs(exp));
    else if (exp < 0)
        snprintf(buf, 39, "0.%.*s%.*s", -exp - 1, "0000", n, digits);
    else if (exp + 1 >= n)
        snprintf(buf, 39, "%.*s%.*s.0", n, digits, exp + 1 - n, "0000000000000000");
    else
        snprintf(buf, 39, "%.*s.%.*s", exp + 1, digits, n - exp - 1, digits + exp + 1);
}

// ---- repr ---------------------------------------------------------------------------------------

static void put_escape(struct jc *c, struct str *s, uint32_t cp)
{
    char buf[16];
    if (cp == '\n' || cp == '\r' || cp == '\t')
        snprintf(buf, sizeof(buf), "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
    else
        snprintf(buf, sizeof(buf),
                 cp < 0x100     ? "\\x%02x"
                 : cp < 0x10000 ? "\\u%04x"
                                : "\\U%08x",
                 (unsigned) cp);
    put(c, s, buf);
}

static void repr_str(struct jc *c, struct str *s, const struct jstr *t)
{
    const bool single = t->len && memchr(t->p, '\'', t->len) && !memchr(t->p, '"', t->len);
    const char quote = single ? '"' : '\'';
    size_t len, plain = 0;

    if (t->safe)
        put(c, s, "Markup(");
    jsb(c, s, &quote, 1);
    for (size_t i = 0; i < t->len && c->err == RT_OK; i += len) {
        const uint32_t cp = jcp_at(t->p + i, &len);
        const bool slash = cp == '\\' || cp == (uint32_t) quote;
        if (!slash && jcp_printable(cp))
            continue;
        jsb(c, s, t->p + plain, i - plain);
        plain = i + len;
        if (slash) {
            jsb(c, s, "\\", 1);
            jsb(c, s, t->p + i, 1);
        } else {
            put_escape(c, s, cp);
        }
    }
    jsb(c, s, t->p + plain, t->len - plain);
    jsb(c, s, &quote, 1);
    if (t->safe)
        put(c, s, ")");
}

static void repr_seq(struct jc *c, struct str *s, struct jv v)
{
    const bool tuple = v.kind == JK_TUPLE;
    if (v.kind == JK_VIEW) {
        put(c, s, v.u.seq->view);
        put(c, s, "(");
    }
    put(c, s, tuple ? "(" : "[");
    for (size_t i = 0; i < v.u.seq->n && jc_step(c, 1); i++) {
        if (i)
            put(c, s, ", ");
        jv_repr(c, s, v.u.seq->v[i]);
    }
    put(c, s, tuple ? (v.u.seq->n == 1 ? ",)" : ")") : "]");
    if (v.kind == JK_VIEW)
        put(c, s, ")");
}

static void repr_dict(struct jc *c, struct str *s, const struct jdict *d)
{
    put(c, s, "{");
    for (size_t i = 0; i < d->n && jc_step(c, 1); i++) {
        if (i)
            put(c, s, ", ");
        jv_repr(c, s, d->e[i].key);
        put(c, s, ": ");
        jv_repr(c, s, d->e[i].val);
    }
    put(c, s, "}");
}

static void repr_range(struct jc *c, struct str *s, const struct jrange *r)
{
    char buf[96];
    snprintf(buf, sizeof(buf), r->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
             (long long) r->start, (long long) r->stop, (long long) r->step);
    put(c, s, buf);
}

static void repr_object(struct jc *c, struct str *s, struct jv v)
{
    char buf[96];

    if (v.kind == JK_NS) {
        put(c, s, "<Namespace ");
        repr_dict(c, s, v.u.dict);
        put(c, s, ">");
    } else if (v.kind == JK_MACRO) {
        put(c, s, "<Macro ");
        if (v.u.macro->node->kind == N_MACRO)
            repr_str(c, s, v.u.macro->node->val.u.s);
        else
            put(c, s, "'caller'");
        put(c, s, ">");
    } else if (v.kind == JK_LOOP) {
        snprintf(buf, sizeof(buf), "<LoopContext %lld/%lld>", (long long) v.u.loop->index0 + 1,
                 (long long) v.u.loop->n);
        put(c, s, buf);
    } else { // Python prints an address here, which no template can want
        jc_fail(c, RT_E_UNSUPPORTED, "printing a %s object%s", jv_type(v),
                v.kind == JK_ITER ? " (| list is missing)" : "");
    }
}

void jv_repr(struct jc *c, struct str *s, struct jv v)
{
    char buf[40];

    if (!jc_enter(c))
        return;
    switch (v.kind) {
    case JK_UNDEF:
        put(c, s, "Undefined");
        break;
    case JK_NONE:
        put(c, s, "None");
        break;
    case JK_BOOL:
        put(c, s, v.u.b ? "True" : "False");
        break;
    case JK_INT:
        snprintf(buf, sizeof(buf), "%lld", (long long) v.u.i);
        put(c, s, buf);
        break;
    case JK_FLOAT:
        jfloat_repr(buf, v.u.f);
        put(c, s, buf);
        break;
    case JK_BIG:
        jsb(c, s, v.u.s->p, v.u.s->len);
        break;
    case JK_STR:
        repr_str(c, s, v.u.s);
        break;
    case JK_LIST:
    case JK_TUPLE:
    case JK_VIEW:
        repr_seq(c, s, v);
        break;
    case JK_DICT:
        repr_dict(c, s, v.u.dict);
        break;
    case JK_RANGE:
        repr_range(c, s, v.u.range);
        break;
    default:
        repr_object(c, s, v);
    }
    jc_leave(c);
}

void jv_print(struct jc *c, struct str *s, struct jv v)
{
    if (v.kind == JK_STR)
        jsb(c, s, v.u.s->p, v.u.s->len);
    else if (v.kind != JK_UNDEF)
        jv_repr(c, s, v);
}

const struct jstr *jv_to_str(struct jc *c, struct jv v)
{
    struct str s = {0};
    if (v.kind == JK_STR)
        return v.u.s;
    jv_print(c, &s, v);
    return jstr_take(c, &s);
}

// ---- JSON ---------------------------------------------------------------------------------------

struct dump {
    struct jc *c;
    struct str out;
    const struct jstr *indent, *item, *key; // indent NULL: one line
    bool ascii, sort;
    unsigned depth;
};

static void dump_value(struct dump *d, struct jv v);

static void dump_char(struct dump *d, uint32_t cp)
{
    static const char FROM[] = "\"\\\n\r\t\f\b", TO[] = "\"\\nrtfb";
    const char *simple = cp && cp < 0x80 ? strchr(FROM, (int) cp) : NULL;
    char buf[16];

    if (simple)
        snprintf(buf, sizeof(buf), "\\%c", TO[simple - FROM]);
    else if (cp < 0x10000)
        snprintf(buf, sizeof(buf), "\\u%04x", (unsigned) cp);
    else
        snprintf(buf, sizeof(buf), "\\u%04x\\u%04x", (unsigned) (0xd800 + ((cp - 0x10000) >> 10)),
                 (unsigned) (0xdc00 + ((cp - 0x10000) & 0x3ff)));
    put(d->c, &d->out, buf);
}

static void dump_str(struct dump *d, const char *p, size_t n)
{
    size_t len, plain = 0;

    put(d->c, &d->out, "\"");
    for (size_t i = 0; i < n && d->c->err == RT_OK; i += len) {
        const uint32_t cp = jcp_at(p + i, &len);
        if (cp >= 0x20 && cp != '"' && cp != '\\' && (cp < 0x7f || !d->ascii))
            continue;
        jsb(d->c, &d->out, p + plain, i - plain);
        plain = i + len;
        dump_char(d, cp);
    }
    jsb(d->c, &d->out, p + plain, n - plain);
    put(d->c, &d->out, "\"");
}

static void dump_newline(struct dump *d)
{
    if (!d->indent)
        return;
    put(d->c, &d->out, "\n");
    for (unsigned i = 0; i < d->depth && d->c->err == RT_OK; i++)
        jsb(d->c, &d->out, d->indent->p, d->indent->len);
}

static void dump_scalar(struct dump *d, struct jv v)
{
    char buf[40];
    if (v.kind == JK_NONE || v.kind == JK_BOOL) {
        put(d->c, &d->out, v.kind == JK_NONE ? "null" : v.u.b ? "true" : "false");
    } else if (v.kind == JK_FLOAT && (isnan(v.u.f) || isinf(v.u.f))) {
        put(d->c, &d->out, isnan(v.u.f) ? "NaN" : v.u.f < 0 ? "-Infinity" : "Infinity");
    } else if (v.kind == JK_FLOAT) {
        jfloat_repr(buf, v.u.f);
        put(d->c, &d->out, buf);
    } else {
        jv_repr(d->c, &d->out, v);
    }
}

static void dump_key(struct dump *d, struct jv key)
{
    if (key.kind == JK_STR) {
        dump_str(d, key.u.s->p, key.u.s->len);
    } else if (key.kind == JK_NONE || jv_number(key) || key.kind == JK_BIG) {
        put(d->c, &d->out, "\"");
        dump_scalar(d, key);
        put(d->c, &d->out, "\"");
    } else {
        jc_fail(d->c, RT_E_FORMAT, "keys must be str, int, float, bool or None, not %s",
                jv_type(key));
    }
}

static void dump_seq(struct dump *d, const struct jseq *s)
{
    put(d->c, &d->out, "[");
    d->depth++;
    for (size_t i = 0; i < s->n && jc_step(d->c, 1); i++) {
        if (i)
            jsb(d->c, &d->out, d->item->p, d->item->len);
        dump_newline(d);
        dump_value(d, s->v[i]);
    }
    d->depth--;
    if (s->n)
        dump_newline(d);
    put(d->c, &d->out, "]");
}

static void dump_dict(struct dump *d, const struct jdict *dict)
{
    const struct jentry **order = jc_alloc_array(d->c, dict->n + 1, sizeof(*order));

    for (size_t i = 0; order && i < dict->n && jc_step(d->c, 1); i++) {
        size_t at = i;
        order[i] = &dict->e[i];
        for (; d->sort && at > 0 && jc_step(d->c, 1); at--) {
            if (jv_cmp(d->c, order[at - 1]->key, dict->e[i].key, "<") <= 0)
                break;
            order[at] = order[at - 1];
        }
        order[at] = &dict->e[i];
    }
    put(d->c, &d->out, "{");
    d->depth++;
    for (size_t i = 0; i < dict->n && d->c->err == RT_OK; i++) {
        if (i)
            jsb(d->c, &d->out, d->item->p, d->item->len);
        dump_newline(d);
        dump_key(d, order[i]->key);
        jsb(d->c, &d->out, d->key->p, d->key->len);
        dump_value(d, order[i]->val);
    }
    d->depth--;
    if (dict->n)
        dump_newline(d);
    put(d->c, &d->out, "}");
}

static void dump_value(struct dump *d, struct jv v)
{
    if (!jc_enter(d->c))
        return;
    switch (v.kind) {
    case JK_NONE:
    case JK_BOOL:
    case JK_INT:
    case JK_FLOAT:
    case JK_BIG:
        dump_scalar(d, v);
        break;
    case JK_STR:
        dump_str(d, v.u.s->p, v.u.s->len);
        break;
    case JK_LIST:
    case JK_TUPLE:
        dump_seq(d, v.u.seq);
        break;
    case JK_DICT:
        dump_dict(d, v.u.dict);
        break;
    default:
        jc_fail(d->c, RT_E_FORMAT, "Object of type %s is not JSON serializable", jv_type(v));
    }
    jc_leave(d->c);
}

// (item, key) separators.
static void dump_separators(struct dump *d, struct jv v)
{
    const struct jseq *s = jv_to_seq(d->c, v);
    if (d->c->err == RT_OK && (s->n != 2 || s->v[0].kind != JK_STR || s->v[1].kind != JK_STR))
        jc_fail(d->c, RT_E_FORMAT, "tojson: separators must be two strings");
    if (d->c->err != RT_OK)
        return;
    d->item = s->v[0].u.s;
    d->key = s->v[1].u.s;
}

// tojson(ensure_ascii, indent, separators, sort_keys), as transformers defines it: json.dumps.
struct jv jf_tojson(struct jc *c, struct jv self, const struct jv *arg, const struct jargs *raw)
{
    static const struct jstr COMMA_SPACE = {.p = ", ", .len = 2, .cps = 2};
    static const struct jstr COLON_SPACE = {.p = ": ", .len = 2, .cps = 2};
    static const struct jstr SPACE = {.p = " ", .len = 1, .cps = 1};
    struct dump d = {.c = c, .item = &COMMA_SPACE, .key = &COLON_SPACE};

    (void) raw;
    d.ascii = jarg_bool(arg[0], false);
    d.sort = jarg_bool(arg[3], false);
    if (arg[1].kind == JK_STR)
        d.indent = arg[1].u.s;
    else if (jv_given(arg[1]) && arg[1].kind != JK_NONE)
        d.indent = jstr_repeat(c, &SPACE, jarg_int(c, arg[1], 0, "indent"));
    if (d.indent)
        d.item = jstr_share(c, ",", 1);
    if (jv_given(arg[2]) && arg[2].kind != JK_NONE)
        dump_separators(&d, arg[2]);
    dump_value(&d, self);
    return jv_str(jstr_take(c, &d.out));
}
