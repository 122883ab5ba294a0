// src/cli/devices.c -- `anydpo devices`: what can be trained on here.
#include <stdio.h>

#include "src/api/devices.h"
#include "src/base/str.h"
#include "src/cli/cmd.h"

enum { JSON };

static const struct cmd_opt OPTS[] = {
    [JSON] = {"json", CMD_FLAG, "false", 0, 0, "one JSON array"},
    {0},
};

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct str out = {0};

    if (n > 0)
        RT_TRY(rt_fail(RT_E_USAGE, "devices: expected no words, found %.60s", words[0]));
    RT_TRY(api_devices(opt[JSON].flag, &out));
    fputs(out.data, stdout);
done:
    str_free(&out);
    return err;
}

const struct cmd cmd_devices = {"devices", "list the devices in the order of `auto`", "[--json]",
                                OPTS, run};
