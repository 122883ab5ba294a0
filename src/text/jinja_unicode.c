// Unicode as Python sees it: classes of characters, and case mappings with their special cases.
// Source: Unicode 15, through utf8proc; SpecialCasing.txt; CPython's str methods.
#include "src/text/jinja_internal.h"

#include <string.h>
#include <utf8proc.h>

struct range {
    uint32_t lo, hi;
};

static bool in_ranges(const struct range *r, size_t n, uint32_t cp)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (cp > r[mid].hi)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && cp >= r[lo].lo;
}

#define IN(table, cp) in_ranges(table, COUNT_OF(table), cp)

uint32_t jcp_at(const char *p, size_t *len)
{
    const unsigned char *s = (const unsigned char *) p;
    if (s[0] < 0x80) {
        *len = 1;
        return s[0];
    }
    if (s[0] < 0xe0) {
        *len = 2;
        return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
    }
    if (s[0] < 0xf0) {
        *len = 3;
        return (s[0] & 0xfu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    }
    *len = 4;
    return (s[0] & 7u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
}

size_t jcp_put(char buf[4], uint32_t cp)
{
    return (size_t) utf8proc_encode_char((utf8proc_int32_t) cp, (utf8proc_uint8_t *) buf);
}

bool jcp_valid(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t cp;
        utf8proc_ssize_t k;
        if ((unsigned char) p[i] < 0x80) {
            i++;
            continue;
        }
        k = utf8proc_iterate((const utf8proc_uint8_t *) p + i, (utf8proc_ssize_t) (n - i), &cp);
        if (k <= 0)
            return false;
        i += (size_t) k;
    }
    return true;
}

// ---- classes ------------------------------------------------------------------------------------

static utf8proc_category_t category(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t) cp);
}

