#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/text/regex.h"
#include "src/text/unicode.h"

// Oniguruma's \w as members of a class: letters, marks, decimal and letter numbers, connectors, and
// characters that are alphabetic otherwise. A property last, so that `-` may follow. By itself, but
// not inside a class, \w also takes six of Latin-1.
#define WORD                                                                                       \
    "\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"           \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}"
#define LONE "\\xB2\\xB3\\xB9\\xBC-\\xBE" WORD
#define HEX "0-9A-Fa-f"

enum { DEPTH_MAX = 64, NONE = -1 };

// What becomes of an escape, outside and inside of a class. NULL: refused there.
static const struct esc {
    char c;
    const char *outside, *inside;
} ESCAPES[] = {
    {'s', "\\s", "\\s"},
    {'S', "\\S", "\\S"},
    {'d', "\\d", "\\d"},
    {'D', "\\D", "\\D"},
    {'w', "[" LONE "]", WORD},
    {'W', "[^" LONE "]", NULL},
    {'h', "[" HEX "]", HEX},
    {'H', "[^" HEX "]", NULL},
    {'r', "\\r", "\\r"},
    {'n', "\\n", "\\n"},
    {'t', "\\t", "\\t"},
    {'f', "\\f", "\\f"},
    {'v', "\\x0B", "\\x0B"},
    {'a', "\\a", "\\a"},
    {'e', "\\e", "\\e"},
    {'b', "(?:(?<=[" LONE "])(?![" LONE "])|(?<![" LONE "])(?=[" LONE "]))", "\\x08"},
    {'B', "(?:(?<=[" LONE "])(?=[" LONE "])|(?<![" LONE "])(?![" LONE "]))", NULL},
    {'A', "\\A", NULL},
    {'Z', "\\Z", NULL},
    {'z', "\\z", NULL},
};

// Names of properties, lower case without spaces, `-` and `_` -> PCRE2's.
// clang-format off
static const struct prop {
    const char *name, *pcre2;
} PROPS[] = {
    { "l", "L" }, { "lu", "Lu" }, { "ll", "Ll" }, { "lt", "Lt" }, { "lm", "Lm" }, { "lo", "Lo" },
    { "m", "M" }, { "mn", "Mn" }, { "mc", "Mc" }, { "me", "Me" }, { "n", "N" }, { "nd", "Nd" },
    { "nl", "Nl" }, { "no", "No" }, { "p", "P" }, { "pc", "Pc" }, { "pd", "Pd" }, { "ps", "Ps" },
    { "pe", "Pe" }, { "pi", "Pi" }, { "pf", "Pf" }, { "po", "Po" }, { "s", "S" }, { "sm", "Sm" },
    { "sc", "Sc" }, { "sk", "Sk" }, { "so", "So" }, { "z", "Z" }, { "zs", "Zs" }, { "zl", "Zl" },
    { "zp", "Zp" }, { "c", "C" }, { "cc", "Cc" }, { "cf", "Cf" }, { "co", "Co" }, { "cn", "Cn" },
    { "letter", "L" }, { "uppercaseletter", "Lu" }, { "lowercaseletter", "Ll" },
    { "titlecaseletter", "Lt" }, { "modifierletter", "Lm" }, { "otherletter", "Lo" },
    { "mark", "M" }, { "nonspacingmark", "Mn" }, { "spacingmark", "Mc" },
    { "enclosingmark", "Me" }, { "number", "N" }, { "decimalnumber", "Nd" },
    { "letternumber", "Nl" }, { "othernumber", "No" }, { "punctuation", "P" },
    { "connectorpunctuation", "Pc" }, { "dashpunctuation", "Pd" }, { "openpunctuation", "Ps" },
    { "closepunctuation", "Pe" }, { "initialpunctuation", "Pi" }, { "finalpunctuation", "Pf" },
    { "otherpunctuation", "Po" }, { "symbol", "S" }, { "mathsymbol", "Sm" },
    { "currencysymbol", "Sc" }, { "modifiersymbol", "Sk" }, { "othersymbol", "So" },
    { "separator", "Z" }, { "spaceseparator", "Zs" }, { "lineseparator", "Zl" },
    { "paragraphseparator", "Zp" }, { "other", "C" }, { "control", "Cc" }, { "format", "Cf" },
    { "privateuse", "Co" }, { "unassigned", "Cn" }, { "han", "sc:Han" },
    { "hiragana", "sc:Hiragana" }, { "katakana", "sc:Katakana" }, { "hangul", "sc:Hangul" },
    { "arabic", "sc:Arabic" }, { "thai", "sc:Thai" }, { "latin", "sc:Latin" },
    { "cyrillic", "sc:Cyrillic" }, { "greek", "sc:Greek" },
};
// clang-format on

