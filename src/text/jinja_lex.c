// Text to tokens. Whitespace control (trim_blocks, lstrip_blocks, '-' and '+') is done here.
// Source: jinja2 3.1.6, lexer.py.
#include "src/text/jinja_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
    struct jparser *p;
    const char *s;
    size_t n, i;
    uint32_t line;
    bool line_start;    // the last match ended in a newline
    char brackets[256]; // closing brackets that are expected
    size_t nbrackets;
};

static void fail(struct lexer *x, const char *what)
{
    x->p->c->line = x->line;
    jc_fail(x->p->c, RT_E_FORMAT, "%s", what);
}

static void add(struct lexer *x, enum jtok type, struct jv val)
{
    struct jparser *p = x->p;
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 256;
        struct jtoken *grown = jc_alloc_array(p->c, cap, sizeof(*grown));
        if (!grown)
            return;
        if (p->n)
            memcpy(grown, p->tok, p->n * sizeof(*grown));
        p->tok = grown;
        p->cap = cap;
    }
    p->tok[p->n++] = (struct jtoken){.type = type, .line = x->line, .val = val};
}

static char peek(const struct lexer *x, size_t k)
{
    return k < x->n - x->i ? x->s[x->i + k] : 0;
}
static bool at(const struct lexer *x, size_t i, const char *text)
{
    const size_t k = strlen(text);
    return i <= x->n && k <= x->n - i && memcmp(x->s + i, text, k) == 0;
}

// Move to `to`, counting lines.
static void advance(struct lexer *x, size_t to)
{
    for (; x->i < to; x->i++)
        x->line += x->s[x->i] == '\n';
    x->line_start = x->i > 0 && x->s[x->i - 1] == '\n';
}

static size_t skip_space(const struct lexer *x, size_t i)
{
    while (i < x->n) {
        size_t len;
        if (!jcp_space(jcp_at(x->s + i, &len)))
            break;
        i += len;
    }
    return i;
}

// Where the whitespace at the end of [from, to) begins.
static size_t before_space(const struct lexer *x, size_t from, size_t to)
{
    while (to > from) {
        size_t k = to - 1, len;
        while (k > from && ((unsigned char) x->s[k] & 0xc0) == 0x80)
            k--;
        if (!jcp_space(jcp_at(x->s + k, &len)))
            break;
        to = k;
    }
    return to;
}

// The text [from, to) before a tag with the sign `sign` ('-', '+' or 0).
static void data(struct lexer *x, size_t from, size_t to, char sign, bool variable)
{
    size_t end = to;

    if (sign == '-') {
        end = before_space(x, from, to);
    } else if (sign != '+' && !variable) {
        size_t start = to;
        while (start > from && x->s[start - 1] != '\n')
            start--;
        if ((start > from || x->line_start) && before_space(x, start, to) == start)
            end = start;
    }
    if (end > from)
        add(x, T_DATA, jv_str(jstr_share(x->p->c, x->s + from, end - from)));
}

// If the end of a tag (`close` is "%}", "}}" or "#}") is at i: where the text goes on; else 0.
static size_t tag_end(const struct lexer *x, size_t i, const char *close)
{
    const bool block = close[0] != '}';
    if (i < x->n && x->s[i] == '-' && at(x, i + 1, close))
        return skip_space(x, i + 3);
    if (block && i < x->n && x->s[i] == '+' && at(x, i + 1, close))
        return i + 3;
    if (!at(x, i, close))
        return 0;
    return i + 2 + (block && i + 2 < x->n && x->s[i + 2] == '\n'); // trim_blocks
}

// ---- numbers, names, strings --------------------------------------------------------------------

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

// End of digits with single underscores between them, from i on; i if there is none.
static size_t digits(const struct lexer *x, size_t i)
{
    size_t end = i;
    while (i < x->n && is_digit(x->s[i])) {
        end = ++i;
        if (i < x->n && x->s[i] == '_')
            i++;
    }
    return end;
}

// End of a floating-point literal at the current position, or 0.
static size_t float_end(const struct lexer *x)
{
    size_t i = digits(x, x->i), k;
    bool fraction = false;

    if (i == x->i || (x->i > 0 && x->s[x->i - 1] == '.'))
        return 0;
    if (i < x->n && x->s[i] == '.' && (k = digits(x, i + 1)) > i + 1) {
        i = k;
        fraction = true;
    }
    if (i < x->n && (x->s[i] == 'e' || x->s[i] == 'E')) {
        const size_t j = i + 1 + (i + 1 < x->n && (x->s[i + 1] == '+' || x->s[i + 1] == '-'));
        if ((k = digits(x, j)) > j)
            return k;
    }
    return fraction ? i : 0;
}

