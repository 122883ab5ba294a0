// Filters on text. Source: jinja2 3.1.6, filters.py; CPython, textwrap.py.
#include "src/text/jinja_internal.h"

#include <stdio.h>
#include <string.h>

#define FILTER(name)                                                                               \
    static struct jv name(struct jc *c, struct jv self, const struct jv *arg,                      \
                          const struct jargs *raw)

static const struct jstr NEWLINE = {.p = "\n", .len = 1, .cps = 1};

FILTER(f_trim)
{
    const struct jstr *chars = NULL;
    (void) raw;
    if (jv_given(arg[0]) && arg[0].kind != JK_NONE)
        chars = jarg_str(c, arg[0], "", "chars");
    return jv_str(jstr_strip(c, jv_to_str(c, self), chars, true, true));
}

FILTER(f_upper)
{
    (void) arg, (void) raw;
    return jv_str(jstr_case(c, jv_to_str(c, self), JCASE_UPPER));
}

FILTER(f_lower)
{
    (void) arg, (void) raw;
    return jv_str(jstr_case(c, jv_to_str(c, self), JCASE_LOWER));
}

FILTER(f_capitalize)
{
    (void) arg, (void) raw;
    return jv_str(jstr_case(c, jv_to_str(c, self), JCASE_CAPITALIZE));
}

static bool splits_words(uint32_t cp)
{
    return jcp_space(cp) || (cp < 0x80 && cp && strchr("-({[<", (int) cp));
}

// Each word's first letter in upper case; unlike str.title, words end only at space and -({[<
FILTER(f_title)
{
    const struct jstr *s = jv_to_str(c, self), *r = &JSTR_EMPTY;
    size_t i = 0, len;

    (void) arg, (void) raw;
    while (i < s->len && jc_step(c, 1)) {
        size_t end = i, first = 0;
        while (end < s->len && splits_words(jcp_at(s->p + end, &len)))
            end += len;
        r = jstr_concat(c, r, jstr_share(c, s->p + i, end - i));
        for (i = end; end < s->len && !splits_words(jcp_at(s->p + end, &len)); end += len)
            first = first ? first : len;
        r = jstr_concat(c, r, jstr_case(c, jstr_share(c, s->p + i, first), JCASE_UPPER));
        r = jstr_concat(
            c, r, jstr_case(c, jstr_share(c, s->p + i + first, end - i - first), JCASE_LOWER));
        i = end;
    }
    return jv_str(r);
}

FILTER(f_replace)
{
    const struct jstr *s = jstr_safe(c, jv_to_str(c, self), false);
    const int64_t count = arg[2].kind == JK_NONE ? -1 : jarg_int(c, arg[2], -1, "count");
    (void) raw;
    return jv_str(jstr_replace(c, s, jv_to_str(c, arg[0]), jv_to_str(c, arg[1]), count));
}

FILTER(f_indent)
{
    const struct jstr *s = jarg_str(c, self, "", "what indent gets");
    const struct jstr *pad = jstr_share(c, " ", 1), *r = &JSTR_EMPTY;
    const bool blank = jarg_bool(arg[2], false);
    struct jseq *lines;

    (void) raw;
    pad = arg[0].kind == JK_STR ? arg[0].u.s : jstr_repeat(c, pad, jarg_int(c, arg[0], 4, "width"));
    lines = jstr_lines(c, jstr_concat(c, jstr_copy(c, s->p, s->len), &NEWLINE), false);
    if (jarg_bool(arg[1], false))
        r = jstr_copy(c, pad->p, pad->len);
    for (size_t i = 0; i < lines->n && jc_step(c, 1); i++) {
        const struct jstr *line = lines->v[i].u.s;
        if (i)
            r = jstr_concat(c, r, &NEWLINE);
        if (i && (blank || line->len))
            r = jstr_concat(c, r, pad);
        r = jstr_concat(c, r, line);
    }
    return jv_str(jstr_safe(c, r, s->safe));
}

