// src/op/rms_norm.h -- RMSNorm over rows, and its gradients.
#ifndef OP_RMS_NORM_H
#define OP_RMS_NORM_H

#include "shaders/rms_norm.h"
#include "src/op/op.h"

OP_PARAMS(rms_norm, RMS_NORM_PARAMS);
OP_PARAMS(rms_norm_dx, RMS_NORM_DX_PARAMS);
OP_PARAMS(rms_norm_dw, RMS_NORM_DW_PARAMS);
OP_PARAMS(rms_norm_dw_sum, RMS_NORM_DW_SUM_PARAMS);

// rstd[t] = 1 / sqrt(mean_c x[t][c]^2 + eps),  y[t][c] = x[t][c] * rstd[t] * (w[c] + w_offset).
// Padding columns of y are written as zeros. A row's result does not depend on the other rows.
struct op_rms_norm_args {
    struct op_vec x;    // (T, ldx) in: f32
    struct op_vec w;    // (C)      in: S (f32, f16 or bf16)
    struct op_vec y;    // (T, ldy) out: S
    struct op_vec rstd; // (T)      out: f32, kept for the backward
    uint32_t n_rows;    // T, >= 1
    uint32_t cols;      // C, even, >= 2
    uint32_t ldx, ldy;  // multiples of 8, >= C
    float eps;          // finite, > 0
    float w_offset;     // 0, or 1 in Gemma, whose weights are stored less one
};

// Errors: RT_E_ARG    a number is out of range
//         RT_E_SHAPE  a tensor is smaller than its shape above
//         RT_E_UNSUPPORTED  64 rows exceed what the device binds at once
//         else        what rt_cmd_dispatch() returns
// Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4; eps and w_offset as in transformers.
RT_NODISCARD enum rt_err op_rms_norm(struct rt_cmd *cmd, const struct op_rms_norm_args *a);

// With xhat = x * rstd, g = dy * (w + w_offset):
//   dx[t][c] += rstd[t] * (g[t][c] - xhat[t][c] * mean_c(g[t] * xhat[t]))
//   dw[c]    += sum_t dy[t][c] * xhat[t][c]      over blocks of 64 rows, then over the blocks, in
//   order
// Padding columns of dx are not touched.
struct op_rms_norm_backward_args {
    struct op_vec dy;             // (T, ldy)  in: f32, f16 or bf16
    struct op_vec x, w, rstd;     // as given to and made by op_rms_norm()
    struct op_vec dx;             // (T, lddx) in and out: f32; must not overlap dy or x
    struct op_vec dw;             // (C)       in and out: f32; buf NULL: w is frozen, no dw is made
    const struct rt_buf *scratch; // f32, op_rms_norm_scratch() elements; may be NULL when dw.buf is
    uint32_t n_rows, cols;        // T, C
    uint32_t ldx, ldy, lddx;      // multiples of 8, >= C
    float w_offset;
};

// Errors: as op_rms_norm().
RT_NODISCARD enum rt_err op_rms_norm_backward(struct rt_cmd *cmd,
                                              const struct op_rms_norm_backward_args *a);

// f32 elements of scratch that the backward of T rows of C columns needs for dw.
uint64_t op_rms_norm_scratch(uint32_t n_rows, uint32_t cols);

// Oracles and host kernels.
void op_rms_norm_ref(const struct rt_host_call *call);
void op_rms_norm_dx_ref(const struct rt_host_call *call);
void op_rms_norm_dw_ref(const struct rt_host_call *call);
void op_rms_norm_dw_sum_ref(const struct rt_host_call *call);

#endif // OP_RMS_NORM_H
