// src/op/lerp.h -- move one vector towards another.
#ifndef OP_LERP_H
#define OP_LERP_H

#include "shaders/lerp.h"
#include "src/op/op.h"

OP_PARAMS(lerp, LERP_PARAMS);

// y[i] = (1 - alpha) * y[i] + alpha * x[i], with 1 - alpha taken in float64. Source: TRL's
// SyncRefModelCallback.
struct op_lerp_args {
    struct op_vec x; // (n) in: f32; must not overlap y
    struct op_vec y; // (n) in and out: f32
    uint64_t n;      // even, >= 2
    double alpha;    // in 0 .. 1
};

// Errors: RT_E_ARG    n is odd or zero, alpha is out of range
//         RT_E_SHAPE  a tensor is smaller than n
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_lerp(struct rt_cmd *cmd, const struct op_lerp_args *a);

// Oracle and host kernel.
void op_lerp_ref(const struct rt_host_call *call);

#endif // OP_LERP_H