struct tr {
    const char *begin, *p, *end, *where;
    struct str *out;
    ptrdiff_t atom;              // where the last atom begins in *out, or NONE
    ptrdiff_t groups[DEPTH_MAX]; // where the open groups begin
    size_t depth;
};

static enum rt_err refuse(const struct tr *t, enum rt_err code, const char *what)
{
    return rt_fail(code,
                   "%s: the regular expression has %s at byte %zu, which is not supported: %.*s",
                   t->where, what, (size_t) (t->p - t->begin),
                   (int) (t->end - t->begin > 200 ? 200 : t->end - t->begin), t->begin);
}

static bool at(const struct tr *t, const char *s)
{
    const size_t n = strlen(s);
    return n <= (size_t) (t->end - t->p) && memcmp(t->p, s, n) == 0;
}

// \p{Name}, \p{^Name}, \P{Name}: t->p is at the p.
static enum rt_err property(struct tr *t)
{
    enum rt_err err = RT_OK;
    bool negated = *t->p == 'P';
    char name[32];
    size_t n = 0, row = 0;
    const char *p = t->p + 1;

    if (p >= t->end || *p != '{')
        RT_TRY(refuse(t, RT_E_UNSUPPORTED, "\\p without {"));
    p++;
    if (p < t->end && *p == '^') {
        negated = !negated;
        p++;
    }
    for (; p < t->end && *p != '}' && n + 1 < sizeof(name); p++)
        if (!strchr(" -_", *p))
            name[n++] = (char) tolower((unsigned char) *p);
    name[n] = 0;
    while (row < COUNT_OF(PROPS) && strcmp(PROPS[row].name, name) != 0)
        row++;
    if (p >= t->end || *p != '}' || row == COUNT_OF(PROPS))
        RT_TRY(refuse(t, RT_E_UNSUPPORTED, "an unknown property"));
    RT_TRY(str_printf(t->out, "\\%c{%s}", negated ? 'P' : 'p', PROPS[row].pcre2));
    t->p = p + 1;
done:
    return err;
}

// \xHH (one byte, so ASCII only), \x{H...}, \uHHHH: t->p is at the letter.
static enum rt_err code_point(struct tr *t)
{
    enum rt_err err = RT_OK;
    const bool brace = t->p[0] == 'x' && t->p + 1 < t->end && t->p[1] == '{';
    const size_t most = brace ? 8 : t->p[0] == 'u' ? 4 : 2;
    const char *p = t->p + 1 + brace;
    uint32_t c = 0;
    size_t n = 0;

    for (; n < most && p < t->end && isxdigit((unsigned char) *p); n++, p++) {
        const char digit[2] = {*p, 0};
        c = c << 4 | (uint32_t) strtoul(digit, NULL, 16);
    }
    if (n == 0 || (brace && (p >= t->end || *p != '}')) || (t->p[0] == 'u' && n != 4) ||
        c >= TXT_CODE_POINTS || (c >= 0xd800 && c < 0xe000) ||
        (t->p[0] == 'x' && !brace && c > 0x7f))
        RT_TRY(refuse(t, RT_E_UNSUPPORTED, "a code point"));
    RT_TRY(str_printf(t->out, "\\x{%X}", (unsigned) c));
    t->p = p + brace;
done:
    return err;
}

