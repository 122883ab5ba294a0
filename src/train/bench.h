// src/train/bench.h -- training steps, timed and held against the device's matmul.
#ifndef TRAIN_BENCH_H
#define TRAIN_BENCH_H

#include "src/train/config.h"

struct tr_bench {
    uint32_t steps;
    // Medians over the steps, whose rows differ; tokens of shared prompts count once.
    double seconds, pairs_per_s, tokens_per_s;
    double useful_gflops; // see tr_bench_step
    double matmul_gflops; // best product of this model's layers in the same storage
};

// `steps` steps of the run that `c` describes, after a first one that is left out; writes nothing.
// Useful FLOPs: 2 N a token for each forward (policy; reference where it runs) and 2 N or, where
// the weights are trained, 4 N for the backward, N = elements of the layers' matrices; the same of
// V * C for each scored position; and attention's visible pairs, 4 D H of them forward and 8 D H
// backward. Errors: as tr_run's.
RT_NODISCARD enum rt_err tr_bench_step(const struct tr_config *c, uint32_t steps,
                                       struct tr_bench *out);

#endif // TRAIN_BENCH_H
