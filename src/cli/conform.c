// src/cli/conform.c -- `anydpo conform`: does a device compute right?
#include "src/api/conform.h"
#include "src/cli/cmd.h"

enum { DEVICE, JSON, DISABLE, CLAMP, CACHE };

static const struct cmd_opt OPTS[] = {
    [DEVICE] = CMD_OPT_DEVICE,
    [JSON] = {"json", CMD_FLAG, "false", 0, 0, "one JSON object a row"},
    [DISABLE] = CMD_OPT_DISABLE,
    [CLAMP] = CMD_OPT_CLAMP,
    [CACHE] = CMD_OPT_CACHE,
    {0},
};

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    uint32_t failed = 0;

    if (n > 0)
        RT_TRY(rt_fail(RT_E_USAGE, "conform: expected --OPTION, found %.60s", words[0]));
    RT_TRY(api_conform(&(struct api_conform_args){.device = opt[DEVICE].str,
                                                  .disable = opt[DISABLE].str,
                                                  .clamp = opt[CLAMP].str,
                                                  .cache_dir = opt[CACHE].str,
                                                  .json = opt[JSON].flag,
                                                  .out = stdout},
                       &failed));
    if (failed)
        err = rt_fail(RT_E_NUMERIC, "%u results are out of their bounds", failed);
done:
    return err;
}

const struct cmd cmd_conform = {"conform", "hold every op on a device against the float64 oracle",
                                "[--device D]", OPTS, run};
