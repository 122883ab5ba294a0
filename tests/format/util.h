// tests/format/util.h -- what the tests of this folder share: captured messages and scratch
// folders.
#ifndef TESTS_FORMAT_UTIL_H
#define TESTS_FORMAT_UTIL_H

#include <dirent.h>
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

struct u_log {
    unsigned n; // messages since u_listen
    char text[4096];
};

static inline void u_sink(void *user, enum log_level level, const char *line)
{
    struct u_log *log = user;
    (void) level;
    log->n++;
    snprintf(log->text, sizeof(log->text), "%s", line);
}

// Capture messages into *log until u_listen(NULL).
static inline void u_listen(struct u_log *log)
{
    if (log)
        *log = (struct u_log){0};
    log_set_sink(log ? u_sink : NULL, log);
}

// The call gave `want`, logged once, and the message holds `word`.
#define U_FAILS(want, word, call)                                                                  \
    do {                                                                                           \
        struct u_log u_l;                                                                          \
        u_listen(&u_l);                                                                            \
        const enum rt_err u_e = (call);                                                            \
        u_listen(NULL);                                                                            \
        if (u_e != (want) || u_l.n != 1 || !strstr(u_l.text, (word)))                              \
            fail_msg("%s: expected %s and \"%s\", found %s and %u messages, the last \"%s\"",      \
                     #call, rt_err_name(want), (word), rt_err_name(u_e), u_l.n, u_l.text);         \
    } while (0)

#define U_OK(call) assert_int_equal((call), RT_OK)

// A fresh scratch folder. u_drop() it.
static inline char *u_dir(void)
{
    struct str s = {0};
    const char *tmp = os_env("TMPDIR");
    U_OK(str_printf(&s, "%s/anydpo-test-XXXXXX", tmp ? tmp : "/tmp"));
    assert_non_null(mkdtemp(s.data));
    return s.data;
}

// dir/name; free() it.
static inline char *u_in(const char *dir, const char *name)
{
    char *path;
    U_OK(path_join(dir, name, &path));
    return path;
}

// Remove the folder and the files in it, and free the name.
static inline void u_drop(char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        char *path = u_in(dir, e->d_name);
        if (e->d_name[0] != '.')
            remove(path);
        free(path);
    }
    if (d)
        closedir(d);
    remove(dir);
    free(dir);
}

// A golden's path, or NULL when the goldens are not there; free() it.
static inline char *u_golden(const char *name)
{
    struct str s = {0};
    const char *dir = os_env("ANYDPO_GOLDENS");
    if (!dir || !dir_exists(dir)) {
        print_message("[  SKIPPED ] no goldens (ANYDPO_GOLDENS): %s\n", name);
        return NULL;
    }
    U_OK(str_printf(&s, "%s/%s", dir, name));
    return s.data;
}

#endif // TESTS_FORMAT_UTIL_H
