#include "src/text/unicode.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

enum rt_err txt_chars_create(uint8_t **out)
{
    enum rt_err err = RT_OK;
    uint8_t *chars = NULL;

    *out = NULL;
    chars = malloc(TXT_CODE_POINTS);
    RT_REQUIRE(chars, RT_E_NOMEM);
    for (size_t i = 0; i < txt_char_runs_n; i++) {
        const uint32_t first = txt_char_runs[i] >> 8;
        const uint32_t end = i + 1 < txt_char_runs_n ? txt_char_runs[i + 1] >> 8 : TXT_CODE_POINTS;
        memset(chars + first, (int) (txt_char_runs[i] & 0xff), end - first);
    }
    *out = chars;
done:
    return err;
}

size_t txt_utf8_last(const char *begin, const char *end, uint32_t *c)
{
    const char *p = end - 1;
    while (p > begin && ((unsigned char) *p & 0xc0) == 0x80)
        p--;
    return txt_utf8_get(p, c);
}

size_t txt_utf8_put(char *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = (char) c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (char) (0xc0 | c >> 6);
        p[1] = (char) (0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (char) (0xe0 | c >> 12);
        p[1] = (char) (0x80 | (c >> 6 & 0x3f));
        p[2] = (char) (0x80 | (c & 0x3f));
        return 3;
    }
    p[0] = (char) (0xf0 | c >> 18);
    p[1] = (char) (0x80 | (c >> 12 & 0x3f));
    p[2] = (char) (0x80 | (c >> 6 & 0x3f));
    p[3] = (char) (0x80 | (c & 0x3f));
    return 4;
}

// The bytes of the character that starts at u, n >= 1 bytes left. *good: it is complete and valid;
// else the result is the length of the maximal ill-formed part, and *cut says that it ended for
// want of bytes.
static size_t scan(const unsigned char *u, size_t n, bool *good, bool *cut)
{
    // Lead byte -> length, and the range of the second byte (RFC 3629, section 4).
    static const struct {
        unsigned char last, len, lo, hi;
    } ROWS[] = {
        {0x7f, 1, 0, 0},       {0xc1, 0, 0, 0},       {0xdf, 2, 0x80, 0xbf}, {0xe0, 3, 0xa0, 0xbf},
        {0xec, 3, 0x80, 0xbf}, {0xed, 3, 0x80, 0x9f}, {0xef, 3, 0x80, 0xbf}, {0xf0, 4, 0x90, 0xbf},
        {0xf3, 4, 0x80, 0xbf}, {0xf4, 4, 0x80, 0x8f}, {0xff, 0, 0, 0},
    };
    size_t row = 0, i = 1;

    *good = *cut = false;
    while (u[0] > ROWS[row].last)
        row++;
    if (ROWS[row].len == 0)
        return 1;
    for (; i < ROWS[row].len; i++) {
        const unsigned char lo = i == 1 ? ROWS[row].lo : 0x80, hi = i == 1 ? ROWS[row].hi : 0xbf;
        if (i >= n) {
            *cut = true;
            return i;
        }
        if (u[i] < lo || u[i] > hi)
            return i;
    }
    *good = true;
    return i;
}

size_t txt_utf8_valid(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *) s;
    size_t i = 0;

    while (i < n) {
        uint64_t word;
        bool good, cut;
        size_t len;
        if (n - i >= sizeof(word)) {
            memcpy(&word, u + i, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof(word);
                continue;
            }
        }
        len = scan(u + i, n - i, &good, &cut);
        if (!good)
            break;
        i += len;
    }
    return i;
}

size_t txt_utf8_tail(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *) s;

    for (size_t back = 1; back < TXT_UTF8_MAX && back <= n; back++) {
        bool good, cut;
        if ((u[n - back] & 0xc0) == 0x80)
            continue;
        scan(u + n - back, back, &good, &cut);
        return cut ? back : 0;
    }
    return 0;
}

enum rt_err txt_utf8_repair(const char *s, size_t n, struct str *out)
{
    enum rt_err err = RT_OK;
    const size_t before = out->len;

    while (n > 0) {
        const size_t fine = txt_utf8_valid(s, n);
        size_t skip = 0;
        bool good, cut;
        RT_TRY(str_append(out, s, fine));
        if (fine < n) {
            RT_TRY(str_append(out, "\xef\xbf\xbd", 3));
            skip = scan((const unsigned char *) s + fine, n - fine, &good, &cut);
        }
        s += fine + skip;
        n -= fine + skip;
    }
done:
    if (err && out->data)
        out->data[out->len = before] = 0;
    return err;
}

size_t txt_lower(uint32_t c, uint32_t to[2])
{
    size_t lo = 0, hi = txt_lower_rows_n;

    to[0] = c;
    if (c < 0x80) {
        to[0] = c >= 'A' && c <= 'Z' ? c + 32 : c;
        return 1;
    }
    if (c == 0x130) { // I with dot above: the one that becomes two
        to[0] = 'i';
        to[1] = 0x307;
        return 2;
    }
    while (lo < hi) { // the first row that ends at c or later
        const size_t mid = lo + (hi - lo) / 2;
        if (txt_lower_rows[mid].last < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < txt_lower_rows_n) {
        const struct txt_lower_row *r = &txt_lower_rows[lo];
        if (c >= r->first && (c - r->first) % (uint32_t) r->step == 0)
            to[0] = (uint32_t) ((int32_t) c + r->delta);
    }
    return 1;
}
