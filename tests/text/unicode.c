// UTF-8, classes, case and normal forms: small rows here, and every code point against
// ANYDPO_GOLDENS/tokenizers/unicode when it is there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/text/regex.h"
#include "src/text/unicode.h"

static int make_chars(void **state)
{
    uint8_t *chars;
    if (txt_chars_create(&chars))
        return -1;
    *state = chars;
    return 0;
}

static int free_chars(void **state)
{
    free(*state);
    return 0;
}

static void utf8(void **state)
{
    static const uint32_t EDGES[] = {0,      0x7f,   0x80,   0x7ff,   0x800,
                                     0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff};
    static const struct {
        const char *s;
        size_t len, valid, tail;
    } ROWS[] = {
        {"", 0, 0, 0},
        {"abc", 3, 3, 0},
        {"ab\xe4", 3, 2, 1},
        {"\xe4\xbd", 2, 0, 2},
        {"\xe4\xbd\xa0", 3, 3, 0},
        {"\xf0\x9f\x98", 3, 0, 3},
        {"\xf0\x9f\x98\x80", 4, 4, 0},
        {"\xc0", 1, 0, 0},
        {"\xed\xa0", 2, 0, 0},
        {"\xf4\x90", 2, 0, 0},
        {"\x80\x80", 2, 0, 0},
        {"0123456789\xff", 11, 10, 0},
        {"\0\0", 2, 2, 0},
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(EDGES); i++) {
        char buf[TXT_UTF8_MAX];
        uint32_t c;
        const size_t n = txt_utf8_put(buf, EDGES[i]);
        assert_int_equal(txt_utf8_get(buf, &c), n);
        assert_int_equal(c, EDGES[i]);
        assert_int_equal(txt_utf8_last(buf, buf + n, &c), n);
        assert_int_equal(c, EDGES[i]);
        assert_int_equal(txt_utf8_valid(buf, n), n);
    }
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        assert_int_equal(txt_utf8_valid(ROWS[i].s, ROWS[i].len), ROWS[i].valid);
        assert_int_equal(txt_utf8_tail(ROWS[i].s, ROWS[i].len), ROWS[i].tail);
    }
}

static void lower(void **state)
{
    static const uint32_t ROWS[][3] = {
        {'A', 'a', 0},          {'a', 'a', 0},       {'@', '@', 0},         {0xc0, 0xe0, 0},
        {0xd7, 0xd7, 0},        {0x130, 'i', 0x307}, {0x100, 0x101, 0},     {0x101, 0x101, 0},
        {0x1e9e, 0xdf, 0},      {0x3a3, 0x3c3, 0},   {0x10400, 0x10428, 0}, {0x212a, 'k', 0},
        {0x10ffff, 0x10ffff, 0}};
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        uint32_t to[2] = {0, 0};
        assert_int_equal(txt_lower(ROWS[i][0], to), ROWS[i][2] ? 2 : 1);
        assert_int_equal(to[0], ROWS[i][1]);
        assert_int_equal(to[1], ROWS[i][2]);
    }
}

static void forms(void **state)
{
    static const struct {
        const char *in, *form[4];
    } ROWS[] = {
        // NFC, NFD, NFKC, NFKD
        {"abc", {"abc", "abc", "abc", "abc"}},
        {"e\xcc\x81", {"\xc3\xa9", "e\xcc\x81", "\xc3\xa9", "e\xcc\x81"}},
        {"xe\xcc\x81y", {"x\xc3\xa9y", "xe\xcc\x81y", "x\xc3\xa9y", "xe\xcc\x81y"}},
        {"\xef\xac\x81", {"\xef\xac\x81", "\xef\xac\x81", "fi", "fi"}},
        // dot above before dot below: reordered
        {"q\xcc\x87\xcc\xa3",
         {"q\xcc\xa3\xcc\x87", "q\xcc\xa3\xcc\x87", "q\xcc\xa3\xcc\x87", "q\xcc\xa3\xcc\x87"}},
        // U+32FF is newer than the tables: it stays
        {"\xe3\x8b\xbf", {"\xe3\x8b\xbf", "\xe3\x8b\xbf", "\xe3\x8b\xbf", "\xe3\x8b\xbf"}},
        // U+1DF6 has a combining class since Unicode 10 only: it does not move
        {"a\xe1\xb7\xb6\xcc\xa3",
         {"a\xe1\xb7\xb6\xcc\xa3", "a\xe1\xb7\xb6\xcc\xa3", "a\xe1\xb7\xb6\xcc\xa3",
          "a\xe1\xb7\xb6\xcc\xa3"}},
    };
    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        for (int f = 0; f < 4; f++) {
            struct str out = {0};
            assert_int_equal(
                txt_normal_form(*state, (enum txt_form) f, ROWS[i].in, strlen(ROWS[i].in), &out),
                RT_OK);
            assert_string_equal(out.data, ROWS[i].form[f]);
            str_free(&out);
        }
}