static bool is_radix_digit(char ch, unsigned base)
{
    const unsigned v = is_digit(ch) ? (unsigned) (ch - '0')
                       : (ch | 0x20) >= 'a' && (ch | 0x20) <= 'f'
                           ? (unsigned) (ch | 0x20) - 'a' + 10
                           : 99;
    return v < base;
}

// End of an integer literal; *base and *start tell how to read it.
static size_t int_end(const struct lexer *x, unsigned *base, size_t *start)
{
    const char mark = (char) (peek(x, 1) | 0x20);
    size_t i = x->i, end;

    *base = 10;
    *start = i;
    if (x->s[i] == '0' && (mark == 'x' || mark == 'o' || mark == 'b')) {
        *base = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
        i += 2;
        end = i;
        while (i < x->n && (is_radix_digit(x->s[i], *base) || x->s[i] == '_')) {
            i += x->s[i] == '_';
            if (i >= x->n || !is_radix_digit(x->s[i], *base))
                break;
            end = ++i;
        }
        *start = x->i + 2;
        if (end > *start)
            return end;
        *base = 10;
        *start = x->i;
    }
    if (x->s[x->i] != '0')
        return digits(x, x->i);
    for (i = end = x->i; i < x->n && x->s[i] == '0';) { // 0, 00, 0_0; in 01 the 1 is another token
        end = ++i;
        i += i + 1 < x->n && x->s[i] == '_' && x->s[i + 1] == '0';
    }
    return end;
}

static void number(struct lexer *x)
{
    char buf[512];
    size_t n = 0, end = float_end(x), start = x->i;
    const bool real = end != 0;
    unsigned base = 10;
    struct jv v;

    if (!real)
        end = int_end(x, &base, &start);
    for (size_t i = start; i < end; i++)
        if (x->s[i] != '_' && n < sizeof(buf) - 1)
            buf[n++] = x->s[i];
    buf[n] = 0;
    if (n == sizeof(buf) - 1) {
        fail(x, "a number of more than 500 digits");
        return;
    }
    errno = 0;
    v = real ? jv_float(strtod(buf, NULL)) : jv_int(strtoll(buf, NULL, (int) base));
    if (!real && errno == ERANGE) {
        if (base != 10)
            fail(x, "integer beyond 64 bits");
        v = (struct jv){.kind = JK_BIG, .u.s = jstr_copy(x->p->c, buf, n)};
    }
    add(x, real ? T_FLOAT : T_INT, v);
    advance(x, end);
}

static bool name(struct lexer *x)
{
    size_t i = x->i, len;
    if (!jcp_word_start(jcp_at(x->s + i, &len)))
        return false;
    while (i < x->n && jcp_word(jcp_at(x->s + i, &len)))
        i += len;
    add(x, T_NAME, jv_str(jstr_share(x->p->c, x->s + x->i, i - x->i)));
    advance(x, i);
    return true;
}

static int hex_value(const char *p, size_t n, size_t want, uint32_t *out)
{
    *out = 0;
    if (n < want)
        return -1;
    for (size_t i = 0; i < want; i++) {
        const char ch = p[i];
        if (!is_radix_digit(ch, 16))
            return -1;
        *out = *out << 4 | (uint32_t) (is_digit(ch) ? ch - '0' : (ch | 0x20) - 'a' + 10);
    }
    return 0;
}

