// src/op/tune.h -- which matmul variant and tile are fastest on a device.
#ifndef OP_TUNE_H
#define OP_TUNE_H

#include "src/op/bench.h"

// What a device is tuned for: the wide layers of a 135 M model at 1024 tokens.
extern const struct op_bench_shape OP_TUNE_SHAPES[];
extern const size_t OP_TUNE_SHAPE_COUNT;

// One candidate, timed over the products of a layer.
struct op_tune_row {
    enum rt_type type;
    enum op_matmul_variant variant;
    int32_t tile;  // of OP_MATMUL_TILE, else 0
    double gflops; // all products' FLOPs over all their time
    bool rough;    // from one run each, because it was far from the fastest
};

// Try every variant that the device has, and every tile, in each storage type on `shapes`, and set
// what is fastest on `dev` (rt_dev_tune); the default stays unless another is 3 % faster. No choice
// among tiles changes a bit; another variant may. `row` is called for each candidate, and then for
// each winner. Errors: those of op_bench_matmul; then nothing is set.
RT_NODISCARD enum rt_err
op_tune(struct rt_dev *dev, const struct op_bench_shape *shapes, size_t n_shapes, double seconds,
        void (*row)(void *user, const struct op_tune_row *row, bool winner), void *user);

#endif // OP_TUNE_H
