// src/op/cast.h -- copy a tensor into another storage type.
#ifndef OP_CAST_H
#define OP_CAST_H

#include "shaders/cast.h"
#include "src/op/op.h"

OP_PARAMS(cast, CAST_PARAMS);

// y[i] = scale * x[i], rounded to nearest even when y is narrower.
struct op_cast_args {
    const struct rt_buf *x; // (n) in: f32, f16 or bf16
    struct rt_buf *y;       // (n) out: f32, f16 or bf16
    uint64_t n;             // even, >= 2
    float scale;            // finite; 0 = 1
};

// Errors: RT_E_ARG n is odd or zero, scale is not finite; RT_E_SHAPE a buffer is smaller than n;
// else rt_cmd_dispatch()'s.
RT_NODISCARD enum rt_err op_cast(struct rt_cmd *cmd, const struct op_cast_args *a);

// Oracle and host kernel.
void op_cast_ref(const struct rt_host_call *call);

#endif // OP_CAST_H
