// src/op/sumsq.h -- sum of squares of a long vector, for the norm of the gradient.
#ifndef OP_SUMSQ_H
#define OP_SUMSQ_H

#include "shaders/sumsq.h"
#include "src/base/arith.h"
#include "src/op/op.h"

OP_PARAMS(sumsq, SUMSQ_PARAMS);

// How many partial sums a vector of n elements gives.
static inline uint64_t op_sumsq_parts(uint64_t n)
{
    return div_up(n, SUMSQ_BLOCK);
}

// part[part_first + b] = sum of x[i]^2 over the b-th block of SUMSQ_BLOCK elements. The host adds
// the parts, in double. Inf and NaN in x, and squares beyond f32's range, come out as Inf or NaN.
struct op_sumsq_args {
    struct op_vec x; // (n) in: f32
    uint64_t n;      // 1 .. 2^40
    struct rt_buf
        *part; // f32 out: op_sumsq_parts(n) numbers from part_first on; the rest is untouched
    uint32_t part_first;
};

// Errors: RT_E_ARG    n is out of range
//         RT_E_SHAPE  x or part is smaller than said, or not f32
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_sumsq(struct rt_cmd *cmd, const struct op_sumsq_args *a);

// Oracle and host kernel.
void op_sumsq_ref(const struct rt_host_call *call);

#endif // OP_SUMSQ_H
