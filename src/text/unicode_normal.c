#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "src/base/arith.h"
#include "src/text/unicode.h"

// Characters on their way through decomposition, ordering and composition (Unicode 16, 3.11
// D106-D117).
struct work {
    int32_t *c;   // (cap) code points
    uint8_t *ccc; // (cap) combining classes; 0 for inert characters
    size_t len, cap;
};

enum { DECOMPOSED_MAX = 32, SHORT_RUN = 32 };

static enum rt_err work_reserve(struct work *w, size_t extra)
{
    enum rt_err err = RT_OK;
    size_t cap = w->cap ? w->cap : 256, need, bytes;
    int32_t *c = NULL;
    uint8_t *ccc = NULL;

    RT_REQUIRE(size_add(w->len, extra, &need), RT_E_NOMEM);
    if (need <= w->cap)
        goto done;
    while (cap < need)
        RT_REQUIRE(size_mul(cap, 2, &cap), RT_E_NOMEM);
    RT_REQUIRE(size_mul(cap, sizeof(*c), &bytes), RT_E_NOMEM);
    c = realloc(w->c, bytes);
    RT_REQUIRE(c, RT_E_NOMEM);
    w->c = c;
    ccc = realloc(w->ccc, cap);
    RT_REQUIRE(ccc, RT_E_NOMEM);
    w->ccc = ccc;
    w->cap = cap;
done:
    return err;
}

// Stable order of n marks by combining class: insertion for short runs, else counting.
static enum rt_err order_run(int32_t *c, uint8_t *ccc, size_t n)
{
    enum rt_err err = RT_OK;
    size_t start[257] = {0};
    struct work copy = {0};

    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            const int32_t ci = c[i];
            const uint8_t ki = ccc[i];
            size_t j = i;
            for (; j > 0 && ccc[j - 1] > ki; j--) {
                c[j] = c[j - 1];
                ccc[j] = ccc[j - 1];
            }
            c[j] = ci;
            ccc[j] = ki;
        }
        goto done;
    }
    RT_TRY(work_reserve(&copy, n));
    memcpy(copy.c, c, n * sizeof(*c));
    memcpy(copy.ccc, ccc, n);
    for (size_t i = 0; i < n; i++)
        start[copy.ccc[i] + 1]++;
    for (size_t k = 1; k < COUNT_OF(start); k++)
        start[k] += start[k - 1];
    for (size_t i = 0; i < n; i++) {
        const size_t to = start[copy.ccc[i]]++;
        c[to] = copy.c[i];
        ccc[to] = copy.ccc[i];
    }
done:
    free(copy.c);
    free(copy.ccc);
    return err;
}

static enum rt_err decompose(const uint8_t *chars, utf8proc_option_t options, const char *s,
                             size_t n, struct work *w)
{
    enum rt_err err = RT_OK;

    w->len = 0;
    for (size_t i = 0; i < n;) {
        utf8proc_ssize_t got = 1;
        uint32_t c;
        i += txt_utf8_get(s + i, &c);
        RT_TRY(work_reserve(w, DECOMPOSED_MAX));
        if (txt_char_flags(chars, c) & TXT_INERT) {
            w->c[w->len] = (int32_t) c;
            w->ccc[w->len++] = 0;
            continue;
        }
        got = utf8proc_decompose_char((utf8proc_int32_t) c, w->c + w->len, DECOMPOSED_MAX, options,
                                      NULL);
        RT_REQUIRE(got > 0 && got <= DECOMPOSED_MAX, RT_E_FORMAT);
        for (utf8proc_ssize_t k = 0; k < got; k++, w->len++)
            w->ccc[w->len] = (uint8_t) utf8proc_get_property(w->c[w->len])->combining_class;
    }
    for (size_t i = 0, j; i < w->len; i = j + 1) {
        for (j = i; j < w->len && w->ccc[j] != 0; j++)
            ;
        RT_TRY(order_run(w->c + i, w->ccc + i, j - i));
    }
done:
    return err;
}

// Compose in place, between inert characters; they and what follows them never compose with each
// other.
static enum rt_err compose(const uint8_t *chars, struct work *w)
{
    enum rt_err err = RT_OK;
    size_t len = 0;

    for (size_t i = 0, j; i < w->len; i = j) {
        utf8proc_ssize_t got;
        if (txt_char_flags(chars, (uint32_t) w->c[i]) & TXT_INERT) {
            w->c[len++] = w->c[i];
            j = i + 1;
            continue;
        }
        for (j = i; j < w->len && !(txt_char_flags(chars, (uint32_t) w->c[j]) & TXT_INERT); j++)
            ;
        got = utf8proc_normalize_utf32(w->c + i, (utf8proc_ssize_t) (j - i),
                                       UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        RT_REQUIRE(got >= 0, RT_E_FORMAT);
        memmove(w->c + len, w->c + i, (size_t) got * sizeof(*w->c));
        len += (size_t) got;
    }
    w->len = len;
done:
    return err;
}

enum rt_err txt_normal_form(const uint8_t *chars, enum txt_form form, const char *s, size_t n,
                            struct str *out)
{
    static const utf8proc_option_t OPTIONS[] = {
        [TXT_NFC] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [TXT_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [TXT_NFKC] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
        [TXT_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    enum rt_err err = RT_OK;
    const size_t before = out->len;
    struct work w = {0};

    // A part that may change is a run beyond ASCII with the one ASCII character before it.
    for (size_t i = 0, j; i < n; i = j) {
        size_t plain = i;
        while (plain < n && (unsigned char) s[plain] < 0x80)
            plain++;
        if (plain < n && plain > i)
            plain--;
        RT_TRY(str_append(out, s + i, plain - i));
        for (j = plain + 1; j < n && (unsigned char) s[j] >= 0x80; j++)
            ;
        if (plain >= n)
            break;
        RT_TRY(decompose(chars, OPTIONS[form], s + plain, j - plain, &w));
        if (form == TXT_NFC || form == TXT_NFKC)
            RT_TRY(compose(chars, &w));
        RT_TRY(str_reserve(out, w.len * TXT_UTF8_MAX));
        for (size_t k = 0; k < w.len; k++)
            out->len += txt_utf8_put(out->data + out->len, (uint32_t) w.c[k]);
    }
done:
    if (err)
        out->len = before;
    if (out->data)
        out->data[out->len] = 0;
    free(w.c);
    free(w.ccc);
    return err;
}
