// src/cli/job.h -- a job (anydpo.h) out of the words of a command line.
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include "anydpo.h"
#include "src/base/err.h"

// --config RECIPE, --name value..., --name=value, --flag, --no_flag; several words make a list.
// With --help as the first word the help is printed and *out is NULL with RT_OK.
RT_NODISCARD enum rt_err cmd_job_make(const char *command, int n, char **words,
                                      struct anydpo_job **out);

// The library's status as an error code; what failed is logged already.
RT_NODISCARD enum rt_err cmd_job_err(enum anydpo_status status);

#endif // CLI_JOB_H