// A run of marks that is too long for insertion is sorted by counting, stably.
static void long_runs(void **state)
{
    struct str in = {0}, want = {0}, out = {0};

    assert_int_equal(str_putc(&in, 'q'), RT_OK);
    assert_int_equal(str_putc(&want, 'q'), RT_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(str_puts(&in, i % 2   ? "\xcc\xa3"
                                       : i % 4 ? "\xcc\x87"
                                               : "\xcc\x88"),
                         RT_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(str_puts(&want, "\xcc\xa3"), RT_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(str_puts(&want, i % 2 ? "\xcc\x87" : "\xcc\x88"), RT_OK);
    assert_int_equal(txt_normal_form(*state, TXT_NFD, in.data, in.len, &out), RT_OK);
    assert_string_equal(out.data, want.data);
    str_free(&in);
    str_free(&want);
    str_free(&out);
}

// ---- the goldens ----

static json_t *golden(const char *name)
{
    struct str path = {0}, text = {0};
    json_t *doc = NULL;
    const char *root = os_env("ANYDPO_GOLDENS");

    assert_int_equal(str_printf(&path, "%s/tokenizers/unicode/%s", root ? root : "", name), RT_OK);
    if (root && file_exists(path.data)) {
        assert_int_equal(file_read(path.data, &text), RT_OK);
        assert_int_equal(fmt_jansson_parse(text.data, text.len, name, 1, &doc), RT_OK);
    } else {
        print_message("no %s: skipped\n", path.data);
    }
    str_free(&path);
    str_free(&text);
    return doc;
}

static void fill(const json_t *ranges, uint8_t *set)
{
    memset(set, 0, TXT_CODE_POINTS);
    for (size_t i = 0; i < json_array_size(ranges); i++) {
        const json_t *r = json_array_get(ranges, i);
        const size_t first = (size_t) json_integer_value(json_array_get(r, 0));
        memset(set + first, 1, (size_t) json_integer_value(json_array_get(r, 1)) - first + 1);
    }
}

static void fill_by_regex(const uint8_t *chars, const char *pattern, const struct str *all,
                          uint8_t *set)
{
    struct txt_regex *re;
    struct txt_scan scan = {0};
    size_t start, end;
    bool found;

    memset(set, 0, TXT_CODE_POINTS);
    assert_int_equal(
        txt_regex_create(&(struct txt_regex_args){pattern, strlen(pattern), false, pattern}, &re),
        RT_OK);
    assert_int_equal(txt_scan_begin(&scan, re, chars, all->data, all->len), RT_OK);
    for (;;) {
        uint32_t c;
        assert_int_equal(txt_scan_next(&scan, &start, &end, &found), RT_OK);
        if (!found)
            break;
        assert_int_equal(end - start, txt_utf8_get(all->data + start, &c));
        set[c] = 1;
    }
    txt_scan_free(&scan);
    txt_regex_destroy(&re);
}

static void classes(void **state)
{
    static const struct {
        const char *name;
        uint16_t flag;
    } FLAGS[] = {
        {"\\p{L}", TXT_L},
        {"\\p{N}", TXT_N},
        {"\\s", TXT_SPACE},
        {"pre_tokenizer Digits", TXT_NUMERIC},
        {"pre_tokenizer Punctuation", TXT_PUNCT},
    };
    const uint8_t *chars = *state;
    json_t *doc = golden("classes.json");
    uint8_t *want = malloc(TXT_CODE_POINTS), *got = malloc(TXT_CODE_POINTS);
    struct str all = {0};
    size_t n = 0;
    const char *name;
    json_t *ranges;

    assert_true(want && got);
    assert_int_equal(str_reserve(&all, (size_t) TXT_CODE_POINTS * 4), RT_OK);
    for (uint32_t c = 0; c < TXT_CODE_POINTS; c++)
        if (c < 0xd800 || c >= 0xe000)
            all.len += txt_utf8_put(all.data + all.len, c);
    json_object_foreach(doc, name, ranges)
    {
        if (name[0] != '\\')
            continue;
        fill(ranges, want);
        memset(want + 0xd800, 0, 0x800); // no text has surrogates
        fill_by_regex(chars, name, &all, got);
        for (uint32_t c = 0; c < TXT_CODE_POINTS; c++)
            if (want[c] != got[c] && !(c >= 0x10EFC && c <= 0x10EFF)) // see regex.h
                fail_msg("%s: U+%04X wanted %d", name, (unsigned) c, want[c]);
        n++;
    }
    for (size_t i = 0; doc && i < COUNT_OF(FLAGS); i++) {
        fill(json_object_get(doc, FLAGS[i].name), want);
        for (uint32_t c = 0; c < TXT_CODE_POINTS; c++)
            assert_int_equal(want[c], (txt_char_flags(chars, c) & FLAGS[i].flag) != 0);
    }
    assert_true(!doc || n >= 20);
    json_decref(doc);
    free(want);
    free(got);
    str_free(&all);
}

static enum rt_err change(const uint8_t *chars, const char *what, const char *s, size_t n,
                          struct str *out)
{
    static const char *const FORMS[] = {"NFC", "NFD", "NFKC", "NFKD"};
    for (size_t f = 0; f < COUNT_OF(FORMS); f++)
        if (strcmp(FORMS[f], what) == 0)
            return txt_normal_form(chars, (enum txt_form) f, s, n, out);
    for (size_t i = 0; i < n;) {
        uint32_t c, to[2];
        size_t k = 1;
        char buf[TXT_UTF8_MAX];
        i += txt_utf8_get(s + i, &c);
        to[0] = c;
        if (strcmp(what, "Lowercase") == 0)
            k = txt_lower(c, to);
        else if (txt_char_flags(chars, c) & TXT_ACCENT)
            k = 0;
        for (size_t j = 0; j < k; j++) {
            const enum rt_err err = str_append(out, buf, txt_utf8_put(buf, to[j]));
            if (err)
                return err;
        }
    }
    return RT_OK;
}

static void single_changes(void **state)
{
    json_t *doc = golden("normalizers.json"), *map;
    const char *what;

    json_object_foreach(doc, what, map)
    {
        for (uint32_t c = 0; c < TXT_CODE_POINTS; c++) {
            char hex[8], in[TXT_UTF8_MAX];
            struct str out = {0}, want = {0};
            const json_t *to;
            if (c >= 0xd800 && c < 0xe000)
                continue;
            if (c >= 0xac00 && c < 0xd7a4 &&
                (strcmp(what, "NFD") == 0 || strcmp(what, "NFKD") == 0))
                continue; // Hangul, left out of the file
            snprintf(hex, sizeof(hex), "%04X", (unsigned) c);
            to = json_object_get(map, hex);
            if (to) {
                char *p = (char *) (uintptr_t) json_string_value(to);
                while (*p) {
                    char buf[TXT_UTF8_MAX];
                    assert_int_equal(
                        str_append(&want, buf, txt_utf8_put(buf, (uint32_t) strtoul(p, &p, 16))),
                        RT_OK);
                }
            } else {
                assert_int_equal(str_append(&want, in, txt_utf8_put(in, c)), RT_OK);
            }
            assert_int_equal(change(*state, what, in, txt_utf8_put(in, c), &out), RT_OK);
            if (out.len != want.len || (want.len && memcmp(out.data, want.data, want.len) != 0))
                fail_msg("%s: U+%04X", what, (unsigned) c);
            str_free(&out);
            str_free(&want);
        }
    }
    json_decref(doc);
}

static void string_changes(void **state)
{
    json_t *doc = golden("normalize_strings.json");
    const json_t *columns = json_object_get(doc, "columns"), *rows = json_object_get(doc, "rows"),
                 *low = json_object_get(doc, "lowercase");

    assert_true(!doc || json_array_size(rows) > 100);
    for (size_t i = 0; i < json_array_size(rows) + json_array_size(low); i++) {
        const bool is_low = i >= json_array_size(rows);
        const json_t *row =
            is_low ? json_array_get(low, i - json_array_size(rows)) : json_array_get(rows, i);
        const json_t *in = json_array_get(row, 0);
        for (size_t k = 1; k < json_array_size(row); k++) {
            const json_t *want = json_array_get(row, k);
            struct str out = {0};
            assert_int_equal(
                change(*state, is_low ? "Lowercase" : json_string_value(json_array_get(columns, k)),
                       json_string_value(in), json_string_length(in), &out),
                RT_OK);
            assert_int_equal(out.len, json_string_length(want));
            assert_memory_equal(out.data ? out.data : "", json_string_value(want), out.len);
            str_free(&out);
        }
    }
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8),           cmocka_unit_test(lower),
        cmocka_unit_test(forms),          cmocka_unit_test(long_runs),
        cmocka_unit_test(classes),        cmocka_unit_test(single_changes),
        cmocka_unit_test(string_changes),
    };
    return cmocka_run_group_tests(tests, make_chars, free_chars);
}
