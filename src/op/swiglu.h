// src/op/swiglu.h -- gated activation of the feed-forward block, and its gradient.
#ifndef OP_SWIGLU_H
#define OP_SWIGLU_H

#include "shaders/swiglu.h"
#include "src/op/op.h"

OP_PARAMS(swiglu, SWIGLU_PARAMS);

enum op_act {
    OP_ACT_SILU, // z * sigmoid(z)
    OP_ACT_COUNT
};

// a[t][f] = act(g[t][f]) * u[t][f]. Padding columns of outputs are written as zeros.
// All tensors are (T, ld), f32, f16 or bf16, one stride; none may overlap another.
struct op_swiglu_args {
    struct op_vec g, u; // in: gate, up
    struct op_vec a;    // out
    uint32_t n_rows;    // T, >= 1
    uint32_t cols;      // F, even, >= 2
    uint32_t ld;        // a multiple of 8, >= F
    enum op_act act;
};

// Errors: RT_E_ARG    a number is out of range
//         RT_E_SHAPE  a tensor is smaller than its shape above
//         RT_E_UNSUPPORTED  64 rows exceed what the device binds at once
//         else        what rt_cmd_dispatch() returns
// Source: Shazeer 2020, arXiv:2002.05202, eq. 6 (SwiGLU), without biases.
RT_NODISCARD enum rt_err op_swiglu(struct rt_cmd *cmd, const struct op_swiglu_args *a);

// dg = da * u * act'(g),  du = da * act(g).
struct op_swiglu_backward_args {
    struct op_vec g, u, da; // in
    struct op_vec dg, du;   // out
    uint32_t n_rows, cols, ld;
    enum op_act act;
};

// Errors: as op_swiglu().
RT_NODISCARD enum rt_err op_swiglu_backward(struct rt_cmd *cmd,
                                            const struct op_swiglu_backward_args *a);

// Oracles and host kernels (OP_ACT_SILU).
void op_swiglu_ref(const struct rt_host_call *call);
void op_swiglu_back_ref(const struct rt_host_call *call);

#endif // OP_SWIGLU_H
