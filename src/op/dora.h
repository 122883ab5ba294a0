// src/op/dora.h -- DoRA: each output of a linear with LoRA times its magnitude over the norm of its
// weights.
//
// Source: Liu et al. 2024, arXiv:2402.09353, equation 5, with the norm held constant in the
// gradient (section 4.3); peft 0.21, tuners/lora/dora.py.
#ifndef OP_DORA_H
#define OP_DORA_H

#include "shaders/dora.h"
#include "src/op/op.h"

OP_PARAMS(dora_norm, DORA_NORM_PARAMS);
OP_PARAMS(dora_scale, DORA_SCALE_PARAMS);
OP_PARAMS(dora_back, DORA_BACK_PARAMS);

// norm[r] = |w[r] + scale * d[r]|, the root of the sum of squares;  factor[r] = magnitude[r] /
// norm[r], exactly 1 where they are equal.
struct op_dora_norm_args {
    struct op_vec w;         // (R, ldw) in: f32, f16 or bf16
    struct op_vec d;         // (R, ldd) in: f32, B A
    struct op_vec magnitude; // (R) in: f32
    struct op_vec factor;    // (R) out: f32
    struct op_vec norm;      // (R) out: f32
    uint32_t n_rows, cols;   // R >= 1; C even, >= 2
    uint32_t ldw, ldd;       // multiples of 8, >= C
    float scale;             // finite
};

// y[t][c] = factor[c] * z[t][c] + b[c], rounded once; with `add` that is added to y.
struct op_dora_scale_args {
    struct op_vec z;       // (T, ldz) in: f32
    struct op_vec factor;  // (C) in: f32
    struct op_vec b;       // (C) in: f32, f16 or bf16; buf NULL: no bias
    struct op_vec y;       // (T, ldy) out: f32, f16 or bf16; with `add` f32, in and out
    uint32_t n_rows, cols; // T >= 1; C even, >= 2
    uint32_t ldz, ldy;     // multiples of 8, >= C
    bool add;
};

// dz[t][c] = factor[c] * dy[t][c];  z[t][c] becomes dy[t][c] * z[t][c] / norm[c], whose sum over t
// is the magnitude's gradient.
struct op_dora_back_args {
    struct op_vec dy;           // (T, ldy) in: f32, f16 or bf16
    struct op_vec factor, norm; // (C) in: f32
    struct op_vec z;            // (T, ldz) in and out: f32
    struct op_vec dz;           // (T, ldy) out: f32, f16 or bf16
    uint32_t n_rows, cols;      // T >= 1; C even, >= 2
    uint32_t ldy, ldz;          // multiples of 8, >= C
};

// Errors: RT_E_ARG    a size, stride or number is out of range
//         RT_E_SHAPE  a tensor is smaller than its shape above
//         RT_E_UNSUPPORTED  64 rows exceed what the device binds at once
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_dora_norm(struct rt_cmd *cmd, const struct op_dora_norm_args *a);
RT_NODISCARD enum rt_err op_dora_scale(struct rt_cmd *cmd, const struct op_dora_scale_args *a);
RT_NODISCARD enum rt_err op_dora_back(struct rt_cmd *cmd, const struct op_dora_back_args *a);

// Oracles and host kernels.
void op_dora_norm_ref(const struct rt_host_call *call);
void op_dora_scale_ref(const struct rt_host_call *call);
void op_dora_back_ref(const struct rt_host_call *call);

#endif // OP_DORA_H
