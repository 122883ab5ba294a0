// Lines of a stream, and the clock of templates.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "src/base/file.h"

static void silent(void *user, enum log_level level, const char *line)
{
    (void) user, (void) level, (void) line;
}

static void lines(void **state)
{
    static const char TEXT[] = "one\n\nt\0w\r\nlast";
    static const struct {
        const char *text;
        size_t len;
    } WANT[] = {{"one", 3}, {"", 0}, {"t\0w\r", 4}, {"last", 4}};
    struct str line = {0};
    bool more;
    FILE *f = tmpfile();

    (void) state;
    assert_non_null(f);
    assert_int_equal(fwrite(TEXT, 1, sizeof(TEXT) - 1, f), sizeof(TEXT) - 1);
    rewind(f);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(file_line(f, &line, &more), RT_OK);
        assert_true(more);
        assert_int_equal(line.len, WANT[i].len);
        assert_memory_equal(line.data ? line.data : "", WANT[i].text, line.len);
    }
    assert_int_equal(file_line(f, &line, &more), RT_OK);
    assert_false(more);
    assert_int_equal(line.len, 0);
    str_free(&line);
    fclose(f);
}

static void set_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static void local_clock(void **state)
{
    int64_t now, utc;

    (void) state;
    assert_int_equal(unsetenv("SOURCE_DATE_EPOCH"), 0);
    set_zone("UTC0");
    utc = (int64_t) time(NULL);
    assert_int_equal(os_clock(&now), RT_OK);
    assert_true(now - utc >= 0 && now - utc <= 2);
    set_zone("XXX-05:30");
    utc = (int64_t) time(NULL);
    assert_int_equal(os_clock(&now), RT_OK);
    assert_true(now - utc >= 19800 && now - utc <= 19802);
}

static void fixed_clock(void **state)
{
    static const char *const BAD[] = {"x", "-1", "12x", "253402300800", "99999999999999999999"};
    int64_t now;

    (void) state;
    assert_int_equal(setenv("SOURCE_DATE_EPOCH", "1751620087", 1), 0);
    set_zone("XXX-05:30"); // does not count
    assert_int_equal(os_clock(&now), RT_OK);
    assert_true(now == 1751620087);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(setenv("SOURCE_DATE_EPOCH", BAD[i], 1), 0);
        assert_int_equal(os_clock(&now), RT_E_USAGE);
    }
}

// Captured lines reach the sink when they are replayed, those above the level do not.
static void hear(void *user, enum log_level level, const char *line)
{
    char *all = user;
    snprintf(all + strlen(all), 200 - strlen(all), "%d%s;", (int) level, line);
}

static void capture(void **state)
{
    char heard[200] = "";
    struct str held = {0};

    (void) state;
    log_set_sink(hear, heard);
    log_capture(&held);
    log_warn("one");
    log_debug("two");
    log_info("three %d", 3);
    log_capture(NULL);
    assert_string_equal(heard, "");
    log_warn("first");
    log_replay(&held);
    assert_string_equal(heard, "1first;1one;2three 3;");
    assert_int_equal(held.len, 0);
    log_set_sink(silent, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(local_clock),
        cmocka_unit_test(fixed_clock),
        cmocka_unit_test(capture),
    };
    log_set_sink(silent, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
