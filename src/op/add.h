// src/op/add.h -- add a multiple of one vector to another.
#ifndef OP_ADD_H
#define OP_ADD_H

#include "shaders/add.h"
#include "src/op/op.h"

OP_PARAMS(add, ADD_PARAMS);

// y[i] += alpha * x[i].
struct op_axpy_args {
    struct op_vec x; // (n) in: f32, f16 or bf16; must not overlap y
    struct op_vec y; // (n) in and out: f32
    uint64_t n;      // even, >= 2
    float alpha;     // finite
};

// Errors: RT_E_ARG    n is odd or zero, alpha is not finite
//         RT_E_SHAPE  a tensor is smaller than n
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_axpy(struct rt_cmd *cmd, const struct op_axpy_args *a);

// Oracle and host kernel.
void op_add_ref(const struct rt_host_call *call);

#endif // OP_ADD_H
