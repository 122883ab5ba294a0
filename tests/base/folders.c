// Folders: listing, removing a tree without following links, putting one in another's place.
#include "src/base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(call) assert_int_equal((call), RT_OK)

static void quiet(void *user, enum log_level level, const char *line)
{
    (void) user;
    (void) level;
    (void) line;
}

static int start(void **state)
{
    (void) state;
    log_set_sink(quiet, NULL);
    return dir_remove("folders-work") != RT_OK || dir_make("folders-work/a/b") != RT_OK ||
           file_write("folders-work/z", "1", 1) != RT_OK ||
           file_write("folders-work/a/b/x", "2", 1) != RT_OK;
}

static void lists(void **state)
{
    struct dir_names n;
    (void) state;
    OK(dir_list("folders-work", &n));
    assert_int_equal(n.n, 2);
    assert_string_equal(n.name[0], "a");
    assert_string_equal(n.name[1], "z");
    dir_names_free(&n);
    OK(dir_make("folders-work/none"));
    OK(dir_list("folders-work/none", &n));
    assert_int_equal(n.n, 0);
    assert_int_equal(dir_list("folders-work/absent", &n), RT_E_NOT_FOUND);
    assert_int_equal(dir_list("folders-work/z", &n), RT_E_NOT_FOUND); // not a folder
}

static void removes(void **state)
{
    (void) state;
    assert_int_equal(system("ln -s ../../z folders-work/a/b/link"), 0);
    assert_int_equal(system("ln -s .. folders-work/a/up"), 0);
    OK(dir_remove("folders-work/a"));
    assert_false(dir_exists("folders-work/a"));
    assert_true(file_exists("folders-work/z"));
    OK(dir_remove("folders-work/a"));
    OK(dir_remove("folders-work/z"));
    assert_false(file_exists("folders-work/z"));
}

static void replaces(void **state)
{
    struct str s = {0};
    (void) state;
    OK(dir_make("folders-work/new"));
    OK(file_write("folders-work/new/y", "new", 3));
    OK(dir_replace("folders-work/new", "folders-work/a")); // there is one
    assert_false(dir_exists("folders-work/new"));
    assert_false(dir_exists("folders-work/a/b"));
    OK(file_read("folders-work/a/y", &s));
    assert_string_equal(s.data, "new");
    str_free(&s);
    OK(dir_replace("folders-work/a", "folders-work/c")); // there is none
    assert_true(file_exists("folders-work/c/y"));
    assert_false(dir_exists("folders-work/a"));
    assert_int_equal(dir_replace("folders-work/absent", "folders-work/c"), RT_E_NOT_FOUND);
    assert_true(file_exists("folders-work/c/y"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lists, start),
        cmocka_unit_test_setup(removes, start),
        cmocka_unit_test_setup(replaces, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
