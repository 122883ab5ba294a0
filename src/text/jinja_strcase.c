// Methods of strings that classify, change case and pad.
#include "src/text/jinja_internal.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

bool jstr_all(const struct jstr *s, bool (*is)(uint32_t cp))
{
    size_t len;
    for (size_t i = 0; i < s->len; i += len)
        if (!is(jcp_at(s->p + i, &len)))
            return false;
    return s->len > 0;
}

// Has cased characters, and all of them are of one case.
bool jstr_is_case(const struct jstr *s, bool upper)
{
    bool any = false;
    size_t len;
    for (size_t i = 0; i < s->len; i += len) {
        const uint32_t cp = jcp_at(s->p + i, &len);
        if (upper ? jcp_lower(cp) : jcp_upper(cp))
            return false;
        any = any || (upper ? jcp_upper(cp) : jcp_lower(cp));
    }
    return any;
}

static bool is_ascii(uint32_t cp)
{
    return cp < 0x80;
}
static bool is_alnum(uint32_t cp)
{
    return jcp_alpha(cp) || jcp_decimal(cp) || jcp_digit(cp) || jcp_numeric(cp);
}

const struct jstr *jstr_pad(struct jc *c, const struct jstr *s, int64_t left, int64_t right,
                            const struct jstr *fill)
{
    const struct jstr *r = jstr_concat(c, jstr_repeat(c, fill, left), s);
    return jstr_safe(c, jstr_concat(c, r, jstr_repeat(c, fill, right)), s->safe);
}

const struct jstr *jstr_center(struct jc *c, const struct jstr *s, int64_t width,
                               const struct jstr *fill)
{
    const int64_t room = width - (int64_t) s->cps;
    const int64_t left = room / 2 + (room & width & 1); // where CPython puts the odd one
    return room <= 0 ? s : jstr_pad(c, s, left, room - left, fill);
}

#define METHOD(name)                                                                               \
    static struct jv name(struct jc *c, struct jv self, const struct jv *arg,                      \
                          const struct jargs *raw)
#define CASE(name, how)                                                                            \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void) arg;                                                                                \
        (void) raw;                                                                                \
        return jv_str(jstr_case(c, self.u.s, how));                                                \
    }
#define CLASS(name, is)                                                                            \
    METHOD(name)                                                                                   \
    {                                                                                              \
        (void) c;                                                                                  \
        (void) arg;                                                                                \
        (void) raw;                                                                                \
        return jv_bool(jstr_all(self.u.s, is));                                                    \
    }

CASE(m_upper, JCASE_UPPER)
CASE(m_lower, JCASE_LOWER)
CASE(m_title, JCASE_TITLE)
CASE(m_capitalize, JCASE_CAPITALIZE)
CASE(m_swapcase, JCASE_SWAP)
CLASS(m_isalpha, jcp_alpha)
CLASS(m_isdigit, jcp_digit)
CLASS(m_isdecimal, jcp_decimal)
CLASS(m_isnumeric, jcp_numeric)
CLASS(m_isspace, jcp_space)
CLASS(m_isalnum, is_alnum)

METHOD(m_isascii)
{
    (void) c, (void) arg, (void) raw;
    return jv_bool(self.u.s->len == 0 || jstr_all(self.u.s, is_ascii));
}

METHOD(m_isprintable)
{
    (void) c, (void) arg, (void) raw;
    return jv_bool(self.u.s->len == 0 || jstr_all(self.u.s, jcp_printable));
}

METHOD(m_islower)
{
    (void) c, (void) arg, (void) raw;
    return jv_bool(jstr_is_case(self.u.s, false));
}

METHOD(m_isupper)
{
    (void) c, (void) arg, (void) raw;
    return jv_bool(jstr_is_case(self.u.s, true));
}

METHOD(m_isidentifier)
{
    size_t len = 0;
    (void) c, (void) arg, (void) raw;
    return jv_bool(jstr_all(self.u.s, jcp_word) && jcp_word_start(jcp_at(self.u.s->p, &len)));
}

// Upper case only after uncased characters, lower case only after cased ones.
METHOD(m_istitle)
{
    bool any = false, cased = false;
    size_t len;

    (void) c, (void) arg, (void) raw;
    for (size_t i = 0; i < self.u.s->len; i += len) {
        const uint32_t cp = jcp_at(self.u.s->p + i, &len);
        const bool up = jcp_upper(cp), low = jcp_lower(cp);
        if ((up && cased) || (low && !cased))
            return jv_bool(false);
        cased = up || low;
        any = any || cased;
    }
    return jv_bool(any);
}

