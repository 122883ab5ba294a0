// Filters on single values, argument helpers, and the lookup of filters by name.
// Source: jinja2 3.1.6, filters.py.
#include "src/text/jinja_internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name)                                                                               \
    static struct jv name(struct jc *c, struct jv self, const struct jv *arg,                      \
                          const struct jargs *raw)

// ---- arguments ----------------------------------------------------------------------------------

int64_t jarg_int(struct jc *c, struct jv v, int64_t def, const char *what)
{
    const int64_t limit = (int64_t) 1 << 60; // no count or position is larger; sums cannot overflow
    int64_t i;

    if (!jv_given(v))
        return def;
    if (v.kind == JK_UNDEF)
        jv_fail_undef(c, v);
    if (!jv_intlike(v)) {
        jc_fail(c, RT_E_FORMAT, "%s must be an integer, not %s", what, jv_type(v));
        return def;
    }
    i = jv_as_int(v);
    return i > limit ? limit : i < -limit ? -limit : i;
}

bool jarg_bool(struct jv v, bool def)
{
    return jv_given(v) ? jv_truth(v) : def;
}

const struct jstr *jarg_str(struct jc *c, struct jv v, const char *def, const char *what)
{
    if (!jv_given(v))
        return jstr_share(c, def, strlen(def));
    if (v.kind == JK_STR)
        return v.u.s;
    if (v.kind == JK_UNDEF)
        jv_fail_undef(c, v);
    jc_fail(c, RT_E_FORMAT, "%s must be a string, not %s", what, jv_type(v));
    return &JSTR_EMPTY;
}

static bool all_digits(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9')
            return false;
    return n > 0 && n < 10;
}

struct jv jload_attr_path(struct jc *c, struct jv v, struct jv path)
{
    size_t i = 0;

    if (!jv_given(path) || path.kind == JK_NONE)
        return v;
    if (path.kind != JK_STR)
        return jop_item(c, v, path);
    while (i <= path.u.s->len && c->err == RT_OK) {
        const char *p = path.u.s->p + i;
        const char *dot = memchr(p, '.', path.u.s->len - i);
        const size_t n = dot ? (size_t) (dot - p) : path.u.s->len - i;
        const struct jv key =
            all_digits(p, n) ? jv_int(strtol(p, NULL, 10)) : jv_str(jstr_share(c, p, n));
        v = jop_item(c, v, key);
        i += n + 1;
    }
    return v;
}

const struct jstr *jescape(struct jc *c, struct jv v)
{
    static const char FROM[] = "&<>'\"";
    static const char *const TO[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const struct jstr *s = jv_to_str(c, v);
    struct str out = {0};
    size_t plain = 0;

    if (s->safe)
        return s;
    for (size_t i = 0; i < s->len && c->err == RT_OK; i++) {
        const char *hit = s->p[i] ? strchr(FROM, s->p[i]) : NULL;
        if (!hit)
            continue;
        jsb(c, &out, s->p + plain, i - plain);
        jsb(c, &out, TO[hit - FROM], strlen(TO[hit - FROM]));
        plain = i + 1;
    }
    if (plain == 0)
        return jstr_safe(c, s, true);
    jsb(c, &out, s->p + plain, s->len - plain);
    return jstr_safe(c, jstr_take(c, &out), true);
}

// ---- numbers ------------------------------------------------------------------------------------

// Python's int(text, base); false: not an integer.
static bool parse_int(const struct jstr *s, int64_t base, int64_t *out)
{
    char buf[128];
    const char *p = s->p, *end = s->p + s->len;
    size_t n = 0;
    bool prefix = false, zero = true;
    char *rest;

    if (p < end && (*p == '+' || *p == '-'))
        buf[n++] = *p++;
    if (end - p > 1 && p[0] == '0') {
        const int mark = tolower((unsigned char) p[1]);
        const int64_t b = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
        prefix = b != 0 && (base == 0 || base == b);
        if (prefix) {
            base = b;
            p += 2 + (end - p > 2 && p[2] == '_');
        }
    }
    if (p == end || base < 0 || base == 1 || base > 36)
        return false;
    for (const char *first = p; p < end; p++) {
        if (*p == '_' && p > first && p[-1] != '_' && p + 1 < end)
            continue;
        if (!isalnum((unsigned char) *p) || n + 1 >= sizeof(buf))
            return false;
        zero = zero && *p == '0';
        if (base == 0 && p > first && *first == '0' && !zero)
            return false;
        buf[n++] = *p;
    }
    buf[n] = 0;
    errno = 0;
    *out = strtoll(buf, &rest, base ? (int) base : 10);
    return errno == 0 && *rest == 0;
}

// Python's float(text); false: not a number.
static bool parse_float(const struct jstr *s, double *out)
{
    static const char *const NAMES[] = {"inf", "infinity", "nan"};
    char buf[512];
    size_t n = 0, sign;
    char *end;

    for (size_t i = 0; i < s->len; i++) {
        const bool between = i > 0 && i + 1 < s->len && isdigit((unsigned char) s->p[i - 1]) &&
                             isdigit((unsigned char) s->p[i + 1]);
        if (s->p[i] == '_' && between)
            continue;
        if (!s->p[i] || s->p[i] == '_' || n + 1 >= sizeof(buf))
            return false;
        buf[n++] = (char) tolower((unsigned char) s->p[i]);
    }
    buf[n] = 0;
    sign = buf[0] == '+' || buf[0] == '-';
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        if (strcmp(buf + sign, NAMES[i]) == 0) {
            *out = copysign(i == 2 ? NAN : INFINITY, buf[0] == '-' ? -1.0 : 1.0);
            return true;
        }
    }
    if (n == sign || strspn(buf + sign, "0123456789.e+-") != n - sign)
        return false;
    *out = strtod(buf, &end);
    return *end == 0;
}

