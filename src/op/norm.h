// src/op/norm.h -- RMSNorm and LayerNorm over rows, and their gradients.
#ifndef OP_NORM_H
#define OP_NORM_H

#include "shaders/norm.h"
#include "src/op/op.h"

OP_PARAMS(norm, NORM_PARAMS);
OP_PARAMS(norm_dx, NORM_DX_PARAMS);
OP_PARAMS(norm_dw, NORM_DW_PARAMS);

enum op_norm_kind {
    OP_NORM_RMS,  // mean = 0 below
    OP_NORM_LAYER // mean[t] = mean_c x[t][c]
};

// f32 elements of stats a row: rstd; LAYER: rstd, mean.
static inline uint32_t op_norm_stats(enum op_norm_kind kind)
{
    return kind == OP_NORM_LAYER ? 2 : 1;
}

// rstd[t] = 1 / sqrt(mean_c (x[t][c] - mean[t])^2 + eps),
// y[t][c] = (x[t][c] - mean[t]) * rstd[t] * (w[c] + w_offset) + b[c].
// Padding columns of y are written as zeros, or with `add` left untouched. A row's result does not
// depend on the other rows. A norm of each head is one of T * H rows of D columns (D a multiple of
// 8).
struct op_norm_args {
    enum op_norm_kind kind;
    struct op_vec x;     // (T, ldx) in: f32, f16 or bf16
    struct op_vec w;     // (C)      in: S (f32, f16 or bf16)
    struct op_vec b;     // (C)      in: S; buf NULL = none
    struct op_vec y;     // (T, ldy) out: S, or with `add` in and out: f32
    struct op_vec stats; // (T, op_norm_stats()) out: f32, kept for the backward
    uint32_t n_rows;     // T, >= 1
    uint32_t cols;       // C, even, >= 2
    uint32_t ldx, ldy;   // multiples of 8, >= C
    float eps;           // finite, > 0
    float w_offset;      // 0, or 1 in Gemma, whose weights are stored less one
    bool add;            // y += the result; y is f32
};

// Errors: RT_E_ARG    a number is out of range
//         RT_E_SHAPE  a tensor is smaller than its shape above, or added into and not f32
//         RT_E_UNSUPPORTED  64 rows exceed what the device binds at once
//         else        what rt_cmd_dispatch() returns
// Source: Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4; Ba et al. 2016, arXiv:1607.06450, eq. 4
// (the variance is of C, not C - 1); eps and w_offset as in transformers.
RT_NODISCARD enum rt_err op_norm(struct rt_cmd *cmd, const struct op_norm_args *a);

// With xhat = (x - mean) * rstd, g = dy * (w + w_offset), and mean_c(g) = 0 for RMS:
//   dx[t][c]  = rstd[t] * (g[t][c] - mean_c(g[t]) - xhat[t][c] * mean_c(g[t] * xhat[t]))
//   dw[c]    += sum_t dy[t][c] * xhat[t][c],  db[c] += sum_t dy[t][c]   as op_colsum() adds
// Padding columns of dx are written as zeros, or with `add` left untouched.
struct op_norm_backward_args {
    enum op_norm_kind kind;
    struct op_vec dy;             // (T, ldy)  in: f32, f16 or bf16
    struct op_vec x, w, stats;    // as given to and made by op_norm()
    struct op_vec dx;             // (T, lddx) out: S, or with `add` in and out: f32; must not
                                  // overlap dy or x
    struct op_vec dw, db;         // (C) in and out: f32; buf NULL: frozen, or there is none
    const struct rt_buf *scratch; // f32, op_norm_scratch() elements; may be NULL without dw and db
    uint32_t n_rows, cols;        // T, C
    uint32_t ldx, ldy, lddx;      // multiples of 8, >= C
    float w_offset;
    bool add; // dx += the result; dx is f32
};

// Errors: as op_norm().
RT_NODISCARD enum rt_err op_norm_backward(struct rt_cmd *cmd,
                                          const struct op_norm_backward_args *a);

// f32 elements of scratch that the backward of T rows of C columns needs for dw and db.
uint64_t op_norm_scratch(uint32_t n_rows, uint32_t cols);

// Oracles and host kernels.
void op_norm_ref(const struct rt_host_call *call);
void op_norm_dx_ref(const struct rt_host_call *call);
void op_norm_dw_ref(const struct rt_host_call *call);

#endif // OP_NORM_H
