// src/op/lerp.h -- move one vector towards another.
#ifndef OP_LERP_H
#define OP_LERP_H

#include "shaders/lerp.h"
#include "src/op/master.h"

OP_PARAMS(lerp, LERP_PARAMS);

// y[i] = (1 - alpha) * y[i] + alpha * x[i], with 1 - alpha taken in float64. Source: TRL's
// SyncRefModelCallback.
struct op_lerp_args {
    struct op_master x; // (n) in; must not overlap y
    struct op_master y; // (n) in and out: x's type
    uint64_t n;         // even, >= 2
    double alpha;       // in 0 .. 1
};

// Errors: RT_E_ARG    n is odd or zero, alpha is out of range
//         RT_E_SHAPE  a tensor is smaller than n or not as op_master says; types differ
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_lerp(struct rt_cmd *cmd, const struct op_lerp_args *a);

// Oracle and host kernel, of f32 vectors and of masters.
void op_lerp_ref(const struct rt_host_call *call);
void op_lerp_master_ref(const struct rt_host_call *call);

#endif // OP_LERP_H
