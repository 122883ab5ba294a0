// src/op/act.h -- activation of the feed-forward block, plain or gated, and its gradient.
#ifndef OP_ACT_H
#define OP_ACT_H

#include "shaders/act.h"
#include "src/op/op.h"

OP_PARAMS(act, ACT_PARAMS);

enum op_act {
    OP_ACT_SILU,      // z * sigmoid(z)
    OP_ACT_GELU_TANH, // z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3)))
    OP_ACT_GELU,      // z/2 (1 + erf(z / sqrt(2)))
    OP_ACT_COUNT
};

// a[t][f] = act(g[t][f]) * u[t][f]; without u, act(g[t][f]). Padding columns of outputs are written
// as zeros. All tensors are (T, ld), f32, f16 or bf16, one stride; none may overlap another.
struct op_act_args {
    struct op_vec g, u; // in: gate, up; u.buf NULL: not gated
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
// Source: Shazeer 2020, arXiv:2002.05202, eq. 5 and 6 (GEGLU, SwiGLU), without biases; Hendrycks
// and Gimpel 2016, arXiv:1606.08415, section 2 (GELU).
RT_NODISCARD enum rt_err op_act(struct rt_cmd *cmd, const struct op_act_args *a);

// dg = da * u * act'(g),  du = da * act(g); without u, dg = da * act'(g).
struct op_act_backward_args {
    struct op_vec g, u, da; // in
    struct op_vec dg, du;   // out; du is ignored without u
    uint32_t n_rows, cols, ld;
    enum op_act act;
};

// Errors: as op_act().
RT_NODISCARD enum rt_err op_act_backward(struct rt_cmd *cmd, const struct op_act_backward_args *a);

// A kernel of activations over rows: what op_act() and its relatives in experts.h record.
struct op_act_job {
    const char *kernel;
    struct op_vec v[7]; // (T, ld) each, or (T) f32 where `scalar` is set, in the kernel's order
    bool scalar[7];
    uint32_t n, n_in; // those that are there; those of them that are read
    bool sums;        // a group makes a whole row, for a sum over it
    struct act_params params;
};

// Check the tensors and record the kernel, in as many parts as the binding range asks for. Errors:
// as op_act(), and RT_E_SHAPE where a scalar is not f32.
RT_NODISCARD enum rt_err op_act_record(struct rt_cmd *cmd, const struct op_act_job *job);

// An activation (enum op_act) at z, and its slope there.
struct op_act_value {
    double f, slope;
};
struct op_act_value op_act_at(uint32_t act, double z);

// Oracles and host kernels.
void op_act_ref(const struct rt_host_call *call);
void op_act_gate_ref(const struct rt_host_call *call);
void op_act_back_ref(const struct rt_host_call *call);
void op_act_gate_back_ref(const struct rt_host_call *call);

#endif // OP_ACT_H