// t->p is behind the backslash.
static enum rt_err escape(struct tr *t, bool inside)
{
    enum rt_err err = RT_OK;
    const char *to = NULL;
    char c;

    if (t->p >= t->end)
        RT_TRY(refuse(t, RT_E_FORMAT, "a lone backslash"));
    c = *t->p;
    if (c == 'p' || c == 'P') {
        RT_TRY(property(t));
        goto done;
    }
    if (c == 'x' || c == 'u') {
        RT_TRY(code_point(t));
        goto done;
    }
    for (size_t i = 0; i < COUNT_OF(ESCAPES); i++)
        if (ESCAPES[i].c == c)
            to = inside ? ESCAPES[i].inside : ESCAPES[i].outside;
    if (to) {
        RT_TRY(str_puts(t->out, to));
    } else if (isalnum((unsigned char) c)) {
        RT_TRY(refuse(t, RT_E_UNSUPPORTED, "an escape"));
    } else {
        if ((unsigned char) c < 0x80)
            RT_TRY(str_putc(t->out, '\\'));
        RT_TRY(str_putc(t->out, c));
    }
    t->p++;
done:
    return err;
}

// A class; t->p is at its bracket. A class inside a class is a union, so its brackets are dropped.
static enum rt_err class_(struct tr *t)
{
    enum rt_err err = RT_OK;
    size_t depth = 0;
    bool first = true;

    RT_TRY(str_putc(t->out, '['));
    t->p++;
    if (t->p < t->end && *t->p == '^') {
        RT_TRY(str_putc(t->out, '^'));
        t->p++;
    }
    for (;; first = false) {
        if (t->p >= t->end)
            RT_TRY(refuse(t, RT_E_FORMAT, "a class that is not closed"));
        if (at(t, "&&"))
            RT_TRY(refuse(t, RT_E_UNSUPPORTED, "an intersection of classes"));
        if (*t->p == '\\') {
            t->p++;
            RT_TRY(escape(t, true));
        } else if (*t->p == '[') {
            if (at(t, "[:") || at(t, "[^") || at(t, "[]") || ++depth > DEPTH_MAX)
                RT_TRY(refuse(t, RT_E_UNSUPPORTED, "a bracket inside a class"));
            t->p++;
        } else if (*t->p == ']' && !first) {
            t->p++;
            if (depth-- == 0)
                break;
        } else {
            if (*t->p == ']')
                RT_TRY(str_putc(t->out, '\\'));
            RT_TRY(str_putc(t->out, *t->p++));
        }
    }
    RT_TRY(str_putc(t->out, ']'));
done:
    return err;
}

// `(` and what belongs to it. Ruby's option m is PCRE2's s; options for the rest of a group only at
// its start.
static enum rt_err group(struct tr *t)
{
    static const char *const PLAIN[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    static const struct {
        const char *from, *to;
    } OPTIONS[] = {
        {"(?i:", "(?i:"},   {"(?-i:", "(?-i:"}, {"(?m:", "(?s:"},
        {"(?mi:", "(?is:"}, {"(?im:", "(?is:"},
    };
    enum rt_err err = RT_OK;
    const char *to = NULL;
    size_t len = 1;

    if (at(t, "(?i)") || at(t, "(?m)")) {
        if (t->p != t->begin)
            RT_TRY(refuse(t, RT_E_UNSUPPORTED, "an option inside"));
        RT_TRY(str_puts(t->out, t->p[2] == 'i' ? "(?i)" : "(?s)"));
        t->p += 4;
        goto done;
    }
    if (!at(t, "(?"))
        to = "(?:";     // nothing here asks for captures
    if (at(t, "(?<")) { // nor for their names; look-behinds are found below
        const char *close = memchr(t->p, '>', (size_t) (t->end - t->p));
        to = close ? "(?:" : NULL;
        len = close ? (size_t) (close + 1 - t->p) : 0;
    }
    for (size_t i = 0; i < COUNT_OF(PLAIN); i++)
        if (at(t, PLAIN[i]))
            len = strlen(to = PLAIN[i]);
    for (size_t i = 0; i < COUNT_OF(OPTIONS); i++)
        if (at(t, OPTIONS[i].from)) {
            to = OPTIONS[i].to;
            len = strlen(OPTIONS[i].from);
        }
    if (!to || t->depth == DEPTH_MAX)
        RT_TRY(refuse(t, RT_E_UNSUPPORTED, "a group"));
    t->groups[t->depth++] = (ptrdiff_t) t->out->len;
    RT_TRY(str_puts(t->out, to));
    t->p += len;
    t->atom = NONE;
done:
    return err;
}

// {n,m} behind an atom. Ruby has no possessive or lazy form of {n}: what follows is a quantifier of
// the whole.
static enum rt_err interval(struct tr *t, bool *taken)
{
    enum rt_err err = RT_OK;
    const char *p = t->p + 1, *comma = NULL;
    struct str atom = {0};
    bool wrap;

