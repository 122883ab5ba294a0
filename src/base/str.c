#include "src/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

void str_free(struct str *s)
{
    free(s->data);
    *s = (struct str){0};
}

void str_clear(struct str *s)
{
    s->len = 0;
    if (s->data)
        s->data[0] = 0;
}

enum rt_err str_reserve(struct str *s, size_t extra)
{
    enum rt_err err = RT_OK;
    size_t need, cap = s->cap ? s->cap : 64;
    char *p;

    if (!size_add(s->len, extra, &need) || !size_add(need, 1, &need) || need > SIZE_MAX / 2)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: a string of %zu + %zu bytes", s->len, extra));
    if (need <= s->cap)
        goto done;
    while (cap < need)
        cap *= 2;
    p = realloc(s->data, cap);
    if (!p)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: %zu bytes", cap));
    if (!s->data)
        p[0] = 0;
    s->data = p;
    s->cap = cap;
done:
    return err;
}

enum rt_err str_append(struct str *s, const void *bytes, size_t n)
{
    enum rt_err err = str_reserve(s, n);
    if (err == RT_OK) {
        if (n)
            memcpy(s->data + s->len, bytes, n);
        s->len += n;
        s->data[s->len] = 0;
    }
    return err;
}

enum rt_err str_puts(struct str *s, const char *text)
{
    return str_append(s, text, strlen(text));
}
enum rt_err str_putc(struct str *s, char c)
{
    return str_append(s, &c, 1);
}

enum rt_err str_printf(struct str *s, const char *fmt, ...)
{
    enum rt_err err = RT_OK;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    RT_REQUIRE(n >= 0, RT_E_ARG);
    RT_TRY(str_reserve(s, (size_t) n));
    va_start(ap, fmt);
    vsnprintf(s->data + s->len, (size_t) n + 1, fmt, ap);
    va_end(ap);
    s->len += (size_t) n;
done:
    return err;
}

enum rt_err str_dup_n(const char *bytes, size_t n, char **out)
{
    *out = malloc(n + 1);
    if (!*out)
        return rt_fail(RT_E_NOMEM, "out of memory: %zu bytes", n);
    memcpy(*out, bytes, n);
    (*out)[n] = 0;
    return RT_OK;
}

enum rt_err str_dup(const char *text, char **out)
{
    return str_dup_n(text, strlen(text), out);
}

bool str_has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

unsigned str_distance(const char *a, const char *b)
{
    unsigned row[128];
    const size_t n = strlen(a), m = strlen(b);
    if (n >= COUNT_OF(row) || m >= COUNT_OF(row))
        return 255;
    for (size_t j = 0; j <= m; j++)
        row[j] = (unsigned) j;
    for (size_t i = 1; i <= n; i++) {
        unsigned diag = row[0];
        row[0] = (unsigned) i;
        for (size_t j = 1; j <= m; j++) {
            const unsigned up = row[j], sub = diag + (a[i - 1] != b[j - 1]);
            row[j] = u32_min(u32_min(up, row[j - 1]) + 1, sub);
            diag = up;
        }
    }
    return row[m];
}

const char *str_bytes(char buf[32], double bytes)
{
    static const char *const UNIT[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned u = 0;
    while (bytes >= 1024.0 && u + 1 < COUNT_OF(UNIT)) {
        bytes /= 1024.0;
        u++;
    }
    snprintf(buf, 32, u ? "%.2f %s" : "%.0f %s", bytes, UNIT[u]);
    return buf;
}
