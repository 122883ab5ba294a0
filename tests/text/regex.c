// Oniguruma's expressions as PCRE2's: what becomes of the syntax, what is refused, what matches.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "src/base/arith.h"
#include "src/text/regex.h"
#include "src/text/unicode.h"

static void translates(void **state)
{
    static const char *const ROWS[][2] = {
        {"a+b", "a+b"},
        {" ?\\p{L}+|\\s+(?!\\S)", " ?\\p{L}+|\\s+(?!\\S)"},
        {"\\p{^Lu}\\P{Han}\\p{Decimal_Number}", "\\P{Lu}\\P{sc:Han}\\p{Nd}"},
        {"\\p{N}{1,3}+", "(?:\\p{N}{1,3})+"}, // Ruby: not possessive, but repeated
        {"x(?:ab){2}?", "x(?:(?:ab){2})?"},
        {"a{2,}?", "a{2,}?"},
        {"a{,3}", "a{0,3}"},
        {"a{x", "a\\{x"},
        {"a++b?+", "a++b?+"},
        {"(a)(?<n>b)(?i:c)(?m:d)", "(?:a)(?:b)(?i:c)(?s:d)"},
        {"(?i)a", "(?i)a"},
        {"[^(\\s|[.,]x)]+", "[^(\\s|.,x)]+"}, // a class in a class is a union
        {"[]a]", "[\\]a]"},
        {"\\u4e00\\x{1F600}\\x41\\h\\v", "\\x{4E00}\\x{1F600}\\x{41}[0-9A-Fa-f]\\x0B"},
        {"\\-\\[", "\\-\\["},
        {"\xe4\xbd\xa0+", "\xe4\xbd\xa0+"},
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct str out = {0};
        assert_int_equal(txt_regex_translate(ROWS[i][0], strlen(ROWS[i][0]), "here", &out), RT_OK);
        assert_string_equal(out.data, ROWS[i][1]);
        str_free(&out);
    }
}

static void drop(void *user, enum log_level level, const char *line)
{
    (void) user, (void) level, (void) line;
}

static void refuses(void **state)
{
    static const struct {
        const char *pattern;
        enum rt_err err;
    } ROWS[] = {
        {"[a", RT_E_FORMAT},
        {"(a", RT_E_FORMAT},
        {"a)", RT_E_FORMAT},
        {"a\\", RT_E_FORMAT},
        {"[a&&b]", RT_E_UNSUPPORTED},
        {"[a[^b]]", RT_E_UNSUPPORTED},
        {"[[:alpha:]]", RT_E_UNSUPPORTED},
        {"(a)\\1", RT_E_UNSUPPORTED},
        {"\\p{Foo}", RT_E_UNSUPPORTED},
        {"\\pL", RT_E_UNSUPPORTED},
        {"\\p{L", RT_E_UNSUPPORTED},
        {"(?~a)", RT_E_UNSUPPORTED},
        {"a(?i)b", RT_E_UNSUPPORTED},
        {"\\G", RT_E_UNSUPPORTED},
        {"\\xe9", RT_E_UNSUPPORTED},
        {"\\u12", RT_E_UNSUPPORTED},
        {"\\x{110000}", RT_E_UNSUPPORTED},
        {"\\x{D800}", RT_E_UNSUPPORTED},
        {"[\\W]", RT_E_UNSUPPORTED},
        {"(?<=a+)b", RT_E_UNSUPPORTED},
        {"*a", RT_E_UNSUPPORTED},
    };
    (void) state;
    log_set_sink(drop, NULL);
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct txt_regex *re = (void *) &re;
        const enum rt_err err = txt_regex_create(
            &(struct txt_regex_args){ROWS[i].pattern, strlen(ROWS[i].pattern), false, "here"}, &re);
        if (err != ROWS[i].err)
            print_message("%s: %s\n", ROWS[i].pattern, rt_err_name(err));
        assert_int_equal(err, ROWS[i].err);
        assert_null(re);
    }
    log_set_sink(NULL, NULL);
}

