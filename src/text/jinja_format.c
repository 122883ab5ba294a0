// Formatting: "%s" % value and "{}".format(value).
// Source: Python's library reference, "printf-style String Formatting" and "Format Specification
// Mini-Language".
#include "src/text/jinja_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// One conversion, of either style.
struct spec {
    const struct jstr *fill;
    char align; // '<' '>' '^' '=', 0: by type
    char sign;  // '+' ' ' or 0
    bool alt, comma, underscore, zero;
    int64_t width, precision; // precision -1: none
    char type;
};

static const struct jstr SPACE = {.p = " ", .len = 1, .cps = 1};
static const struct jstr ZERO = {.p = "0", .len = 1, .cps = 1};

static bool only_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9')
            return false;
    return true;
}

// Pads `text`, of which the first `prefix` bytes (sign, 0x) stay in front of '=' padding.
static void put_padded(struct jc *c, struct str *out, const struct spec *s, const struct jstr *text,
                       size_t prefix, char align)
{
    const int64_t room = s->width - (int64_t) text->cps;
    const int64_t n = room > 0 ? room : 0;
    const char a = s->align ? s->align : align;
    const int64_t left = a == '>' || a == '=' ? n : a == '^' ? n / 2 : 0;
    const struct jstr *before = jstr_repeat(c, s->fill, left);
    const struct jstr *after = jstr_repeat(c, s->fill, n - left);

    if (a != '=')
        prefix = 0;
    jsb(c, out, text->p, prefix);
    jsb(c, out, before->p, before->len);
    jsb(c, out, text->p + prefix, text->len - prefix);
    jsb(c, out, after->p, after->len);
}

// Digits with a separator at every `every` from the right of the integer part.
static void group(char *buf, size_t size, char sep, size_t every)
{
    const size_t whole = strspn(buf, "0123456789abcdefABCDEF");
    char copy[800];
    size_t n = 0;

    snprintf(copy, sizeof(copy), "%s", buf);
    for (size_t i = 0; copy[i] && n + 2 < size; i++) {
        if (i && i < whole && (whole - i) % every == 0)
            buf[n++] = sep;
        buf[n++] = copy[i];
    }
    buf[n] = 0;
}

static void finish_number(struct jc *c, struct str *out, const struct spec *s, bool negative,
                          const char *prefix, char *digits, size_t size)
{
    char text[1700];
    const char *sign = negative ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";

    if (s->comma || s->underscore)
        group(digits, size, s->comma ? ',' : '_', s->type && strchr("xXob", s->type) ? 4 : 3);
    snprintf(text, sizeof(text), "%s%s%s", sign, prefix, digits);
    put_padded(c, out, s, jstr_copy(c, text, strlen(text)), strlen(sign) + strlen(prefix), '>');
}

