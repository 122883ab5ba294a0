// src/api/tune.h -- find what is fastest on a device and keep it in the cache folder.
#ifndef API_TUNE_H
#define API_TUNE_H

#include <stdbool.h>
#include <stdio.h>

#include "src/base/err.h"

struct api_tune_args {
    const char *device, *disable, *clamp, *cache_dir; // as the options of train
    double seconds;                                   // of each product of a candidate
    bool json;                                        // one JSON object a line instead of a table
    bool reset;                                       // forget what was found instead
    FILE *out;
};

// Errors: those of rt_dev_open and op_tune.
RT_NODISCARD enum rt_err api_tune(const struct api_tune_args *args);

#endif // API_TUNE_H
