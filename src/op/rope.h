// src/op/rope.h -- rotary position embedding.
#ifndef OP_ROPE_H
#define OP_ROPE_H

#include "shaders/rope.h"
#include "src/op/op.h"

OP_PARAMS(rope, ROPE_PARAMS);

// For each head, with R rotated elements, j < R/2, c = cos_table[pos[t]][j], s =
// sin_table[pos[t]][j]:
//   y[j]       = x[j] * c       - x[j + R/2] * s
//   y[j + R/2] = x[j + R/2] * c + x[j] * s
// with `pairs` likewise of x[2j] and x[2j + 1]; y = x for the elements from R on. `inverse` turns
// the other way (s = -s): the gradient of the forward. Padding columns of y are written as zeros.
struct op_rope_args {
    struct op_vec x;                // (T, ldx) in: S (f32, f16 or bf16), [t][h * D + d]
    const struct rt_buf *cos_table; // (P, R/2) in: f32
    const struct rt_buf *sin_table; // (P, R/2) in: f32
    const struct rt_buf *pos;       // (T) in: u32, each < P (not checked)
    struct op_vec y;                // (T, ldy) out: S; must not overlap x
    uint32_t n_rows;                // T, >= 1
    uint32_t n_heads;               // H, >= 1
    uint32_t head_dim;              // D, even, >= 2
    uint32_t rot_dim;               // R, even, 2 .. D; 0 = D
    uint32_t n_pos;                 // P, >= 1
    uint32_t ldx, ldy;              // multiples of 8, >= H * D
    bool inverse;
    bool pairs; // elements 2j and 2j + 1 turn together, not j and j + R/2
};

// Errors: RT_E_ARG    a number is out of range
//         RT_E_SHAPE  a tensor or table is smaller than its shape above
//         RT_E_UNSUPPORTED  64 rows, or a table, exceed what the device binds at once
//         else        what rt_cmd_dispatch() returns
// Source: Su et al. 2021, arXiv:2104.09864, eq. 34 (its layout is `pairs`); layout: transformers'
// rotate_half, of llama and of cohere.
RT_NODISCARD enum rt_err op_rope(struct rt_cmd *cmd, const struct op_rope_args *a);

// Oracle and host kernel.
void op_rope_ref(const struct rt_host_call *call);

#endif // OP_ROPE_H
