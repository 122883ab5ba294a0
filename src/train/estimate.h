// src/train/estimate.h -- roughly how long a run will take, before anything of it is loaded.
#ifndef TRAIN_ESTIMATE_H
#define TRAIN_ESTIMATE_H

#include "src/train/plan.h"

// Means over the data of the run. An estimate: a measured run is within a factor of two of it.
struct tr_estimate {
    double step_flops;     // products and attention, what is made again included
    double step_bytes;     // that weights, activations and the optimizer move
    double gflops, gbytes; // a second, of products of the model's shapes and of a copy, as measured
    double step_s, run_s;  // step_flops / gflops + step_bytes / gbytes; times the run's steps
    uint64_t steps;
};

// Measures the device of `s` for about a second, once its kernels are compiled. Errors: those of
// ds_order_make and op_bench_matmul.
RT_NODISCARD enum rt_err tr_estimate_make(const struct tr_config *c, const struct tr_session *s,
                                          const struct tr_plan *p, struct tr_estimate *out);

#endif // TRAIN_ESTIMATE_H
