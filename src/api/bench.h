// src/api/bench.h -- how fast a device is, as text.
#ifndef API_BENCH_H
#define API_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/err.h"

struct api_bench_args {
    const char *device, *disable, *clamp, *cache_dir; // as the options of train
    bool chosen;     // of matmul's variants only what training uses
    uint32_t tokens; // rows of matmul's shapes in place of 1024
    const char
        *shape;       // "OUTxIN": a layer's outputs and inputs in place of matmul's shapes; or NULL
    bool matmul, ops; // what is timed
    double seconds;   // of each row; 0: one run
    bool json;        // one JSON object a line instead of a table
    FILE *out;        // rows are written as they are done
};

// Errors: RT_E_USAGE for a shape of another form; those of rt_dev_open, op_bench_matmul,
// op_bench_ops.
RT_NODISCARD enum rt_err api_bench(const struct api_bench_args *args);

#endif // API_BENCH_H
