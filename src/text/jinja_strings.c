// Methods of strings that search, split, join and strip. Positions are code points.
#include "src/text/jinja_internal.h"

#include <string.h>

size_t jstr_find(struct jc *c, const char *hay, size_t n, const struct jstr *needle)
{
    const size_t m = needle->len;
    size_t i = 0;

    if (m == 0 || m > n)
        return m == 0 ? 0 : SIZE_MAX;
    while (i <= n - m) {
        const char *p = memchr(hay + i, needle->p[0], n - m - i + 1);
        if (!p || !jc_step(c, m / 64))
            break;
        i = (size_t) (p - hay);
        if (memcmp(p, needle->p, m) == 0)
            return jc_step(c, i / 256) ? i : SIZE_MAX;
        i++;
    }
    jc_step(c, n / 256);
    return SIZE_MAX;
}

static size_t rfind(struct jc *c, const char *hay, size_t n, const struct jstr *needle)
{
    const size_t m = needle->len;
    if (m > n)
        return SIZE_MAX;
    for (size_t i = n - m + 1; i-- > 0 && jc_step(c, 1 + m / 64);)
        if (memcmp(hay + i, needle->p, m) == 0)
            return i;
    return SIZE_MAX;
}

const struct jstr *jstr_replace(struct jc *c, const struct jstr *s, const struct jstr *from,
                                const struct jstr *to, int64_t count)
{
    struct str out = {0};
    size_t i = 0;

    for (int64_t k = 0; k != count && c->err == RT_OK; k++) {
        const size_t at = jstr_find(c, s->p + i, s->len - i, from);
        size_t len = 0;
        if (at == SIZE_MAX)
            break;
        jsb(c, &out, s->p + i, at);
        jsb(c, &out, to->p, to->len);
        i += at + from->len;
        if (from->len == 0) { // between all characters
            if (i >= s->len)
                break;
            jcp_at(s->p + i, &len);
            jsb(c, &out, s->p + i, len);
            i += len;
        }
    }
    if (i == 0 && out.len == 0)
        return s;
    jsb(c, &out, s->p + i, s->len - i);
    return jstr_safe(c, jstr_take(c, &out), s->safe);
}

// ---- strip --------------------------------------------------------------------------------------

static bool in_set(uint32_t cp, const char *p, size_t len, const struct jstr *chars)
{
    size_t k;
    if (!chars)
        return jcp_space(cp);
    for (size_t i = 0; i < chars->len; i += k) {
        jcp_at(chars->p + i, &k);
        if (k == len && memcmp(chars->p + i, p, len) == 0)
            return true;
    }
    return false;
}

const struct jstr *jstr_strip(struct jc *c, const struct jstr *s, const struct jstr *chars,
                              bool left, bool right)
{
    const size_t cost = chars ? chars->cps / 16 : 0;
    size_t from = 0, to = s->len, len;

    while (left && from < to && jc_step(c, cost)) {
        const uint32_t cp = jcp_at(s->p + from, &len);
        if (!in_set(cp, s->p + from, len, chars))
            break;
        from += len;
    }
    while (right && to > from && jc_step(c, cost)) {
        size_t at = to - 1;
        uint32_t cp;
        while (((unsigned char) s->p[at] & 0xc0) == 0x80)
            at--;
        cp = jcp_at(s->p + at, &len);
        if (!in_set(cp, s->p + at, len, chars))
            break;
        to = at;
    }
    if (from == 0 && to == s->len)
        return s;
    return jstr_safe(c, jstr_share(c, s->p + from, to - from), s->safe);
}

// ---- split --------------------------------------------------------------------------------------

static void push_part(struct jc *c, struct jseq *out, const struct jstr *s, size_t from, size_t to)
{
    jseq_push(c, out, jv_str(jstr_share(c, s->p + from, to - from)));
}

static size_t skip_class(const struct jstr *s, size_t i, bool space)
{
    size_t len;
    while (i < s->len && jcp_space(jcp_at(s->p + i, &len)) == space)
        i += len;
    return i;
}

static struct jseq *split_space(struct jc *c, const struct jstr *s, int64_t max)
{
    struct jseq *out = jseq_new(c, 0);
    size_t i = skip_class(s, 0, true);

    for (int64_t k = 0; i < s->len && jc_step(c, 1); k++) {
        const size_t end = k == max ? s->len : skip_class(s, i, false);
        push_part(c, out, s, i, end);
        i = skip_class(s, end, true);
    }
    return out;
}

