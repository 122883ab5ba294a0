// The disk cache: what was stored comes back, and anything else is as good as absent.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/backend.h"
#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/str.h"

static const char BYTES[] = "a kernel, compiled\0with a NUL inside";
enum { KEY = 0x1234, HEADER = 32, SIZE = HEADER + sizeof(BYTES) };

static unsigned g_lines; // logged since the test began

static void sink(void *user, enum log_level level, const char *line)
{
    (void) user;
    (void) level;
    (void) line;
    g_lines++;
}

static int make_dir(void **state)
{
    char *dir = strdup("/tmp/anydpo-cache-XXXXXX");
    *state = dir;
    g_lines = 0;
    return dir && mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/x-%016x.bin", (char *) *state, KEY);
    unlink(path);
    snprintf(path, sizeof(path), "%s/x-%016x.bin", (char *) *state, KEY + 1);
    unlink(path);
    const int left = rmdir(*state); // fails when a temporary file was left behind
    free(*state);
    return left;
}

static char *path_in(const char *dir, uint64_t key)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/x-%016llx.bin", dir, (unsigned long long) key);
    return path;
}

// What a load gives: BYTES (true) or nothing (false). Anything else fails.
static bool loads(const char *dir, uint64_t key)
{
    struct str s = {0};
    assert_int_equal(rt_cache_load(dir, "x", key, &s), RT_OK);
    const bool got = s.len > 0;
    if (got) {
        assert_int_equal(s.len, sizeof(BYTES));
        assert_memory_equal(s.data, BYTES, sizeof(BYTES));
    }
    str_free(&s);
    return got;
}

static void keeps(void **state)
{
    const char *dir = *state;
    assert_false(loads(dir, KEY));
    rt_cache_store(dir, "x", KEY, BYTES, sizeof(BYTES));
    assert_true(loads(dir, KEY));
    assert_false(loads(dir, KEY + 1));
    rt_cache_store(dir, "x", KEY, "other", 5);
    rt_cache_store(dir, "x", KEY, BYTES, sizeof(BYTES)); // replaced in place
    assert_true(loads(dir, KEY));
    assert_int_equal(g_lines, 0); // an absent file is no event
}

static void needs_no_folder(void **state)
{
    (void) state;
    rt_cache_store(NULL, "x", KEY, BYTES, sizeof(BYTES));
    assert_false(loads(NULL, KEY));
    assert_int_equal(g_lines, 0);
    rt_cache_store("/nonexistent/folder", "x", KEY, BYTES, sizeof(BYTES)); // warns, goes on
    assert_true(g_lines > 0);
    assert_false(loads("/nonexistent/folder", KEY));
}

// Every truncation, every flipped byte, and one byte more.
static void ignores_damage(void **state)
{
    const char *dir = *state, *path = path_in(dir, KEY);
    struct str file = {0};

    rt_cache_store(dir, "x", KEY, BYTES, sizeof(BYTES));
    assert_int_equal(file_read(path, &file), RT_OK);
    assert_int_equal(file.len, SIZE);
    for (size_t n = 0; n < SIZE; n++) {
        assert_int_equal(file_write(path, file.data, n), RT_OK);
        if (loads(dir, KEY))
            fail_msg("a file cut to %zu bytes was believed", n);
    }
    for (size_t i = 0; i < SIZE; i++) {
        file.data[i] ^= 0x40;
        assert_int_equal(file_write(path, file.data, SIZE), RT_OK);
        if (loads(dir, KEY))
            fail_msg("a file with byte %zu flipped was believed", i);
        file.data[i] ^= 0x40;
    }
    assert_int_equal(file_write(path, file.data, SIZE + 1), RT_OK); // with the string's own NUL
    assert_false(loads(dir, KEY));
    assert_int_equal(g_lines, SIZE + SIZE + 1); // each was named
    rt_cache_store(dir, "x", KEY, BYTES, sizeof(BYTES));
    assert_true(loads(dir, KEY)); // and a store repairs it
    str_free(&file);
}

// A sound file under another key's name.
static void checks_the_key(void **state)
{
    const char *dir = *state;
    struct str file = {0};
    rt_cache_store(dir, "x", KEY, BYTES, sizeof(BYTES));
    assert_int_equal(file_read(path_in(dir, KEY), &file), RT_OK);
    assert_int_equal(file_write(path_in(dir, KEY + 1), file.data, file.len), RT_OK);
    assert_false(loads(dir, KEY + 1));
    str_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(needs_no_folder, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(ignores_damage, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(checks_the_key, make_dir, remove_dir),
    };
    log_set_sink(sink, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
