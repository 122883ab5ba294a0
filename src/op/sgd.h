// src/op/sgd.h -- one SGD step on flat parameters, without momentum.
#ifndef OP_SGD_H
#define OP_SGD_H

#include "shaders/sgd.h"
#include "src/op/master.h"

OP_PARAMS(sgd, SGD_PARAMS);

// Elementwise: p -= lr * (grad * mult + weight_decay * p)
struct op_sgd_args {
    struct op_vec grad;        // (n) in: f32
    const struct rt_buf *mult; // (1) in: f32, clip coefficient / (loss scale): op/clip.h
    struct op_master p;        // (n) in and out
    uint64_t n;                // even, >= 2
    float weight_decay;        // part of the gradient, as in torch; finite
    float lr;                  // finite
};

// Errors: RT_E_ARG    n is odd or zero, a number is not finite
//         RT_E_SHAPE  a tensor is smaller than said, p is not as op_master says
//         else        what rt_cmd_dispatch() returns
// Source: torch.optim.SGD with momentum 0.
RT_NODISCARD enum rt_err op_sgd(struct rt_cmd *cmd, const struct op_sgd_args *a);

// Oracle and host kernel, on f32 weights and on masters.
void op_sgd_ref(const struct rt_host_call *call);
void op_sgd_master_ref(const struct rt_host_call *call);

#endif // OP_SGD_H
