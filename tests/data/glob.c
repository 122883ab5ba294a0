// File patterns: one part by a table; whole ones in a tree of files; hostile ones in time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/arith.h"
#include "src/data/glob.h"

static const struct {
    const char *pattern, *name;
    bool match;
} PARTS[] = {
    {"a.jsonl", "a.jsonl", true},
    {"a.jsonl", "a.json", false},
    {"a.json", "a.jsonl", false},
    {"*", "a", true},
    {"*", ".a", false},
    {".*", ".a", true},
    {"*.jsonl", ".jsonl", false},
    {"*.jsonl", "x.jsonl", true},
    {"*.jsonl", "x.jsonl.gz", false},
    {"a*b*c", "aXbXbXc", true},
    {"a*b*c", "aXbXbX", false},
    {"a*", "a", true},
    {"?", "a", true},
    {"?", "", false},
    {"??", "a", false},
    {"[abc]x", "bx", true},
    {"[abc]x", "dx", false},
    {"[a-c]x", "bx", true},
    {"[!a-c]x", "bx", false},
    {"[!a-c]x", "dx", true},
    {"[]]x", "]x", true},
    {"[a", "[a", true},
    {"[a", "a", false},
    {"x[1-3]*", "x2.csv", true},
    {"[a-]", "-", true},
    {"", "", true},
    {"", "a", false},
    {"part-*-of-*", "part-1-of-2", true},
};

static void parts(void **state)
{
    (void) state;
    for (size_t i = 0; i < COUNT_OF(PARTS); i++)
        if (ds_glob_match(PARTS[i].pattern, PARTS[i].name) != PARTS[i].match)
            fail_msg("%s and %s: expected %d", PARTS[i].pattern, PARTS[i].name, PARTS[i].match);
}

// The files of a tree, and what a pattern finds, joined by spaces.
static const char *const FILES[] = {"g/a.jsonl",     "g/b.csv",       "g/.hidden.jsonl",
                                    "g/README.md",   "g/d/c.jsonl",   "g/d/e/a.jsonl",
                                    "g/d-1/z.jsonl", "g/.git/x.jsonl"};
static const struct {
    const char *pattern, *found; // NULL: RT_E_NOT_FOUND
} FOUND[] = {
    {"g/*.jsonl", "g/a.jsonl"},
    {"g/*", "g/a.jsonl g/b.csv"},
    {"g/.*", "g/.hidden.jsonl"},
    {"./g//*.jsonl", "g/a.jsonl"},
    {"g/*/*.jsonl", "g/d-1/z.jsonl g/d/c.jsonl"},
    {"g/**/*.jsonl", "g/a.jsonl g/d-1/z.jsonl g/d/c.jsonl g/d/e/a.jsonl"},
    {"**/a.jsonl", "g/a.jsonl g/d/e/a.jsonl"},
    {"g/d/**", "g/d/c.jsonl g/d/e/a.jsonl"},
    {"g/**/**/e/*", "g/d/e/a.jsonl"},
    {"g/[ab].*", "g/a.jsonl g/b.csv"},
    {"g/*/README.md", NULL},
    {"g/x*", NULL},
    {"none/*", NULL},
    {"g/a.jsonl/*", NULL},
};

static void trees(void **state)
{
    (void) state;
    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        char folder[64];
        snprintf(folder, sizeof(folder), "%.*s", (int) (strrchr(FILES[i], '/') - FILES[i]),
                 FILES[i]);
        assert_int_equal(dir_make(folder), RT_OK);
        assert_int_equal(file_write(FILES[i], "x", 1), RT_OK);
    }
    for (size_t i = 0; i < COUNT_OF(FOUND); i++) {
        struct dir_names names;
        struct str text = {0};
        assert_int_equal(ds_glob(FOUND[i].pattern, &names),
                         FOUND[i].found ? RT_OK : RT_E_NOT_FOUND);
        for (size_t k = 0; k < names.n; k++)
            assert_int_equal(str_printf(&text, "%s%s", k ? " " : "", names.name[k]), RT_OK);
        if (FOUND[i].found && strcmp(text.data, FOUND[i].found) != 0)
            fail_msg("%s: found %s, expected %s", FOUND[i].pattern, text.data, FOUND[i].found);
        str_free(&text);
        dir_names_free(&names);
    }
}

// Stars that would each try every place, and more parts than a path has.
static void hostile(void **state)
{
    struct dir_names names;
    struct str many = {0}, name = {0};

    (void) state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(str_puts(&many, "*a"), RT_OK);
        assert_int_equal(str_puts(&name, "aa"), RT_OK);
    }
    assert_int_equal(str_puts(&many, "b"), RT_OK);
    assert_false(ds_glob_match(many.data, name.data));
    str_clear(&many);
    for (int i = 0; i < DS_GLOB_DEPTH; i++)
        assert_int_equal(str_puts(&many, "*/"), RT_OK);
    assert_int_equal(ds_glob(many.data, &names), RT_E_UNSUPPORTED);
    str_free(&many);
    str_free(&name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts), cmocka_unit_test(trees),
                                       cmocka_unit_test(hostile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