// Matches as "[a][b]", with a dot between where text lies between.
static void matches(void **state)
{
    static const struct {
        const char *pattern;
        bool literal;
        const char *text, *want;
    } ROWS[] = {
        {"a+", false, "aabaa", "[aa].[aa]"},
        {"a*", false, "baac", "[].[aa].[]"}, // none right behind a match
        {"", true, "\xc3\xa9x", "[].[].[]"},
        {"ab", true, "aabxab", ".[ab].[ab]"},
        {"a.b", true, "axba.b", ".[a.b]"},
        {"abc", true, "ab", "."},
        {"^b.$", false, "a\nbc\nd", ".[bc]."}, // lines, always
        {"(?m:a.b)", false, "a\nb", "[a\nb]"},
        {"\\w+", false, "a\xc2\xb2_\xe2\x92\xb6 b", "[a\xc2\xb2_\xe2\x92\xb6].[b]"},
        {"[\\w]+", false,
         "a\xc2\xb2"
         "b",
         "[a].[b]"}, // inside a class without superscripts
        {"\\s", false, "\xe1\xa0\x8e\xc2\xa0", ".[\xc2\xa0]"}, // U+180E is no space
        {"\\p{L}+", false, "a\xee\x80\x80\xf0\xb1\x8d\x90",
         "[a].[\xf0\xb1\x8d\x90]"}, // U+31350: Unicode 15
        {"(?i:'s)", false, "'S's'\xc5\xbf", "['S]['s]['\xc5\xbf]"},
        {"[0-9]{1,2}+x", false, "12345x", "[12345x]"},
        {"\\bab\\b", false, "ab abc ab", "[ab].[ab]"},
    };
    uint8_t *chars;

    (void) state;
    assert_int_equal(txt_chars_create(&chars), RT_OK);
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct txt_regex *re;
        struct txt_scan scan = {0};
        struct str out = {0};
        size_t at = 0, start, end;
        bool found;
        assert_int_equal(
            txt_regex_create(&(struct txt_regex_args){ROWS[i].pattern, strlen(ROWS[i].pattern),
                                                      ROWS[i].literal, "here"},
                             &re),
            RT_OK);
        assert_int_equal(txt_scan_begin(&scan, re, chars, ROWS[i].text, strlen(ROWS[i].text)),
                         RT_OK);
        for (;;) {
            assert_int_equal(txt_scan_next(&scan, &start, &end, &found), RT_OK);
            if (start > at || !found)
                if (!found ? at < strlen(ROWS[i].text) : true)
                    assert_int_equal(str_putc(&out, '.'), RT_OK);
            if (!found)
                break;
            assert_int_equal(str_printf(&out, "[%.*s]", (int) (end - start), ROWS[i].text + start),
                             RT_OK);
            at = end;
        }
        assert_string_equal(out.data, ROWS[i].want);
        str_free(&out);
        txt_scan_free(&scan);
        txt_regex_destroy(&re);
    }
    free(chars);
}

// An expression that takes forever ends in an error, not in a hang.
static void limits(void **state)
{
    static const char PATTERN[] = "(?:a|aa|a)+[bc]";
    struct txt_regex *re;
    struct txt_scan scan = {0};
    uint8_t *chars;
    char text[64];
    size_t start, end;
    bool found;

    (void) state;
    log_set_sink(drop, NULL);
    memset(text, 'a', sizeof(text));
    assert_int_equal(txt_chars_create(&chars), RT_OK);
    assert_int_equal(
        txt_regex_create(&(struct txt_regex_args){PATTERN, sizeof(PATTERN) - 1, false, "here"},
                         &re),
        RT_OK);
    assert_int_equal(txt_scan_begin(&scan, re, chars, text, sizeof(text)), RT_OK);
    assert_int_equal(txt_scan_next(&scan, &start, &end, &found), RT_E_UNSUPPORTED);
    assert_false(found);
    log_set_sink(NULL, NULL);
    txt_scan_free(&scan);
    txt_regex_destroy(&re);
    free(chars);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(translates), cmocka_unit_test(refuses),
                                       cmocka_unit_test(matches), cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