static void put_int(struct jc *c, struct str *out, const struct spec *s, int64_t v)
{
    const uint64_t u = v < 0 ? 0 - (uint64_t) v : (uint64_t) v;
    const unsigned base = s->type == 'x' || s->type == 'X' ? 16
                          : s->type == 'o'                 ? 8
                          : s->type == 'b'                 ? 2
                                                           : 10;
    const char *prefix = base == 10 || !s->alt ? ""
                         : base == 8           ? "0o"
                         : base == 2           ? "0b"
                         : s->type == 'X'      ? "0X"
                                               : "0x";
    char digits[200], reversed[80];
    size_t n = 0, k = 0;
    uint64_t rest = u;

    do
        reversed[n++] = (s->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[rest % base];
    while ((rest /= base) > 0);
    for (int64_t i = s->precision; i > (int64_t) n && k < 80; i--)
        digits[k++] = '0';
    while (n > 0)
        digits[k++] = reversed[--n];
    digits[k] = 0;
    finish_number(c, out, s, v < 0, prefix, digits, sizeof(digits));
}

static void put_float(struct jc *c, struct str *out, const struct spec *s, double f)
{
    char digits[1600];
    const int prec = s->precision < 0 ? 6 : s->precision > 400 ? 400 : (int) s->precision;
    const double a = fabs(f);
    const char type = s->type == '%' ? 'f' : s->type ? s->type : 'g';
    char fmt[8] = "%.*f";

    if (!s->type && s->precision < 0) {
        jfloat_repr(digits, a);
    } else {
        if (s->alt)
            memcpy(fmt, "%#.*f", 6);
        fmt[strlen(fmt) - 1] = type;
        snprintf(digits, sizeof(digits) - 8, fmt, type == 'g' && !s->type && prec == 0 ? 1 : prec,
                 s->type == '%' ? a * 100.0 : a);
        if (!s->type && isfinite(a) && !strpbrk(digits, ".e"))
            memcpy(digits + strlen(digits), ".0", 3);
        if (s->type == '%')
            memcpy(digits + strlen(digits), "%", 2);
    }
    finish_number(c, out, s, signbit(f) && !isnan(f), "", digits, sizeof(digits));
}

static void put_str(struct jc *c, struct str *out, const struct spec *s, const struct jstr *text)
{
    if (s->precision >= 0 && s->precision < (int64_t) text->cps)
        text = jstr_slice(c, text, 0, (size_t) s->precision);
    put_padded(c, out, s, text, 0, '<');
}

static void put_char(struct jc *c, struct str *out, const struct spec *s, struct jv v)
{
    char buf[4];
    if (v.kind == JK_STR && v.u.s->cps == 1) {
        put_padded(c, out, s, v.u.s, 0, '<');
        return;
    }
    if (!jv_intlike(v) || jv_as_int(v) < 0 || jv_as_int(v) > 0x10ffff ||
        (jv_as_int(v) >= 0xd800 && jv_as_int(v) < 0xe000)) {
        jc_fail(c, RT_E_FORMAT, "%%c requires an int in range or a single character");
        return;
    }
    put_padded(c, out, s, jstr_copy(c, buf, jcp_put(buf, (uint32_t) jv_as_int(v))), 0, '<');
}

static const struct jstr *repr_of(struct jc *c, struct jv v, bool ascii)
{
    struct str s = {0};
    jv_repr(c, &s, v);
    if (ascii && c->err == RT_OK && s.len && jstr_share(c, s.data, s.len)->cps != s.len)
        jc_fail(c, RT_E_UNSUPPORTED, "the conversion ascii() of text that is not ASCII");
    return jstr_take(c, &s);
}

// ---- % ------------------------------------------------------------------------------------------

struct percent {
    struct jc *c;
    struct jv args;
    size_t next; // of a tuple
    const char *p, *end;
};

static struct jv next_arg(struct percent *f)
{
    const bool tuple = f->args.kind == JK_TUPLE;
    const size_t n = tuple ? f->args.u.seq->n : 1;

    if (f->next >= n) {
        jc_fail(f->c, RT_E_FORMAT, "not enough arguments for format string");
        return jv_none();
    }
    f->next++;
    return tuple ? f->args.u.seq->v[f->next - 1] : f->args;
}

static int64_t digits_or_star(struct percent *f)
{
    int64_t n = 0;
    if (f->p < f->end && *f->p == '*') {
        f->p++;
        return jarg_int(f->c, next_arg(f), 0, "*");
    }
    while (f->p < f->end && *f->p >= '0' && *f->p <= '9' && n < 100000000)
        n = n * 10 + (*f->p++ - '0');
    return n;
}

static struct jv keyed_arg(struct percent *f)
{
    const char *start = ++f->p;
    struct jv v;

    for (int depth = 1; f->p < f->end; f->p++) {
        depth += (*f->p == '(') - (*f->p == ')');
        if (depth == 0)
            break;
    }
    if (f->p == f->end || f->args.kind != JK_DICT) {
        jc_fail(f->c, RT_E_FORMAT,
                f->p == f->end ? "incomplete format key" : "format requires a mapping");
        return jv_none();
    }
    v = jv_str(jstr_share(f->c, start, (size_t) (f->p++ - start)));
    v = jop_item(f->c, f->args, v);
    if (v.kind == JK_UNDEF)
        jc_fail(f->c, RT_E_FORMAT, "a key of the format string is missing");
    return v;
}

static void percent_flags(struct percent *f, struct spec *s)
{
    for (; f->p < f->end && *f->p && strchr("-+ #0", *f->p); f->p++) {
        if (*f->p == '-')
            s->align = '<';
        else if (*f->p == '+' || (*f->p == ' ' && s->sign != '+'))
            s->sign = *f->p;
        else if (*f->p == '#')
            s->alt = true;
        else if (*f->p == '0')
            s->fill = &ZERO;
    }
    s->width = digits_or_star(f);
    if (s->width < 0) {
        s->align = '<';
        s->width = -s->width;
    }
    if (f->p < f->end && *f->p == '.') {
        f->p++;
        s->precision = digits_or_star(f);
        s->precision = s->precision < 0 ? 0 : s->precision;
    }
    if (f->p < f->end && *f->p && strchr("hlL", *f->p))
        f->p++;
    if (!s->align)
        s->align = s->fill == &ZERO ? '=' : '>';
    else
        s->fill = &SPACE;
}

static void percent_number(struct percent *f, struct str *out, struct spec *s, struct jv v)
{
    const bool whole = strchr("diuxXo", s->type) != NULL;

    if (v.kind == JK_UNDEF)
        jv_fail_undef(f->c, v);
    if (!jv_number(v) || (strchr("xXo", s->type) && v.kind == JK_FLOAT))
        jc_fail(f->c, RT_E_FORMAT, "%%%c format: a real number is required, not %s", s->type,
                jv_type(v));
    else if (whole && v.kind == JK_FLOAT && !(fabs(v.u.f) < 9e18))
        jc_fail(f->c, RT_E_UNSUPPORTED, "an integer beyond 64 bits");
    else if (whole)
        put_int(f->c, out, s, v.kind == JK_FLOAT ? (int64_t) v.u.f : jv_as_int(v));
    else
        put_float(f->c, out, s, jv_as_float(v));
}

static void percent_one(struct percent *f, struct str *out)
{
    struct spec s = {.fill = &SPACE, .precision = -1};
    struct jv v = jv_missing();

    if (f->p < f->end && *f->p == '(')
        v = keyed_arg(f);
    percent_flags(f, &s);
    if (f->p >= f->end) {
        jc_fail(f->c, RT_E_FORMAT, "incomplete format");
        return;
    }
    s.type = *f->p++;
    if (s.type == '%') {
        jsb(f->c, out, "%", 1);
        return;
    }
    if (!jv_given(v))
        v = next_arg(f);
    if (s.fill == &ZERO && s.type && strchr("sracC", s.type)) {
        s.fill = &SPACE;
        s.align = '>';
    }
    if (s.type == 's')
        put_str(f->c, out, &s, jv_to_str(f->c, v));
    else if (s.type == 'r' || s.type == 'a')
        put_str(f->c, out, &s, repr_of(f->c, v, s.type == 'a'));
    else if (s.type == 'c')
        put_char(f->c, out, &s, v);
    else if (s.type && strchr("diuxXofFeEgG", s.type))
        percent_number(f, out, &s, v);
    else
        jc_fail(f->c, RT_E_FORMAT, "unsupported format character");
}

struct jv jformat_percent(struct jc *c, const struct jstr *fmt, struct jv args)
{
    struct percent f = {.c = c, .args = args, .p = fmt->p, .end = fmt->p + fmt->len};
    struct str out = {0};

    if (fmt->safe)
        jc_fail(c, RT_E_UNSUPPORTED, "formatting a safe string");
    while (f.p < f.end && jc_step(c, 1)) {
        const char *mark = memchr(f.p, '%', (size_t) (f.end - f.p));
        const char *stop = mark ? mark : f.end;
        jsb(c, &out, f.p, (size_t) (stop - f.p));
        f.p = mark ? mark + 1 : f.end;
        if (mark)
            percent_one(&f, &out);
    }
    if (f.next < (args.kind == JK_TUPLE ? args.u.seq->n : 1) && args.kind != JK_DICT &&
        args.kind != JK_LIST && args.kind != JK_RANGE &&
        args.kind != JK_UNDEF) // what has subscripts may go unused
        jc_fail(c, RT_E_FORMAT, "not all arguments converted during string formatting");
    return jv_str(jstr_take(c, &out));
}

// ---- {} -----------------------------------------------------------------------------------------

struct braces {
    struct jc *c;
    const struct jargs *a;
    size_t next;
    bool automatic, manual;
    unsigned depth;
};

static void expand(struct braces *f, struct str *out, const char *p, const char *end);

static bool is_align(char ch)
{
    return ch && strchr("<>=^", ch) != NULL;
}

static void parse_spec(struct braces *f, const char *p, const char *end, struct spec *s)
{
    size_t len = 0;
    int64_t *number = &s->width;

    *s = (struct spec){.fill = &SPACE, .precision = -1};
    if (p < end)
        jcp_at(p, &len);
    if (p < end && p + len < end && is_align(p[len])) {
        s->fill = jstr_share(f->c, p, len);
        s->align = p[len];
        p += len + 1;
    } else if (p < end && is_align(*p)) {
        s->align = *p++;
    }
    if (p < end && *p && strchr("+- ", *p))
        s->sign = *p++;
    if (p < end && *p == '#')
        s->alt = *p++ == '#';
    if (p < end && *p == '0') {
        s->zero = *p++ == '0';
        s->fill = s->fill == &SPACE ? &ZERO : s->fill;
    }
    for (; p < end; p++) {
        if (*p >= '0' && *p <= '9' && *number < 100000000)
            *number = (*number < 0 ? 0 : *number) * 10 + (*p - '0');
        else if (*p == ',' || *p == '_')
            *(*p == ',' ? &s->comma : &s->underscore) = true;
        else if (*p == '.' && number == &s->width)
            number = &s->precision;
        else
            break;
    }
    if (p < end)
        s->type = *p++;
    if (p < end || (number == &s->precision && s->precision < 0) ||
        (s->type && !strchr("sdbcoxXneEfFgG%", s->type)))
        jc_fail(f->c, RT_E_FORMAT, "Invalid format specifier");
}

// Does the specification fit a text, an integer, a float?
static bool fits(const struct spec *s, struct jv v)
{
    const bool grouped = s->comma || s->underscore;

    if (v.kind == JK_STR)
        return (!s->type || s->type == 's') && s->align != '=' && !s->sign && !s->alt && !grouped;
    if (!jv_number(v) || (grouped && s->type == 'n') ||
        (s->comma && s->type && strchr("xXob", s->type)))
        return false;
    if (s->type && strchr("eEfFgG%", s->type))
        return true;
    if (v.kind == JK_FLOAT)
        return !s->type || s->type == 'n';
    return s->precision < 0 && (!s->type || (strchr("dboxXn", s->type)) ||
                                (s->type == 'c' && !s->sign && !s->alt && !grouped));
}

static void put_field(struct braces *f, struct str *out, struct jv v, const struct jstr *text)
{
    struct spec s;

    if (text->len == 0) {
        jv_print(f->c, out, v);
        return;
    }
    parse_spec(f, text->p, text->p + text->len, &s);
    if (f->c->err != RT_OK)
        return;
    if (!fits(&s, v)) {
        jc_fail(f->c, RT_E_FORMAT, "Invalid format specifier for object of type '%s'", jv_type(v));
        return;
    }
    if (s.type == 'n')
        s.type = v.kind == JK_FLOAT ? 'g' : 'd';
    if (s.zero && !s.align && v.kind != JK_STR)
        s.align = '=';
    if (s.align == '=' && s.fill->p[0] == '0' && s.width && (s.comma || s.underscore))
        jc_fail(f->c, RT_E_UNSUPPORTED, "zeros padded in groups");
    if (v.kind == JK_STR)
        put_str(f->c, out, &s, v.u.s);
    else if (s.type == 'c')
        put_char(f->c, out, &s, v);
    else if (v.kind == JK_FLOAT || (s.type && strchr("eEfFgG%", s.type)))
        put_float(f->c, out, &s, jv_as_float(v));
    else
        put_int(f->c, out, &s, jv_as_int(v));
}

static struct jv positional(struct braces *f, const char *p, size_t n)
{
    size_t i = 0;

    *(n ? &f->manual : &f->automatic) = true;
    if (f->manual && f->automatic)
        jc_fail(f->c, RT_E_FORMAT, "cannot mix manual and automatic field numbering");
    for (size_t k = 0; k < n && i < 100000000; k++)
        i = i * 10 + (size_t) (p[k] - '0');
    if (n == 0)
        i = f->next++;
    if (i < f->a->npos)
        return f->a->pos[i];
    jc_fail(f->c, RT_E_FORMAT, "Replacement index %zu out of range for positional args tuple", i);
    return jv_none();
}

// name.attr[key], where the name may be a number or nothing.
static struct jv field_value(struct braces *f, const char *p, const char *end)
{
    const char *q = p;
    struct jv v = jv_missing();

    while (q < end && *q != '.' && *q != '[')
        q++;
    if (only_digits(p, (size_t) (q - p))) {
        v = positional(f, p, (size_t) (q - p));
    } else {
        for (size_t i = 0; i < f->a->nkw; i++)
            if (f->a->kw[i].name->len == (size_t) (q - p) &&
                memcmp(f->a->kw[i].name->p, p, (size_t) (q - p)) == 0)
                v = f->a->kw[i].val;
        if (!jv_given(v))
            jc_fail(f->c, RT_E_FORMAT, "format: no argument '%.*s'", (int) (q - p), p);
    }
    while (q < end && f->c->err == RT_OK) {
        const bool item = *q++ == '[';
        const char *start = q;
        struct jv key;
        while (q < end && (item ? *q != ']' : *q != '.' && *q != '['))
            q++;
        key = jv_str(jstr_share(f->c, start, (size_t) (q - start)));
        if (item && q > start && q - start < 10 && only_digits(start, (size_t) (q - start))) {
            int64_t i = 0;
            for (const char *d = start; d < q; d++)
                i = i * 10 + (*d - '0');
            key = jv_int(i);
        }
        v = item ? jop_item(f->c, v, key) : jop_attr(f->c, v, key.u.s);
        q += item && q < end;
    }
    return v;
}

// A field without its braces: name!conversion:spec
static void field(struct braces *f, struct str *out, const char *p, const char *end)
{
    const char *q = p;
    struct str spec = {0};
    struct jv v;

    while (q < end && *q != '!' && *q != ':')
        q += *q == '[' && memchr(q, ']', (size_t) (end - q))
                 ? (const char *) memchr(q, ']', (size_t) (end - q)) - q
                 : 1;
    v = field_value(f, p, q);
    if (q < end && *q == '!') {
        if (end - q < 2 || !strchr("sra", q[1]) || !q[1] || (end - q > 2 && q[2] != ':'))
            jc_fail(f->c, RT_E_FORMAT, "Unknown conversion specifier in a format string");
        else
            v = jv_str(q[1] == 's' ? jv_to_str(f->c, v) : repr_of(f->c, v, q[1] == 'a'));
        q += 2;
    }
    if (q < end && *q == ':')
        expand(f, &spec, q + 1, end);
    if (f->c->err == RT_OK)
        put_field(f, out, v, spec.len ? jstr_share(f->c, spec.data, spec.len) : &JSTR_EMPTY);
    str_free(&spec);
}

static void expand(struct braces *f, struct str *out, const char *p, const char *end)
{
    if (f->depth >= 2) {
        jc_fail(f->c, RT_E_FORMAT, "Max string recursion exceeded");
        return;
    }
    f->depth++;
    while (p < end && jc_step(f->c, 1)) {
        const char *q = p;
        int open = 1;
        while (q < end && *q != '{' && *q != '}')
            q++;
        jsb(f->c, out, p, (size_t) (q - p));
        p = q;
        if (q == end)
            break;
        if (q + 1 < end && q[1] == *q) {
            jsb(f->c, out, q, 1);
            p = q + 2;
            continue;
        }
        for (q++; *p == '{' && q < end; q++) {
            open += (*q == '{') - (*q == '}');
            if (open == 0)
                break;
        }
        if (*p == '}' || q == end) {
            jc_fail(f->c, RT_E_FORMAT, "single brace in a format string");
            break;
        }
        field(f, out, p + 1, q);
        p = q + 1;
    }
    f->depth--;
}

struct jv jformat_braces(struct jc *c, const struct jstr *fmt, const struct jargs *a)
{
    struct braces f = {.c = c, .a = a};
    struct str out = {0};

    if (fmt->safe)
        jc_fail(c, RT_E_UNSUPPORTED, "formatting a safe string");
    else
        expand(&f, &out, fmt->p, fmt->p + fmt->len);
    return jv_str(jstr_take(c, &out));
}