FILTER(f_truncate)
{
    const int64_t length = jarg_int(c, arg[0], 255, "length");
    const int64_t leeway = arg[3].kind == JK_NONE ? 5 : jarg_int(c, arg[3], 5, "leeway");
    const struct jstr *end = jarg_str(c, arg[2], "...", "end"), *s, *cut;

    (void) raw;
    if (length < (int64_t) end->cps || leeway < 0)
        jc_fail(c, RT_E_FORMAT, "truncate: expected length >= %zu and leeway >= 0", end->cps);
    if (c->err != RT_OK || (jv_len(self) >= 0 && jv_len(self) <= length + leeway))
        return self;
    s = jarg_str(c, self, "", "what truncate gets");
    if (c->err != RT_OK)
        return self;
    cut = jstr_slice(c, s, 0, (size_t) length - end->cps);
    if (!jarg_bool(arg[1], false))
        cut = jstr_rsplit(c, cut, jstr_share(c, " ", 1), 1)->v[0].u.s;
    return jv_str(jstr_concat(c, cut, end));
}

FILTER(f_center)
{
    (void) raw;
    return jv_str(jstr_center(c, jv_to_str(c, self), jarg_int(c, arg[0], 80, "width"),
                              jstr_share(c, " ", 1)));
}

FILTER(f_wordcount)
{
    const struct jstr *s = jv_to_str(c, self);
    bool inside = false;
    int64_t n = 0;
    size_t len;

    (void) arg, (void) raw;
    for (size_t i = 0; i < s->len; i += len) {
        const uint32_t cp = jcp_at(s->p + i, &len);
        const bool word =
            cp == '_' || jcp_alpha(cp) || jcp_decimal(cp) || jcp_digit(cp) || jcp_numeric(cp);
        n += word && !inside;
        inside = word;
    }
    return jv_int(n);
}

FILTER(f_format)
{
    struct jseq *s = jseq_new(c, raw->npos);
    struct jdict *d = jdict_new(c, 0);

    (void) arg;
    if (raw->npos && raw->nkw)
        jc_fail(c, RT_E_FORMAT, "can't handle positional and keyword arguments at the same time");
    for (size_t i = 0; i < raw->npos; i++)
        jseq_push(c, s, raw->pos[i]);
    for (size_t i = 0; i < raw->nkw; i++)
        jdict_set(c, d, jv_str(raw->kw[i].name), raw->kw[i].val);
    return jformat_percent(c, jv_to_str(c, self), raw->nkw ? jv_dict(d) : jv_seq(JK_TUPLE, s));
}

// ---- urlencode ----------------------------------------------------------------------------------