bool jcp_space(uint32_t cp)
{
    static const struct range SPACE[] = {
        {0x09, 0x0d},     {0x1c, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
    };
    return IN(SPACE, cp);
}

bool jcp_printable(uint32_t cp)
{
    if (cp < 0x7f)
        return cp >= 0x20;
    switch (category(cp)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

bool jcp_alpha(uint32_t cp)
{
    const utf8proc_category_t k = category(cp);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool jcp_decimal(uint32_t cp)
{
    return category(cp) == UTF8PROC_CATEGORY_ND;
}

bool jcp_digit(uint32_t cp)
{
    static const struct range DIGIT[] = {
        // those that are not decimal
        {0xb2, 0xb3},       {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},
        {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
        {0x2474, 0x247c},   {0x2488, 0x2490},   {0x24ea, 0x24ea},   {0x24f5, 0x24fd},
        {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},   {0x278a, 0x2792},
        {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a},
    };
    return jcp_decimal(cp) || IN(DIGIT, cp);
}

bool jcp_numeric(uint32_t cp)
{
    const utf8proc_category_t k = category(cp);
    return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

bool jcp_lower(uint32_t cp)
{
    static const struct range OTHER[] = {
        // Other_Lowercase
        {0xaa, 0xaa},       {0xba, 0xba},       {0x2b0, 0x2b8},     {0x2c0, 0x2c1},
        {0x2e0, 0x2e4},     {0x345, 0x345},     {0x37a, 0x37a},     {0x1d2c, 0x1d6a},
        {0x1d78, 0x1d78},   {0x1d9b, 0x1dbf},   {0x2071, 0x2071},   {0x207f, 0x207f},
        {0x2090, 0x209c},   {0x2170, 0x217f},   {0x24d0, 0x24e9},   {0x2c7c, 0x2c7d},
        {0xa69c, 0xa69d},   {0xa770, 0xa770},   {0xa7f8, 0xa7f9},   {0xab5c, 0xab5f},
        {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba},
    };
    return category(cp) == UTF8PROC_CATEGORY_LL || IN(OTHER, cp);
}

bool jcp_upper(uint32_t cp)
{
    static const struct range OTHER[] = {
        // Other_Uppercase
        {0x2160, 0x216f},   {0x24b6, 0x24cf},   {0x1f130, 0x1f149},
        {0x1f150, 0x1f169}, {0x1f170, 0x1f189},
    };
    return category(cp) == UTF8PROC_CATEGORY_LU || IN(OTHER, cp);
}

bool jcp_word_start(uint32_t cp)
{
    return cp == '_' || jcp_alpha(cp) || category(cp) == UTF8PROC_CATEGORY_NL;
}

bool jcp_word(uint32_t cp)
{
    const utf8proc_category_t k = category(cp);
    return jcp_word_start(cp) || k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_MN ||
           k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_PC;
}

// ---- case ---------------------------------------------------------------------------------------

// Characters whose upper or title case is more than one character.
struct special {
    uint32_t cp;
    const char *upper, *title;
};
// clang-format off
static const struct special SPECIAL[] = {
    { 0x00df, "SS", "Ss" }, { 0x0149, "\u02bcN", "\u02bcN" }, { 0x01f0, "J\u030c", "J\u030c" },
    { 0x0390, "\u0399\u0308\u0301", "\u0399\u0308\u0301" },
    { 0x03b0, "\u03a5\u0308\u0301", "\u03a5\u0308\u0301" },
    { 0x0587, "\u0535\u0552", "\u0535\u0582" }, { 0x1e96, "H\u0331", "H\u0331" },
    { 0x1e97, "T\u0308", "T\u0308" }, { 0x1e98, "W\u030a", "W\u030a" },
    { 0x1e99, "Y\u030a", "Y\u030a" }, { 0x1e9a, "A\u02be", "A\u02be" },
    { 0x1f50, "\u03a5\u0313", "\u03a5\u0313" },
    { 0x1f52, "\u03a5\u0313\u0300", "\u03a5\u0313\u0300" },
    { 0x1f54, "\u03a5\u0313\u0301", "\u03a5\u0313\u0301" },
    { 0x1f56, "\u03a5\u0313\u0342", "\u03a5\u0313\u0342" }, { 0x1f80, "\u1f08\u0399", "\u1f88" },
    { 0x1f81, "\u1f09\u0399", "\u1f89" }, { 0x1f82, "\u1f0a\u0399", "\u1f8a" },
    { 0x1f83, "\u1f0b\u0399", "\u1f8b" }, { 0x1f84, "\u1f0c\u0399", "\u1f8c" },
    { 0x1f85, "\u1f0d\u0399", "\u1f8d" }, { 0x1f86, "\u1f0e\u0399", "\u1f8e" },
    { 0x1f87, "\u1f0f\u0399", "\u1f8f" }, { 0x1f88, "\u1f08\u0399", "\u1f88" },
    { 0x1f89, "\u1f09\u0399", "\u1f89" }, { 0x1f8a, "\u1f0a\u0399", "\u1f8a" },
    { 0x1f8b, "\u1f0b\u0399", "\u1f8b" }, { 0x1f8c, "\u1f0c\u0399", "\u1f8c" },
    { 0x1f8d, "\u1f0d\u0399", "\u1f8d" }, { 0x1f8e, "\u1f0e\u0399", "\u1f8e" },
    { 0x1f8f, "\u1f0f\u0399", "\u1f8f" }, { 0x1f90, "\u1f28\u0399", "\u1f98" },
    { 0x1f91, "\u1f29\u0399", "\u1f99" }, { 0x1f92, "\u1f2a\u0399", "\u1f9a" },
    { 0x1f93, "\u1f2b\u0399", "\u1f9b" }, { 0x1f94, "\u1f2c\u0399", "\u1f9c" },
    { 0x1f95, "\u1f2d\u0399", "\u1f9d" }, { 0x1f96, "\u1f2e\u0399", "\u1f9e" },
    { 0x1f97, "\u1f2f\u0399", "\u1f9f" }, { 0x1f98, "\u1f28\u0399", "\u1f98" },
    { 0x1f99, "\u1f29\u0399", "\u1f99" }, { 0x1f9a, "\u1f2a\u0399", "\u1f9a" },
    { 0x1f9b, "\u1f2b\u0399", "\u1f9b" }, { 0x1f9c, "\u1f2c\u0399", "\u1f9c" },
    { 0x1f9d, "\u1f2d\u0399", "\u1f9d" }, { 0x1f9e, "\u1f2e\u0399", "\u1f9e" },
    { 0x1f9f, "\u1f2f\u0399", "\u1f9f" }, { 0x1fa0, "\u1f68\u0399", "\u1fa8" },
    { 0x1fa1, "\u1f69\u0399", "\u1fa9" }, { 0x1fa2, "\u1f6a\u0399", "\u1faa" },
    { 0x1fa3, "\u1f6b\u0399", "\u1fab" }, { 0x1fa4, "\u1f6c\u0399", "\u1fac" },
    { 0x1fa5, "\u1f6d\u0399", "\u1fad" }, { 0x1fa6, "\u1f6e\u0399", "\u1fae" },
    { 0x1fa7, "\u1f6f\u0399", "\u1faf" }, { 0x1fa8, "\u1f68\u0399", "\u1fa8" },
    { 0x1fa9, "\u1f69\u0399", "\u1fa9" }, { 0x1faa, "\u1f6a\u0399", "\u1faa" },
    { 0x1fab, "\u1f6b\u0399", "\u1fab" }, { 0x1fac, "\u1f6c\u0399", "\u1fac" },
    { 0x1fad, "\u1f6d\u0399", "\u1fad" }, { 0x1fae, "\u1f6e\u0399", "\u1fae" },
    { 0x1faf, "\u1f6f\u0399", "\u1faf" }, { 0x1fb2, "\u1fba\u0399", "\u1fba\u0345" },
    { 0x1fb3, "\u0391\u0399", "\u1fbc" }, { 0x1fb4, "\u0386\u0399", "\u0386\u0345" },
    { 0x1fb6, "\u0391\u0342", "\u0391\u0342" },
    { 0x1fb7, "\u0391\u0342\u0399", "\u0391\u0342\u0345" }, { 0x1fbc, "\u0391\u0399", "\u1fbc" },
    { 0x1fc2, "\u1fca\u0399", "\u1fca\u0345" }, { 0x1fc3, "\u0397\u0399", "\u1fcc" },
    { 0x1fc4, "\u0389\u0399", "\u0389\u0345" }, { 0x1fc6, "\u0397\u0342", "\u0397\u0342" },
    { 0x1fc7, "\u0397\u0342\u0399", "\u0397\u0342\u0345" }, { 0x1fcc, "\u0397\u0399", "\u1fcc" },
    { 0x1fd2, "\u0399\u0308\u0300", "\u0399\u0308\u0300" },
    { 0x1fd3, "\u0399\u0308\u0301", "\u0399\u0308\u0301" },
    { 0x1fd6, "\u0399\u0342", "\u0399\u0342" },
    { 0x1fd7, "\u0399\u0308\u0342", "\u0399\u0308\u0342" },
    { 0x1fe2, "\u03a5\u0308\u0300", "\u03a5\u0308\u0300" },
    { 0x1fe3, "\u03a5\u0308\u0301", "\u03a5\u0308\u0301" },
    { 0x1fe4, "\u03a1\u0313", "\u03a1\u0313" }, { 0x1fe6, "\u03a5\u0342", "\u03a5\u0342" },
    { 0x1fe7, "\u03a5\u0308\u0342", "\u03a5\u0308\u0342" },
    { 0x1ff2, "\u1ffa\u0399", "\u1ffa\u0345" }, { 0x1ff3, "\u03a9\u0399", "\u1ffc" },
    { 0x1ff4, "\u038f\u0399", "\u038f\u0345" }, { 0x1ff6, "\u03a9\u0342", "\u03a9\u0342" },
    { 0x1ff7, "\u03a9\u0342\u0399", "\u03a9\u0342\u0345" }, { 0x1ffc, "\u03a9\u0399", "\u1ffc" },
    { 0xfb00, "FF", "Ff" }, { 0xfb01, "FI", "Fi" }, { 0xfb02, "FL", "Fl" },
    { 0xfb03, "FFI", "Ffi" }, { 0xfb04, "FFL", "Ffl" }, { 0xfb05, "ST", "St" },
    { 0xfb06, "ST", "St" }, { 0xfb13, "\u0544\u0546", "\u0544\u0576" },
    { 0xfb14, "\u0544\u0535", "\u0544\u0565" }, { 0xfb15, "\u0544\u053b", "\u0544\u056b" },
    { 0xfb16, "\u054e\u0546", "\u054e\u0576" }, { 0xfb17, "\u0544\u053d", "\u0544\u056d" },
};
// clang-format on

static const struct special *special_of(uint32_t cp)
{
    if (cp < SPECIAL[0].cp)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(SPECIAL) && SPECIAL[i].cp <= cp; i++)
        if (SPECIAL[i].cp == cp)
            return &SPECIAL[i];
    return NULL;
}

static bool is_cased(uint32_t cp)
{
    return jcp_lower(cp) || jcp_upper(cp) || category(cp) == UTF8PROC_CATEGORY_LT;
}

static bool is_case_ignorable(uint32_t cp)
{
    static const struct range MID[] = {
        // Word_Break: MidLetter, MidNumLet, Single_Quote
        {0x27, 0x27},     {0x2e, 0x2e},     {0x3a, 0x3a},     {0xb7, 0xb7},
        {0x387, 0x387},   {0x55f, 0x55f},   {0x5f4, 0x5f4},   {0x2018, 0x2019},
        {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13}, {0xfe52, 0xfe52},
        {0xfe55, 0xfe55}, {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a},
    };
    switch (category(cp)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return IN(MID, cp);
    }
}

// Is the sigma at byte `at` the last letter of a word?
static bool is_final_sigma(const struct jstr *s, size_t at)
{
    size_t i = at, len = 0;
    uint32_t cp = 0;

    while (i > 0) {
        do
            i--;
        while (i > 0 && ((unsigned char) s->p[i] & 0xc0) == 0x80);
        cp = jcp_at(s->p + i, &len);
        if (!is_case_ignorable(cp))
            break;
        cp = 0;
    }
    if (!is_cased(cp))
        return false;
    for (i = at + 2; i < s->len; i += len) {
        cp = jcp_at(s->p + i, &len);
        if (!is_case_ignorable(cp))
            return !is_cased(cp);
    }
    return true;
}

static void put_cp(struct jc *c, struct str *out, utf8proc_int32_t cp)
{
    char buf[4];
    jsb(c, out, buf, jcp_put(buf, (uint32_t) cp));
}

static void put_lower(struct jc *c, struct str *out, const struct jstr *s, size_t at, uint32_t cp)
{
    if (cp == 0x3a3)
        put_cp(c, out, is_final_sigma(s, at) ? 0x3c2 : 0x3c3);
    else if (cp == 0x130)
        jsb(c, out, "i\u0307", 3);
    else
        put_cp(c, out, utf8proc_tolower((utf8proc_int32_t) cp));
}

static void put_upper(struct jc *c, struct str *out, uint32_t cp, bool title)
{
    const struct special *sp = special_of(cp);
    if (sp)
        jsb(c, out, title ? sp->title : sp->upper, strlen(title ? sp->title : sp->upper));
    else
        put_cp(c, out,
               title ? utf8proc_totitle((utf8proc_int32_t) cp)
                     : utf8proc_toupper((utf8proc_int32_t) cp));
}

const struct jstr *jstr_case(struct jc *c, const struct jstr *s, enum jcase how)
{
    struct str out = {0};
    bool after_cased = false;
    size_t len;

    for (size_t i = 0; i < s->len && c->err == RT_OK; i += len) {
        const uint32_t cp = jcp_at(s->p + i, &len);
        const bool first = how == JCASE_TITLE ? !after_cased : i == 0;
        bool up = how == JCASE_UPPER || (how != JCASE_LOWER && first);
        if (how == JCASE_SWAP)
            up = jcp_lower(cp);
        if (how == JCASE_SWAP && !up && !jcp_upper(cp))
            put_cp(c, &out, (utf8proc_int32_t) cp);
        else if (up)
            put_upper(c, &out, cp, how == JCASE_TITLE || how == JCASE_CAPITALIZE);
        else
            put_lower(c, &out, s, i, cp);
        after_cased = is_cased(cp);
    }
    return jstr_safe(c, jstr_take(c, &out), s->safe);
}