    *taken = false;
    for (; p < t->end && (isdigit((unsigned char) *p) || (*p == ',' && !comma)); p++)
        if (*p == ',')
            comma = p;
    if (p >= t->end || *p != '}' || p == t->p + 1 || (comma && p == t->p + 2) || t->atom == NONE)
        goto done;
    *taken = true;
    p++;
    wrap = p < t->end && (*p == '+' || (*p == '?' && !comma));
    if (wrap) {
        const size_t from = (size_t) t->atom;
        RT_TRY(str_append(&atom, t->out->data + from, t->out->len - from));
        t->out->len = from;
        RT_TRY(str_puts(t->out, "(?:"));
        RT_TRY(str_append(t->out, atom.data, atom.len));
    }
    RT_TRY(str_puts(t->out, comma == t->p + 1 ? "{0" : "{"));
    RT_TRY(str_append(t->out, t->p + 1, (size_t) (p - t->p - 1)));
    if (wrap)
        RT_TRY(str_putc(t->out, ')'));
    t->p = p;
done:
    str_free(&atom);
    return err;
}

static enum rt_err step(struct tr *t)
{
    enum rt_err err = RT_OK;
    const ptrdiff_t here = (ptrdiff_t) t->out->len;
    bool taken = false;

    switch (*t->p) {
    case '\\':
        t->p++;
        RT_TRY(escape(t, false));
        t->atom = here;
        break;
    case '[':
        RT_TRY(class_(t));
        t->atom = here;
        break;
    case '(':
        RT_TRY(group(t));
        break;
    case ')':
        if (t->depth == 0)
            RT_TRY(refuse(t, RT_E_FORMAT, "a stray )"));
        RT_TRY(str_putc(t->out, *t->p++));
        t->atom = t->groups[--t->depth];
        break;
    case '{':
        RT_TRY(interval(t, &taken));
        if (!taken) {
            RT_TRY(str_puts(t->out, "\\{"));
            t->p++;
            t->atom = here;
        }
        break;
    case '*':
    case '+':
    case '?': // quantifiers and their suffixes keep the atom
        RT_TRY(str_putc(t->out, *t->p++));
        break;
    default: // a character with its continuation bytes, or an operator
        t->atom = strchr("|^$", *t->p) && *t->p ? NONE : here;
        do
            RT_TRY(str_putc(t->out, *t->p++));
        while (t->p < t->end && ((unsigned char) *t->p & 0xc0) == 0x80);
    }
done:
    return err;
}

enum rt_err txt_regex_translate(const char *pattern, size_t len, const char *where, struct str *out)
{
    enum rt_err err = RT_OK;
    struct tr t = {pattern, pattern, pattern + len, where, out, NONE, {0}, 0};

    while (t.p < t.end)
        RT_TRY(step(&t));
    if (t.depth > 0)
        RT_TRY(refuse(&t, RT_E_FORMAT, "a group that is not closed"));
done:
    return err;
}
