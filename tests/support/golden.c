#include "tests/support/golden.h"

#include <stdio.h>

#include "src/base/file.h"

static const char *join(const char *root, const char *sub, const char *name)
{
    static char paths[5][1024];
    static unsigned next;
    char *p = paths[next++ % 5];
    snprintf(p, sizeof(paths[0]), "%s%s/%s", root, sub, name);
    return file_exists(p) || dir_exists(p) ? p : NULL;
}

const char *golden_own_path(const char *name)
{
    const char *source = os_env("ANYDPO_SOURCE");
    return join(source ? source : ".", "/tests/golden", name);
}

const char *golden_path(const char *name)
{
    static int said;
    const char *all = os_env("ANYDPO_GOLDENS"), *p = NULL;
    const int full = all && dir_exists(all);

    if (!said++)
        printf("goldens: %s\n", full ? "the full set" : "the repository's own, tests/golden");
    if (full)
        p = join(all, "", name);
    return p ? p : golden_own_path(name);
}
