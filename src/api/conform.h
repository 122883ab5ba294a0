// src/api/conform.h -- the conformance table of a device, as text.
#ifndef API_CONFORM_H
#define API_CONFORM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/err.h"

struct api_conform_args {
    const char *device, *disable, *clamp, *cache_dir; // as the options of train
    bool json;                                        // one JSON object a line instead of a table
    FILE *out;                                        // rows are written as they are done
};

// Every op, storage type and variant on the device against the float64 oracle. *failed counts the
// rows out of bounds. Errors: those of rt_dev_open and op_conform.
RT_NODISCARD enum rt_err api_conform(const struct api_conform_args *args, uint32_t *failed);

#endif // API_CONFORM_H
