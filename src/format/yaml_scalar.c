#include "src/format/yaml_scalar.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

#define DIGITS "0123456789"
enum { LONGEST = 64 }; // a longer number stays a string

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static const char *unsign(const char *s)
{
    return s + (*s == '-' || *s == '+');
}

static bool one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(s, list[i]) == 0)
            return true;
    return false;
}

// Behind (:[0-5]?[0-9])+, or NULL.
static const char *sixties(const char *p)
{
    if (*p != ':')
        return NULL;
    while (*p == ':') {
        p++;
        if (!is_digit(*p))
            return NULL;
        p += *p <= '5' && is_digit(p[1]) ? 2 : 1;
    }
    return p;
}

// [eE][-+][0-9]+ or nothing, then the end.
static bool exponent_or_end(const char *p)
{
    if (*p != 'e' && *p != 'E')
        return *p == 0;
    if (p[1] != '-' && p[1] != '+')
        return false;
    return is_digit(p[2]) && p[2 + strspn(p + 2, DIGITS)] == 0;
}

static bool is_float(const char *s)
{
    static const char *const INF[] = {".inf", ".Inf", ".INF"}, *const NANS[] = {".nan", ".NaN",
                                                                                ".NAN"};
    const char *p = unsign(s), *q;

    if (one_of(p, INF, COUNT_OF(INF)) || one_of(s, NANS, COUNT_OF(NANS)))
        return true;
    if (*s == '.') // without a sign only
        return is_digit(s[1]) && exponent_or_end(s + 1 + strspn(s + 1, DIGITS "_"));
    if (!is_digit(*p))
        return false;
    p += strspn(p, DIGITS "_");
    q = sixties(p);
    if (q)
        return *q == '.' && q[1 + strspn(q + 1, DIGITS "_")] == 0;
    if (*p != '.')
        return false;
    p++;
    return exponent_or_end(p + strspn(p, DIGITS "_"));
}

static bool all_of(const char *p, const char *set)
{
    return *p && p[strspn(p, set)] == 0;
}

static bool is_int(const char *s)
{
    const char *p = unsign(s), *q;
    if (p[0] == '0')
        return p[1] == 0 || (p[1] == 'b' && all_of(p + 2, "01_")) || all_of(p + 1, "01234567_") ||
               (p[1] == 'x' && all_of(p + 2, DIGITS "abcdefABCDEF_"));
    if (!is_digit(p[0]))
        return false;
    p += strspn(p, DIGITS "_");
    if (*p == 0)
        return true;
    q = sixties(p);
    return q && *q == 0;
}

// Value of digits in a base, or of base-60 parts; `s` has neither sign nor underscores.
static double magnitude(const char *s, bool integer)
{
    double v = 0.0;
    if (integer && s[0] == '0' && s[1]) {
        const double base = s[1] == 'b' ? 2.0 : s[1] == 'x' ? 16.0 : 8.0;
        for (s += base == 8.0 ? 1 : 2; *s; s++)
            v = v * base + (double) (is_digit(*s) ? *s - '0' : (*s | 32) - 'a' + 10);
        return v;
    }
    for (; strchr(s, ':'); s = strchr(s, ':') + 1)
        v = (v + strtod(s, NULL)) * 60.0;
    return v + strtod(s, NULL);
}

enum fmt_yaml_kind fmt_yaml_resolve(const char *s, double *v)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};
    static const char *const TRUES[] = {"yes",  "Yes", "YES", "true", "True",
                                        "TRUE", "on",  "On",  "ON"};
    static const char *const FALSES[] = {"no",    "No",  "NO",  "false", "False",
                                         "FALSE", "off", "Off", "OFF"};
    char plain[LONGEST], *to = plain;
    const bool integer = is_int(s);

    *v = 0.0;
    if (one_of(s, NULLS, COUNT_OF(NULLS)))
        return FMT_YAML_NULL;
    *v = one_of(s, TRUES, COUNT_OF(TRUES)) ? 1.0 : 0.0;
    if (*v > 0.0 || one_of(s, FALSES, COUNT_OF(FALSES)))
        return FMT_YAML_BOOL;
    if ((!integer && !is_float(s)) || strlen(s) >= sizeof(plain))
        return FMT_YAML_STR;
    for (const char *p = unsign(s); *p; p++)
        if (*p != '_')
            *to++ = *p;
    *to = 0;
    if (plain[0] == '.' && (plain[1] | 32) == 'i')
        *v = (double) INFINITY;
    else if (plain[0] == '.' && (plain[1] | 32) == 'n')
        *v = (double) NAN;
    else
        *v = magnitude(plain, integer);
    if (*s == '-' && (*v > 0.0 || !integer)) // -0 is an integer, -0.0 is not
        *v = -*v;
    return integer ? FMT_YAML_INT : FMT_YAML_FLOAT;
}