static const struct jstr *stripped(struct jc *c, struct jv v)
{
    return jstr_strip(c, v.u.s, NULL, true, true);
}

static struct jv float_to_int(struct jc *c, double f, struct jv def)
{
    if (isnan(f))
        return def;
    if (f >= 9223372036854775808.0 || f < -9223372036854775808.0) {
        jc_fail(c, RT_E_UNSUPPORTED, "an integer beyond 64 bits");
        return def;
    }
    return jv_int((int64_t) f);
}

FILTER(f_int)
{
    const struct jv def = jv_given(arg[0]) ? arg[0] : jv_int(0);
    double f;
    int64_t i;

    (void) raw;
    if (self.kind == JK_UNDEF)
        jv_fail_undef(c, self);
    if (self.kind == JK_BIG || jv_intlike(self))
        return self.kind == JK_BIG ? self : jv_int(jv_as_int(self));
    if (self.kind == JK_FLOAT)
        return float_to_int(c, self.u.f, def);
    if (self.kind != JK_STR)
        return def;
    if (parse_int(stripped(c, self), jarg_int(c, arg[1], 10, "base"), &i))
        return jv_int(i);
    if (!parse_float(stripped(c, self), &f) || isinf(f))
        return def;
    return float_to_int(c, f, def);
}

FILTER(f_float)
{
    double f;
    (void) raw;
    if (self.kind == JK_UNDEF)
        jv_fail_undef(c, self);
    if (jv_number(self))
        return jv_float(jv_as_float(self));
    if (self.kind == JK_STR && parse_float(stripped(c, self), &f))
        return jv_float(f);
    return jv_given(arg[0]) ? arg[0] : jv_float(0.0);
}

FILTER(f_abs)
{
    (void) arg, (void) raw;
    if (self.kind == JK_FLOAT)
        return jv_float(fabs(self.u.f));
    if (jv_intlike(self))
        return jop_negate(c, self, jv_as_int(self) < 0);
    return jop_negate(c, self, true); // the error
}

static double round_digits(double f, int64_t digits)
{
    char buf[700];
    long double scale;

    if (!isfinite(f) || digits > 323)
        return f;
    if (digits < -308)
        return copysign(0.0, f);
    if (digits < 0) {
        scale = powl(10.0L, (long double) -digits);
        return (double) (nearbyintl((long double) f / scale) * scale);
    }
    snprintf(buf, sizeof(buf), "%.*f", (int) digits, f); // exact, ties to even
    return strtod(buf, NULL);
}

static struct jv round_int(int64_t i, int64_t digits)
{
    int64_t scale = 1, rest;
    if (digits >= 0)
        return jv_int(i);
    if (digits < -18)
        return jv_int(0);
    for (; digits < 0; digits++)
        scale *= 10;
    rest = i % scale; // with the sign of i
    i -= rest;
    if (llabs(rest) > scale / 2 || (llabs(rest) == scale / 2 && i / scale % 2 != 0))
        i += rest < 0 ? -scale : scale;
    return jv_int(i);
}

FILTER(f_round)
{
    const int64_t digits = jarg_int(c, arg[0], 0, "precision");
    const struct jstr *method = jarg_str(c, arg[1], "common", "method");
    double scale, scaled;

    (void) raw;
    if (!jv_number(self))
        return jop_negate(c, self, true); // the error
    if (jstr_is(method, "common"))
        return self.kind == JK_FLOAT ? jv_float(round_digits(self.u.f, digits))
                                     : round_int(jv_as_int(self), digits);
    if (!jstr_is(method, "ceil") && !jstr_is(method, "floor"))
        jc_fail(c, RT_E_FORMAT, "method must be common, ceil or floor");
    scale = pow(10.0, (double) digits);
    scaled =
        method->p[0] == 'c' ? ceil(jv_as_float(self) * scale) : floor(jv_as_float(self) * scale);
    return jv_float((scaled + 0.0) / scale); // + 0.0: no negative zero
}

