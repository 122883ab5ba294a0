// src/op/adamw.h -- one AdamW step on flat parameters.
#ifndef OP_ADAMW_H
#define OP_ADAMW_H

#include "shaders/adamw.h"
#include "src/op/master.h"

OP_PARAMS(adamw, ADAMW_PARAMS);

// The numbers of one step, computed by the caller in double and rounded once.
struct op_adamw_step {
    float decay; // 1 - lr * weight_decay
    float beta1, one_minus_beta1, beta2, one_minus_beta2;
    float step_size;    // lr / (1 - beta1^t)
    float inv_sqrt_bc2; // 1 / sqrt(1 - beta2^t)
    float eps;          // >= 0
};

// Elementwise, in torch's order:
//   g = grad * mult;  p *= decay;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   p -= step_size * m / (sqrt(v) * inv_sqrt_bc2 + eps)
struct op_adamw_args {
    struct op_vec grad;        // (n) in: f32
    const struct rt_buf *mult; // (1) in: f32, clip coefficient / (loss scale): op/clip.h
    struct op_vec m, v;        // (n) in and out: f32
    struct op_master p;        // (n) in and out
    uint64_t n;                // even, >= 2
    struct op_adamw_step step;
};

// Errors: RT_E_ARG    n is odd or zero, a number of the step is not finite
//         RT_E_SHAPE  a tensor is smaller than said, p is not as op_master says
//         else        what rt_cmd_dispatch() returns
// Source: Loshchilov and Hutter 2019, arXiv:1711.05101, alg. 2, in the order of torch.optim.AdamW.
RT_NODISCARD enum rt_err op_adamw(struct rt_cmd *cmd, const struct op_adamw_args *a);

// Oracle and host kernel, on f32 weights and on masters.
void op_adamw_ref(const struct rt_host_call *call);
void op_adamw_master_ref(const struct rt_host_call *call);

#endif // OP_ADAMW_H
