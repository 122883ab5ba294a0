// src/cli/bench.c -- `anydpo bench`: how fast is a device?
#include <string.h>

#include "src/api/bench.h"
#include "src/cli/cmd.h"

enum { DEVICE, SECONDS, CHOSEN, TOKENS, SHAPE, JSON, DISABLE, CLAMP, CACHE };

static const struct cmd_opt OPTS[] = {
    [DEVICE] = CMD_OPT_DEVICE,
    [SECONDS] = {"seconds", CMD_NUM, "0.5", 0, 60, "how long each row is timed; 0: one run"},
    [CHOSEN] = {"chosen", CMD_FLAG, "false", 0, 0,
                "of matmul only the variants that training uses"},
    [TOKENS] = {"tokens", CMD_INT, "1024", 1, 1 << 20, "rows of matmul's shapes"},
    [SHAPE] = {"shape", CMD_STR, "", 0, 0,
               "OUTxIN: matmul's one layer instead, so many outputs and inputs"},
    [JSON] = {"json", CMD_FLAG, "false", 0, 0, "one JSON object a row"},
    [DISABLE] = CMD_OPT_DISABLE,
    [CLAMP] = CMD_OPT_CLAMP,
    [CACHE] = CMD_OPT_CACHE,
    {0},
};

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct api_bench_args a = {.device = opt[DEVICE].str,
                               .disable = opt[DISABLE].str,
                               .clamp = opt[CLAMP].str,
                               .cache_dir = opt[CACHE].str,
                               .seconds = opt[SECONDS].real,
                               .chosen = opt[CHOSEN].flag,
                               .tokens = (uint32_t) opt[TOKENS].num,
                               .shape = opt[SHAPE].str,
                               .json = opt[JSON].flag,
                               .matmul = n == 0,
                               .ops = n == 0,
                               .out = stdout};

    for (int i = 0; i < n; i++) {
        const bool matmul = strcmp(words[i], "matmul") == 0, ops = strcmp(words[i], "ops") == 0;
        if (!matmul && !ops)
            RT_TRY(rt_fail(RT_E_USAGE, "bench: expected matmul or ops, found %.60s", words[i]));
        a.matmul = a.matmul || matmul;
        a.ops = a.ops || ops;
    }
    err = api_bench(&a);
done:
    return err;
}

const struct cmd cmd_bench = {"bench", "how fast a device is: matmul by shape, every op",
                              "[matmul] [ops] [--device D]", OPTS, run};