struct jseq *jstr_split(struct jc *c, const struct jstr *s, const struct jstr *sep, int64_t max)
{
    struct jseq *out;
    size_t i = 0;

    if (!sep)
        return split_space(c, s, max);
    out = jseq_new(c, 0);
    if (sep->len == 0)
        jc_fail(c, RT_E_FORMAT, "empty separator");
    for (int64_t k = 0; k != max && c->err == RT_OK; k++) {
        const size_t at = jstr_find(c, s->p + i, s->len - i, sep);
        if (at == SIZE_MAX)
            break;
        push_part(c, out, s, i, i + at);
        i += at + sep->len;
    }
    push_part(c, out, s, i, s->len);
    return out;
}

static void reverse(struct jseq *s)
{
    for (size_t i = 0; i < s->n / 2; i++) {
        const struct jv t = s->v[i];
        s->v[i] = s->v[s->n - 1 - i];
        s->v[s->n - 1 - i] = t;
    }
}

// The end of the last character of s[0, i) that is (space) or is not whitespace; 0: none.
static size_t back_to(const struct jstr *s, size_t i, bool space)
{
    while (i > 0) {
        size_t at = i - 1, len;
        while (((unsigned char) s->p[at] & 0xc0) == 0x80)
            at--;
        if (jcp_space(jcp_at(s->p + at, &len)) == space)
            return i;
        i = at;
    }
    return 0;
}

static struct jseq *rsplit_space(struct jc *c, const struct jstr *s, int64_t max)
{
    struct jseq *out = jseq_new(c, 0);
    size_t end = back_to(s, s->len, false);

    for (int64_t k = 0; end > 0 && jc_step(c, 1); k++) {
        const size_t from = k == max ? 0 : back_to(s, end, true);
        push_part(c, out, s, from, end);
        end = k == max ? 0 : back_to(s, from, false);
    }
    reverse(out);
    return out;
}

struct jseq *jstr_rsplit(struct jc *c, const struct jstr *s, const struct jstr *sep, int64_t max)
{
    struct jseq *out;
    size_t end = s->len;

    if (!sep)
        return rsplit_space(c, s, max);
    out = jseq_new(c, 0);
    if (sep->len == 0)
        jc_fail(c, RT_E_FORMAT, "empty separator");
    for (int64_t k = 0; k != max && c->err == RT_OK; k++) {
        const size_t at = rfind(c, s->p, end, sep);
        if (at == SIZE_MAX)
            break;
        push_part(c, out, s, at + sep->len, end);
        end = at;
    }
    push_part(c, out, s, 0, end);
    reverse(out);
    return out;
}