METHOD(m_casefold)
{
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t n;
    const struct jstr *s = &JSTR_EMPTY;

    (void) arg, (void) raw;
    if (!jc_step(c, self.u.s->len / 16) || self.u.s->len > c->mem_limit / 16)
        jc_fail(c, RT_E_UNSUPPORTED, "casefold() of %zu bytes", self.u.s->len);
    if (c->err != RT_OK)
        return jv_none();
    n = utf8proc_map((const utf8proc_uint8_t *) self.u.s->p, (utf8proc_ssize_t) self.u.s->len,
                     &folded, UTF8PROC_CASEFOLD);
    if (n >= 0)
        s = jstr_copy(c, (const char *) folded, (size_t) n);
    else
        jc_fail(c, RT_E_NOMEM, "casefold(): %s", utf8proc_errmsg(n));
    free(folded);
    return jv_str(s);
}

// ---- padding ------------------------------------------------------------------------------------

static const struct jstr *fill_of(struct jc *c, struct jv v)
{
    const struct jstr *fill = jarg_str(c, v, " ", "fillchar");
    if (fill->cps != 1)
        jc_fail(c, RT_E_FORMAT, "The fill character must be exactly one character long");
    return fill;
}

METHOD(m_center)
{
    (void) raw;
    return jv_str(jstr_center(c, self.u.s, jarg_int(c, arg[0], 0, "width"), fill_of(c, arg[1])));
}

METHOD(m_ljust)
{
    (void) raw;
    return jv_str(jstr_pad(c, self.u.s, 0,
                           jarg_int(c, arg[0], 0, "width") - (int64_t) self.u.s->cps,
                           fill_of(c, arg[1])));
}

METHOD(m_rjust)
{
    (void) raw;
    return jv_str(jstr_pad(c, self.u.s, jarg_int(c, arg[0], 0, "width") - (int64_t) self.u.s->cps,
                           0, fill_of(c, arg[1])));
}

METHOD(m_zfill)
{
    const struct jstr *s = self.u.s;
    const int64_t room = jarg_int(c, arg[0], 0, "width") - (int64_t) s->cps;
    const size_t sign = s->len && (s->p[0] == '+' || s->p[0] == '-');
    const struct jstr *zeros = jstr_repeat(c, jstr_share(c, "0", 1), room);

    (void) raw;
    if (room <= 0)
        return self;
    zeros = jstr_concat(c, jstr_share(c, s->p, sign), zeros);
    return jv_str(jstr_concat(c, zeros, jstr_share(c, s->p + sign, s->len - sign)));
}

METHOD(m_expandtabs)
{
    const int64_t size = jarg_int(c, arg[0], 8, "tabsize");
    const struct jstr *s = self.u.s;
    struct str out = {0};
    int64_t column = 0;
    size_t len;

    (void) raw;
    for (size_t i = 0; i < s->len && c->err == RT_OK; i += len) {
        const uint32_t cp = jcp_at(s->p + i, &len);
        int64_t n = size > 0 ? size - column % size : 0;
        if (cp != '\t') {
            jsb(c, &out, s->p + i, len);
            column = cp == '\n' || cp == '\r' ? 0 : column + 1;
            continue;
        }
        column += n;
        for (; n > 0 && jc_step(c, 1); n--)
            jsb(c, &out, " ", 1);
    }
    return jv_str(jstr_take(c, &out));
}

const struct jnative JCASE_METHODS[] = {
    {"upper", m_upper, "/", 0},
    {"lower", m_lower, "/", 0},
    {"title", m_title, "/", 0},
    {"capitalize", m_capitalize, "/", 0},
    {"swapcase", m_swapcase, "/", 0},
    {"casefold", m_casefold, "/", 0},
    {"isalpha", m_isalpha, "/", 0},
    {"isdigit", m_isdigit, "/", 0},
    {"isdecimal", m_isdecimal, "/", 0},
    {"isnumeric", m_isnumeric, "/", 0},
    {"isspace", m_isspace, "/", 0},
    {"isalnum", m_isalnum, "/", 0},
    {"isascii", m_isascii, "/", 0},
    {"isprintable", m_isprintable, "/", 0},
    {"islower", m_islower, "/", 0},
    {"isupper", m_isupper, "/", 0},
    {"istitle", m_istitle, "/", 0},
    {"isidentifier", m_isidentifier, "/", 0},
    {"center", m_center, "/width,fillchar", 1},
    {"ljust", m_ljust, "/width,fillchar", 1},
    {"rjust", m_rjust, "/width,fillchar", 1},
    {"zfill", m_zfill, "/width", 1},
    {"expandtabs", m_expandtabs, "tabsize", 0},
};
const size_t JCASE_NMETHODS = COUNT_OF(JCASE_METHODS);