// \x41 \u00e9 \U0001f600, and a surrogate pair as two \u. Returns how many characters of the escape
// after the backslash were read; 0 on error.
static size_t unicode_escape(struct lexer *x, const char *p, size_t n, struct str *out)
{
    const size_t want = p[0] == 'x' ? 2 : p[0] == 'u' ? 4 : 8;
    size_t used = 1 + want;
    uint32_t cp, low;
    char buf[4];

    if (hex_value(p + 1, n - 1, want, &cp) != 0 || cp > 0x10ffff) {
        fail(x, "malformed \\x, \\u or \\U escape in a string");
        return 0;
    }
    if (cp >= 0xd800 && cp < 0xdc00 && n >= used + 6 && p[used] == '\\' && p[used + 1] == 'u' &&
        hex_value(p + used + 2, n - used - 2, 4, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        used += 6;
    }
    if (cp >= 0xd800 && cp < 0xe000) {
        fail(x, "half of a surrogate pair in a string");
        return 0;
    }
    return jsb(x->p->c, out, buf, jcp_put(buf, cp)) ? used : 0;
}

// One escape sequence; p points behind the backslash. Returns what it read, 0 on error.
static size_t escape(struct lexer *x, const char *p, size_t n, struct str *out)
{
    static const char FROM[] = "\\'\"abfnrtv", TO[] = "\\'\"\a\b\f\n\r\t\v";
    const char *simple = p[0] ? strchr(FROM, p[0]) : NULL;
    uint32_t cp = 0;
    size_t i = 0;
    char buf[4];

    if (simple)
        return jsb(x->p->c, out, &TO[simple - FROM], 1) ? 1 : 0;
    if (p[0] == '\n')
        return 1;
    if (p[0] == 'x' || p[0] == 'u' || p[0] == 'U')
        return unicode_escape(x, p, n, out);
    if (p[0] == 'N') {
        fail(x, "\\N{...} escapes are not implemented");
        return 0;
    }
    for (; i < 3 && i < n && p[i] >= '0' && p[i] <= '7'; i++)
        cp = cp * 8 + (uint32_t) (p[i] - '0');
    if (i > 0)
        return jsb(x->p->c, out, buf, jcp_put(buf, cp)) ? i : 0;
    return jsb(x->p->c, out, "\\", 1) && jsb(x->p->c, out, p, 1) ? 1 : 0;
}

static void string(struct lexer *x)
{
    const char quote = x->s[x->i];
    const size_t start = x->i + 1;
    size_t end = start, i;
    bool plain = true;
    struct str out = {0};

    while (end < x->n && x->s[end] != quote) {
        plain = plain && x->s[end] != '\\';
        end += x->s[end] == '\\' ? 2 : 1;
    }
    if (end >= x->n) {
        fail(x, "a string has no end");
        return;
    }
    if (plain) {
        add(x, T_STRING, jv_str(jstr_share(x->p->c, x->s + start, end - start)));
        advance(x, end + 1);
        return;
    }
    for (i = start; i < end && x->p->c->err == RT_OK;) {
        if (x->s[i] == '\\') {
            i += 1 + escape(x, x->s + i + 1, end - i - 1, &out);
        } else {
            jsb(x->p->c, &out, x->s + i, 1);
            i++;
        }
    }
    add(x, T_STRING, jv_str(jstr_take(x->p->c, &out)));
    advance(x, end + 1);
}

// ---- operators and tags -------------------------------------------------------------------------

static bool balance(struct lexer *x, char ch)
{
    static const char OPEN[] = "([{", CLOSE[] = ")]}";
    const char *open = ch ? strchr(OPEN, ch) : NULL;

    if (open) {
        if (x->nbrackets == sizeof(x->brackets))
            fail(x, "more than 256 brackets in each other");
        else
            x->brackets[x->nbrackets++] = CLOSE[open - OPEN];
    } else if (ch && strchr(CLOSE, ch)) {
        if (x->nbrackets == 0 || x->brackets[--x->nbrackets] != ch)
            fail(x, "unbalanced brackets");
    }
    return x->p->c->err == RT_OK;
}

static bool operator_token(struct lexer *x)
{
    static const struct {
        char text[3];
        enum jtok type;
    } OPS[] = {
        // the longer ones first
        {"//", T_FLOORDIV}, {"**", T_POW},   {"==", T_EQ},      {"!=", T_NE},      {">=", T_GE},
        {"<=", T_LE},       {"+", T_ADD},    {"-", T_SUB},      {"/", T_DIV},      {"*", T_MUL},
        {"%", T_MOD},       {"~", T_TILDE},  {"[", T_LBRACKET}, {"]", T_RBRACKET}, {"(", T_LPAREN},
        {")", T_RPAREN},    {"{", T_LBRACE}, {"}", T_RBRACE},   {">", T_GT},       {"<", T_LT},
        {"=", T_ASSIGN},    {".", T_DOT},    {":", T_COLON},    {"|", T_PIPE},     {",", T_COMMA},
        {";", T_SEMICOLON},
    };
    for (size_t i = 0; i < COUNT_OF(OPS); i++) {
        if (!at(x, x->i, OPS[i].text))
            continue;
        if (!balance(x, OPS[i].text[1] ? 0 : OPS[i].text[0]))
            return true;
        add(x, OPS[i].type, jv_none());
        advance(x, x->i + strlen(OPS[i].text));
        return true;
    }
    return false;
}

// The inside of a {% %} or {{ }}, up to and with its end.
static void inside(struct lexer *x, const char *close, enum jtok end_type)
{
    x->nbrackets = 0;
    while (x->i < x->n && jc_step(x->p->c, 1)) {
        const size_t end = x->nbrackets ? 0 : tag_end(x, x->i, close);
        const size_t space = skip_space(x, x->i);
        if (end) {
            add(x, end_type, jv_none());
            advance(x, end);
            return;
        }
        if (space > x->i)
            advance(x, space);
        else if (is_digit(x->s[x->i]))
            number(x);
        else if (x->s[x->i] == '"' || x->s[x->i] == '\'')
            string(x);
        else if (!name(x) && !operator_token(x))
            fail(x, "unexpected character in a tag");
    }
}

static void comment(struct lexer *x)
{
    for (size_t i = x->i; i < x->n; i++) {
        const char ch = x->s[i];
        const size_t end = ch == '-' || ch == '+' || ch == '#' ? tag_end(x, i, "#}") : 0;
        if (end) {
            advance(x, end);
            return;
        }
    }
    fail(x, "Missing end of comment tag");
}

// If the tag at i is {% WORD %}: where its text goes on, else 0. The sign of its start goes to
// *sign.
static size_t word_tag(const struct lexer *x, size_t i, const char *word, bool trim, char *sign)
{
    size_t end;
    if (!at(x, i, "{%"))
        return 0;
    i += 2;
    *sign = i < x->n && (x->s[i] == '-' || x->s[i] == '+') ? x->s[i] : 0;
    i = skip_space(x, i + (*sign != 0));
    if (!at(x, i, word))
        return 0;
    i = skip_space(x, i + strlen(word));
    if (trim)
        return tag_end(x, i, "%}");
    end = tag_end(x, i, "%}"); // {% raw %} keeps the newline behind it, and knows no +%}
    if (end && x->s[i] == '+')
        return 0;
    return end && x->s[i] == '%' ? i + 2 : end;
}

static void raw(struct lexer *x)
{
    const size_t start = x->i;
    for (size_t i = start; i < x->n; i++) {
        char sign = 0;
        const size_t end = x->s[i] == '{' ? word_tag(x, i, "endraw", true, &sign) : 0;
        if (end) {
            data(x, start, i, sign, false);
            advance(x, end);
            return;
        }
    }
    fail(x, "Missing end of raw directive");
}

static size_t next_tag(const struct lexer *x)
{
    for (size_t i = x->i; i + 1 < x->n; i++)
        if (x->s[i] == '{' && strchr("%{#", x->s[i + 1]) && x->s[i + 1])
            return i;
    return x->n;
}

// One piece of text and the tag behind it.
static void root(struct lexer *x)
{
    const size_t tag = next_tag(x);
    const char kind = tag < x->n ? x->s[tag + 1] : 0;
    char sign = 0;
    size_t raw_end;

    if (tag == x->n) {
        add(x, T_DATA, jv_str(jstr_share(x->p->c, x->s + x->i, x->n - x->i)));
        advance(x, x->n);
        return;
    }
    raw_end = word_tag(x, tag, "raw", false, &sign);
    if (!raw_end)
        sign = tag + 2 < x->n && (x->s[tag + 2] == '-' || x->s[tag + 2] == '+') ? x->s[tag + 2] : 0;
    data(x, x->i, tag, sign, kind == '{');
    advance(x, raw_end ? raw_end : tag + 2 + (sign != 0));
    if (raw_end) {
        raw(x);
    } else if (kind == '#') {
        comment(x);
    } else {
        add(x, kind == '%' ? T_BLOCK_BEGIN : T_VAR_BEGIN, jv_none());
        inside(x, kind == '%' ? "%}" : "}}", kind == '%' ? T_BLOCK_END : T_VAR_END);
    }
}

// Newlines become "\n"; the last one is dropped.
static const struct jstr *normalize(struct jc *c, const char *text, size_t len)
{
    struct str out = {0};
    for (size_t i = 0; i < len && c->err == RT_OK;) {
        const char *cr = memchr(text + i, '\r', len - i);
        const size_t n = cr ? (size_t) (cr - text) - i : len - i;
        jsb(c, &out, text + i, n);
        i += n;
        if (cr) {
            jsb(c, &out, "\n", 1);
            i += i + 1 < len && text[i + 1] == '\n' ? 2 : 1;
        }
    }
    if (out.len && out.data[out.len - 1] == '\n')
        out.len--;
    return jstr_take(c, &out);
}

void jlex(struct jparser *p, const char *text, size_t len)
{
    const struct jstr *s = normalize(p->c, text, len);
    struct lexer x = {.p = p, .s = s->p, .n = s->len, .line = 1, .line_start = true};

    while (x.i < x.n && jc_step(p->c, 1))
        root(&x);
    add(&x, T_EOF, jv_none());
}