static bool is_line_end(uint32_t cp)
{
    return (cp >= 0x0a && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

struct jseq *jstr_lines(struct jc *c, const struct jstr *s, bool keep_ends)
{
    struct jseq *out = jseq_new(c, 0);
    size_t from = 0, len;

    for (size_t i = 0; i < s->len && c->err == RT_OK; i += len) {
        const uint32_t cp = jcp_at(s->p + i, &len);
        if (!is_line_end(cp))
            continue;
        if (cp == '\r' && i + 1 < s->len && s->p[i + 1] == '\n')
            len = 2;
        push_part(c, out, s, from, keep_ends ? i + len : i);
        jc_step(c, 1);
        from = i + len;
    }
    if (from < s->len)
        push_part(c, out, s, from, s->len);
    return out;
}

// ---- methods ------------------------------------------------------------------------------------

#define METHOD(name)                                                                               \
    static struct jv name(struct jc *c, struct jv self, const struct jv *arg,                      \
                          const struct jargs *raw)

static const struct jstr *opt_str(struct jc *c, struct jv v, const char *what)
{
    return !jv_given(v) || v.kind == JK_NONE ? NULL : jarg_str(c, v, "", what);
}

METHOD(m_split)
{
    (void) raw;
    return jv_seq(JK_LIST, jstr_split(c, self.u.s, opt_str(c, arg[0], "sep"),
                                      jarg_int(c, arg[1], -1, "maxsplit")));
}

METHOD(m_rsplit)
{
    (void) raw;
    return jv_seq(JK_LIST, jstr_rsplit(c, self.u.s, opt_str(c, arg[0], "sep"),
                                       jarg_int(c, arg[1], -1, "maxsplit")));
}

METHOD(m_splitlines)
{
    (void) raw;
    return jv_seq(JK_LIST, jstr_lines(c, self.u.s, jarg_bool(arg[0], false)));
}

METHOD(m_strip)
{
    (void) raw;
    return jv_str(jstr_strip(c, self.u.s, opt_str(c, arg[0], "chars"), true, true));
}

METHOD(m_lstrip)
{
    (void) raw;
    return jv_str(jstr_strip(c, self.u.s, opt_str(c, arg[0], "chars"), true, false));
}

METHOD(m_rstrip)
{
    (void) raw;
    return jv_str(jstr_strip(c, self.u.s, opt_str(c, arg[0], "chars"), false, true));
}

METHOD(m_replace)
{
    const struct jstr *to = jarg_str(c, arg[1], "", "new");
    (void) raw;
    if (self.u.s->safe && !to->safe)
        to = jescape(c, arg[1]);
    return jv_str(jstr_replace(c, self.u.s, jarg_str(c, arg[0], "", "old"), to,
                               jarg_int(c, arg[2], -1, "count")));
}

METHOD(m_join)
{
    const struct jstr *r = &JSTR_EMPTY;
    struct jcursor k;
    bool first = true;

    (void) raw;
    if (!jcursor_open(c, arg[0], &k))
        return jv_none();
    for (; k.n > 0 && jc_step(c, 1); first = false) {
        struct jv v = jcursor_next(c, &k);
        if (self.u.s->safe)
            v = jv_str(jescape(c, v));
        if (v.kind != JK_STR) {
            jc_fail(c, RT_E_FORMAT, "sequence item: expected str instance, %s found", jv_type(v));
            break;
        }
        r = jstr_concat(c, first ? r : jstr_concat(c, r, self.u.s), v.u.s);
    }
    return jv_str(jstr_safe(c, r, self.u.s->safe));
}

// s[start:end] as find() and its kin cut it; *skipped: code points before it. NULL: start > len.
static const struct jstr *window(struct jc *c, const struct jstr *s, struct jv start, struct jv end,
                                 size_t *skipped)
{
    const int64_t n = (int64_t) s->cps;
    int64_t a = start.kind == JK_NONE ? 0 : jarg_int(c, start, 0, "start");
    int64_t b = end.kind == JK_NONE ? n : jarg_int(c, end, n, "end");

    a = a < 0 ? (a + n < 0 ? 0 : a + n) : a;
    b = b < 0 ? (b + n < 0 ? 0 : b + n) : b > n ? n : b;
    *skipped = (size_t) a;
    if (c->err != RT_OK || a > b)
        return NULL;
    return a == 0 && b == n ? s : jstr_slice(c, s, (size_t) a, (size_t) b);
}

static struct jv find_from(struct jc *c, struct jv self, const struct jv *arg, bool right,
                           bool must)
{
    const struct jstr *sub = jarg_str(c, arg[0], "", "sub");
    size_t skipped, at = SIZE_MAX;
    const struct jstr *w = window(c, self.u.s, arg[1], arg[2], &skipped);

    if (w)
        at = right ? rfind(c, w->p, w->len, sub) : jstr_find(c, w->p, w->len, sub);
    if (at == SIZE_MAX && must)
        jc_fail(c, RT_E_FORMAT, "substring not found");
    if (at == SIZE_MAX)
        return jv_int(-1);
    return jv_int((int64_t) (skipped + jstr_share(c, w->p, at)->cps));
}

METHOD(m_find)
{
    (void) raw;
    return find_from(c, self, arg, false, false);
}
METHOD(m_rfind)
{
    (void) raw;
    return find_from(c, self, arg, true, false);
}
METHOD(m_index)
{
    (void) raw;
    return find_from(c, self, arg, false, true);
}
METHOD(m_rindex)
{
    (void) raw;
    return find_from(c, self, arg, true, true);
}

METHOD(m_count)
{
    const struct jstr *sub = jarg_str(c, arg[0], "", "sub");
    size_t skipped, i = 0;
    const struct jstr *w = window(c, self.u.s, arg[1], arg[2], &skipped);
    int64_t n = 0;

    (void) raw;
    if (!w)
        return jv_int(0);
    if (sub->len == 0)
        return jv_int((int64_t) w->cps + 1);
    for (; c->err == RT_OK; n++) {
        const size_t at = jstr_find(c, w->p + i, w->len - i, sub);
        if (at == SIZE_MAX)
            break;
        i += at + sub->len;
    }
    return jv_int(n);
}

static bool has_affix(const struct jstr *s, const struct jstr *t, bool end)
{
    return t->len <= s->len && memcmp(end ? s->p + s->len - t->len : s->p, t->p, t->len) == 0;
}

static struct jv affix(struct jc *c, struct jv self, const struct jv *arg, bool end)
{
    size_t skipped;
    const struct jstr *w = window(c, self.u.s, arg[1], arg[2], &skipped);

    if (arg[0].kind != JK_TUPLE)
        return jv_bool(has_affix(w ? w : &JSTR_EMPTY, jarg_str(c, arg[0], "", "prefix"), end) && w);
    for (size_t i = 0; i < arg[0].u.seq->n && w && jc_step(c, 1); i++)
        if (has_affix(w, jarg_str(c, arg[0].u.seq->v[i], "", "prefix"), end))
            return jv_bool(true);
    return jv_bool(false);
}

METHOD(m_startswith)
{
    (void) raw;
    return affix(c, self, arg, false);
}
METHOD(m_endswith)
{
    (void) raw;
    return affix(c, self, arg, true);
}

METHOD(m_removeprefix)
{
    const struct jstr *s = self.u.s, *t = jarg_str(c, arg[0], "", "prefix");
    (void) raw;
    return has_affix(s, t, false) ? jv_str(jstr_share(c, s->p + t->len, s->len - t->len)) : self;
}

METHOD(m_removesuffix)
{
    const struct jstr *s = self.u.s, *t = jarg_str(c, arg[0], "", "suffix");
    (void) raw;
    return has_affix(s, t, true) ? jv_str(jstr_share(c, s->p, s->len - t->len)) : self;
}

static struct jv partition(struct jc *c, struct jv self, struct jv arg, bool right)
{
    const struct jstr *s = self.u.s, *sep = jarg_str(c, arg, "", "sep");
    const size_t at = right ? rfind(c, s->p, s->len, sep) : jstr_find(c, s->p, s->len, sep);
    struct jseq *out = jseq_new(c, 3);
    const size_t a = at == SIZE_MAX ? (right ? 0 : s->len) : at;
    const size_t b = at == SIZE_MAX ? a : at + sep->len;

    if (sep->len == 0)
        jc_fail(c, RT_E_FORMAT, "empty separator");
    push_part(c, out, s, 0, a);
    push_part(c, out, s, a, b);
    push_part(c, out, s, b, s->len);
    return jv_seq(JK_TUPLE, out);
}

METHOD(m_partition)
{
    (void) raw;
    return partition(c, self, arg[0], false);
}
METHOD(m_rpartition)
{
    (void) raw;
    return partition(c, self, arg[0], true);
}

METHOD(m_format)
{
    (void) arg;
    return jformat_braces(c, self.u.s, raw);
}

const struct jnative JSTR_METHODS[] = {
    {"split", m_split, "sep,maxsplit", 0},
    {"rsplit", m_rsplit, "sep,maxsplit", 0},
    {"splitlines", m_splitlines, "keepends", 0},
    {"strip", m_strip, "/chars", 0},
    {"lstrip", m_lstrip, "/chars", 0},
    {"rstrip", m_rstrip, "/chars", 0},
    {"replace", m_replace, "/old,new,count", 2},
    {"join", m_join, "/iterable", 1},
    {"find", m_find, "/sub,start,end", 1},
    {"rfind", m_rfind, "/sub,start,end", 1},
    {"index", m_index, "/sub,start,end", 1},
    {"rindex", m_rindex, "/sub,start,end", 1},
    {"count", m_count, "/sub,start,end", 1},
    {"startswith", m_startswith, "/prefix,start,end", 1},
    {"endswith", m_endswith, "/suffix,start,end", 1},
    {"removeprefix", m_removeprefix, "/prefix", 1},
    {"removesuffix", m_removesuffix, "/suffix", 1},
    {"partition", m_partition, "/sep", 1},
    {"rpartition", m_rpartition, "/sep", 1},
    {"format", m_format, NULL, 0},
};
const size_t JSTR_NMETHODS = COUNT_OF(JSTR_METHODS);