static void quote(struct jc *c, struct str *out, struct jv v, bool query)
{
    const struct jstr *s = jv_to_str(c, v);
    char buf[8];

    for (size_t i = 0; i < s->len && c->err == RT_OK; i++) {
        const char ch = s->p[i];
        const bool plain = (ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') ||
                           (ch >= 'a' && ch <= 'z') || (ch && strchr("_.-~", ch)) ||
                           (ch == '/' && !query);
        if (plain || (ch == ' ' && query)) {
            jsb(c, out, plain ? &ch : "+", 1);
            continue;
        }
        snprintf(buf, sizeof(buf), "%%%02X", (unsigned) (unsigned char) ch);
        jsb(c, out, buf, 3);
    }
}

FILTER(f_urlencode)
{
    struct str out = {0};
    struct jcursor k;

    (void) arg, (void) raw;
    if (self.kind == JK_STR || (jv_len(self) < 0 && self.kind != JK_ITER)) {
        quote(c, &out, self, false);
        return jv_str(jstr_take(c, &out));
    }
    if (self.kind == JK_DICT) {
        static const struct jstr ITEMS = {.p = "items", .len = 5, .cps = 5};
        self = jcall_native(c, jmethod_find(self, &ITEMS), self, &(struct jargs){0});
    }
    if (!jcursor_open(c, self, &k))
        return jv_none();
    for (bool first = true; k.n > 0 && jc_step(c, 1); first = false) {
        const struct jseq *pair = jv_to_seq(c, jcursor_next(c, &k));
        if (c->err == RT_OK && pair->n != 2)
            jc_fail(c, RT_E_FORMAT, "urlencode needs pairs");
        if (c->err != RT_OK)
            break;
        jsb(c, &out, "&", first ? 0 : 1);
        quote(c, &out, pair->v[0], true);
        jsb(c, &out, "=", 1);
        quote(c, &out, pair->v[1], true);
    }
    return jv_str(jstr_take(c, &out));
}

// ---- wordwrap -----------------------------------------------------------------------------------

struct wrap {
    struct jc *c;
    const struct jstr *sep;
    struct str out;
    size_t width;
    bool any, break_long; // any: a line has been put out
};

static bool is_blank(uint32_t cp)
{
    return cp == ' ' || (cp >= 0x09 && cp <= 0x0d);
}

static void put_line(struct wrap *w, const struct jstr *s, size_t from, size_t to)
{
    while (to > from && is_blank((unsigned char) s->p[to - 1]))
        to--;
    if (to == from)
        return;
    if (w->any)
        jsb(w->c, &w->out, w->sep->p, w->sep->len);
    jsb(w->c, &w->out, s->p + from, to - from);
    w->any = true;
}

// A chunk is a run of blanks or of other characters, from byte i on. *cps: its length.
static size_t chunk_end(const struct jstr *s, size_t i, size_t *cps)
{
    size_t len = 0;
    const bool blank = is_blank(jcp_at(s->p + i, &len));
    for (*cps = 0; i < s->len && is_blank(jcp_at(s->p + i, &len)) == blank; ++*cps)
        i += len;
    return i;
}

static void wrap_line(struct wrap *w, const struct jstr *s)
{
    size_t start = 0, i = 0, used = 0, cps;

    w->any = false;
    while (i < s->len && jc_step(w->c, 1)) {
        const size_t end = chunk_end(s, i, &cps);
        if (used == 0 && w->any && is_blank((unsigned char) s->p[i])) {
            start = i = end; // blanks at the start of a later line are dropped
        } else if (used + cps <= w->width) {
            used += cps;
            i = end;
        } else if (cps > w->width && w->break_long) {
            size_t room = w->width - used, len;
            for (; room > 0; room--) {
                jcp_at(s->p + i, &len);
                i += len;
            }
            put_line(w, s, start, i);
            start = i;
            used = 0;
        } else {
            if (used == 0)
                i = end; // a long word on a line of its own
            put_line(w, s, start, i);
            start = i;
            used = 0;
        }
    }
    put_line(w, s, start, s->len);
}

FILTER(f_wordwrap)
{
    const struct jstr *s = jarg_str(c, self, "", "what wordwrap gets");
    const int64_t width = jarg_int(c, arg[0], 79, "width");
    struct wrap w = {.c = c, .sep = &NEWLINE, .break_long = jarg_bool(arg[1], true)};
    struct jseq *lines = jstr_lines(c, s, false);

    (void) raw;
    if (jv_given(arg[2]) && arg[2].kind != JK_NONE)
        w.sep = jarg_str(c, arg[2], "\n", "wrapstring");
    if (width <= 0)
        jc_fail(c, RT_E_FORMAT, "invalid width %lld (must be > 0)", (long long) width);
    w.width = (size_t) width;
    for (size_t i = 0; i < lines->n && jc_step(c, 1); i++) {
        const struct jstr *line = lines->v[i].u.s;
        if (line->cps > w.width && memchr(line->p, '-', line->len) && jarg_bool(arg[3], true))
            jc_fail(c, RT_E_UNSUPPORTED, "wordwrap of a long line with hyphens");
        if (i)
            jsb(c, &w.out, w.sep->p, w.sep->len);
        wrap_line(&w, line);
    }
    return jv_str(jstr_take(c, &w.out));
}

const struct jnative JSTR_FILTERS[] = {
    {"trim", f_trim, "chars", 0},
    {"upper", f_upper, "/", 0},
    {"lower", f_lower, "/", 0},
    {"capitalize", f_capitalize, "/", 0},
    {"title", f_title, "/", 0},
    {"replace", f_replace, "old,new,count", 2},
    {"indent", f_indent, "width,first,blank", 0},
    {"truncate", f_truncate, "length,killwords,end,leeway", 0},
    {"center", f_center, "width", 0},
    {"wordcount", f_wordcount, "/", 0},
    {"wordwrap", f_wordwrap, "width,break_long_words,wrapstring,break_on_hyphens", 0},
    {"urlencode", f_urlencode, "/", 0},
    {"format", f_format, NULL, 0},
};
const size_t JSTR_NFILTERS = COUNT_OF(JSTR_FILTERS);