FILTER(f_filesizeformat)
{
    static const char PREFIX[] = "kMGTPEZY";
    const struct jv v = f_float(c, self, &(struct jv){.kind = JK_NONE}, raw);
    const bool binary = jarg_bool(arg[0], false);
    const double base = binary ? 1024.0 : 1000.0, bytes = v.kind == JK_FLOAT ? v.u.f : 0.0;
    double unit = base;
    char buf[64];
    size_t i = 0;

    while (i + 1 < strlen(PREFIX) && !(bytes < unit * base)) {
        unit *= base;
        i++;
    }
    if (v.kind != JK_FLOAT)
        jc_fail(c, RT_E_FORMAT, "filesizeformat: not a number");
    if (bytes == 1.0)
        snprintf(buf, sizeof(buf), "1 Byte");
    else if (bytes < base)
        snprintf(buf, sizeof(buf), "%.0f Bytes", trunc(bytes) + 0.0);
    else
        snprintf(buf, sizeof(buf), binary ? "%.1f %ciB" : "%.1f %cB", bytes / unit,
                 binary && i == 0 ? 'K' : PREFIX[i]);
    return jv_str(jstr_copy(c, buf, strlen(buf)));
}

// ---- any value ----------------------------------------------------------------------------------

FILTER(f_default)
{
    const bool use = self.kind == JK_UNDEF || (jarg_bool(arg[1], false) && !jv_truth(self));
    (void) c, (void) raw;
    if (!use)
        return self;
    return jv_given(arg[0]) ? arg[0] : jv_str(&JSTR_EMPTY);
}

FILTER(f_length)
{
    const int64_t n = jv_len(self);
    (void) arg, (void) raw;
    if (n < 0)
        jc_fail(c, RT_E_FORMAT, "object of type '%s' has no len()", jv_type(self));
    return jv_int(n);
}

FILTER(f_string)
{
    (void) arg, (void) raw;
    return jv_str(jv_to_str(c, self));
}

FILTER(f_safe)
{
    (void) arg, (void) raw;
    return jv_str(jstr_safe(c, jv_to_str(c, self), true));
}

FILTER(f_escape)
{
    (void) arg, (void) raw;
    return jv_str(jescape(c, self));
}

FILTER(f_forceescape)
{
    (void) arg, (void) raw;
    return jv_str(jescape(c, jv_str(jstr_safe(c, jv_to_str(c, self), false))));
}

// Only real attributes: methods, not keys.
FILTER(f_attr)
{
    const struct jstr *name = jarg_str(c, arg[0], "", "name");
    (void) raw;
    if (self.kind == JK_DICT && !jmethod_find(self, name) && !jmethod_unsafe(self, name))
        return jv_undef(c, jv_type(self), arg[0]);
    return jop_attr(c, self, name);
}

FILTER(f_unsupported)
{
    (void) self, (void) arg, (void) raw;
    jc_fail(c, RT_E_UNSUPPORTED,
            "this filter (pprint, random, striptags, urlize or xmlattr) is not "
            "implemented");
    return jv_none();
}

static const struct jnative *find(const struct jnative *table, size_t n, const struct jstr *name)
{
    for (size_t i = 0; i < n; i++)
        if (jstr_is(name, table[i].name))
            return &table[i];
    return NULL;
}

const struct jnative *jfilter_find(const struct jstr *name)
{
    static const struct jnative FILTERS[] = {
        {"tojson", jf_tojson, "ensure_ascii,indent,separators,sort_keys", 0},
        {"default", f_default, "default_value,boolean", 0},
        {"d", f_default, "default_value,boolean", 0},
        {"length", f_length, "/", 0},
        {"count", f_length, "/", 0},
        {"string", f_string, "/", 0},
        {"safe", f_safe, "/", 0},
        {"e", f_escape, "/", 0},
        {"escape", f_escape, "/", 0},
        {"forceescape", f_forceescape, "/", 0},
        {"int", f_int, "default,base", 0},
        {"float", f_float, "default", 0},
        {"abs", f_abs, "/", 0},
        {"round", f_round, "precision,method", 0},
        {"filesizeformat", f_filesizeformat, "binary", 0},
        {"attr", f_attr, "name", 1},
        {"pprint", f_unsupported, NULL, 0},
        {"random", f_unsupported, NULL, 0},
        {"striptags", f_unsupported, NULL, 0},
        {"urlize", f_unsupported, NULL, 0},
        {"xmlattr", f_unsupported, NULL, 0},
    };
    const struct jnative *def = find(FILTERS, COUNT_OF(FILTERS), name);
    if (!def)
        def = find(JSEQ_FILTERS, JSEQ_NFILTERS, name);
    return def ? def : find(JSTR_FILTERS, JSTR_NFILTERS, name);
}
