// src/cli/tune.c -- `anydpo tune`: find what is fastest on a device, for later runs.
#include "src/api/tune.h"
#include "src/cli/cmd.h"

enum { DEVICE, SECONDS, JSON, RESET, DISABLE, CLAMP, CACHE };

static const struct cmd_opt OPTS[] = {
    [DEVICE] = CMD_OPT_DEVICE,
    [SECONDS] = {"seconds", CMD_NUM, "0.2", 0.001, 60, "how long each product is timed"},
    [JSON] = {"json", CMD_FLAG, "false", 0, 0, "one JSON object a row"},
    [RESET] = {"reset", CMD_FLAG, "false", 0, 0, "forget what was found"},
    [DISABLE] = CMD_OPT_DISABLE,
    [CLAMP] = CMD_OPT_CLAMP,
    [CACHE] = {"cache_dir", CMD_STR, NULL, 0, 0, "folder that the result is kept in"},
    {0},
};

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    if (n > 0)
        return rt_fail(RT_E_USAGE, "tune: expected --OPTION, found %.60s", words[0]);
    return api_tune(&(struct api_tune_args){.device = opt[DEVICE].str,
                                            .disable = opt[DISABLE].str,
                                            .clamp = opt[CLAMP].str,
                                            .cache_dir = opt[CACHE].str,
                                            .seconds = opt[SECONDS].real,
                                            .json = opt[JSON].flag,
                                            .reset = opt[RESET].flag,
                                            .out = stdout});
}

const struct cmd cmd_tune = {"tune", "find the fastest kernels of a device and keep the choice",
                             "[--device D]", OPTS, run};
