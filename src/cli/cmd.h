// src/cli/cmd.h -- a subcommand: its name, its help, its options, its function.
#ifndef CLI_CMD_H
#define CLI_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"

enum cmd_kind { CMD_FLAG, CMD_INT, CMD_NUM, CMD_STR };

// A row is parser, help and default at once. `def` NULL: not given.
struct cmd_opt {
    const char *name;
    enum cmd_kind kind;
    const char *def;
    double min, max; // numbers
    const char *help;
};

// Rows of every command that opens a device.
// clang-format off
#define CMD_OPT_DEVICE {"device", CMD_STR, "auto", 0, 0, "auto | host | vulkan:N | opencl:N"}
#define CMD_OPT_DISABLE {"disable", CMD_STR, NULL, 0, 0, "rungs of the device to do without"}
#define CMD_OPT_CLAMP {"clamp", CMD_STR, NULL, 0, 0, "limits of the device to lower"}
#define CMD_OPT_CACHE {"cache_dir", CMD_STR, NULL, 0, 0, "folder of compiled kernels"}
// clang-format on

union cmd_val {
    bool flag;
    int64_t num;
    double real;
    const char *str; // NULL = not given
};

// `run` gets the values in the order of `opts` (ends with a NULL name) and the words that are no
// options. A command with opts NULL parses its words itself. Data goes to stdout, messages through
// the log.
struct cmd {
    const char *name, *summary, *usage;
    const struct cmd_opt *opts;
    enum rt_err (*run)(const union cmd_val *opt, int n_words, char **words);
};

// The signal that asked the last command to stop; 0 = none.
int cmd_signal(void);

extern const struct cmd cmd_train, cmd_generate, cmd_eval, cmd_devices, cmd_conform, cmd_convert,
    cmd_tokenize, cmd_chat, cmd_inspect, cmd_bench, cmd_bench_step, cmd_plan, cmd_tune;

#endif // CLI_CMD_H
