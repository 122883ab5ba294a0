// The README's list of options is the table's.
#include <stdio.h>
#include <string.h>

#include "src/api/options.h"
#include "src/base/file.h"
#include "tests/t.h"

static void options(void **state)
{
    static const char BEGIN[] = "<!-- options: by tools/readme_options -->\n",
                      END[] = "<!-- end of options -->\n";
    char path[1200];
    const char *source = os_env("ANYDPO_SOURCE");
    struct str readme = {0}, want = {0};
    (void) state;
    snprintf(path, sizeof(path), "%s/README.md", source ? source : ".");
    T_OK(file_read(path, &readme));
    T_OK(options_markdown(&want));
    const char *begin = strstr(readme.data, BEGIN), *end = strstr(readme.data, END);
    if (!begin || !end || begin > end)
        fail_msg("%s has no section between %s and %s", path, BEGIN, END);
    begin += strlen(BEGIN);
    if ((size_t) (end - begin) != want.len || memcmp(begin, want.data, want.len) != 0)
        fail_msg("the options in %s are not those of the table: run tools/readme_options", path);
    str_free(&readme);
    str_free(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(options)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
