// src/op/embed.h -- token embedding and its gradient. Two names for row gather and scatter
// (rows.h).
#ifndef OP_EMBED_H
#define OP_EMBED_H

#include "src/op/rows.h"

// x[t][c] = scale * w[ids[t]][c]; with `add`, added to x. Padding columns of x are written as
// zeros, or with `add` left untouched.
struct op_embed_args {
    struct op_vec w;          // (V, ldw) in: S (f32, f16 or bf16); may exceed a binding's range
    const struct rt_buf *ids; // (T) in: u32, each < V (not checked)
    struct op_vec x;          // (T, ldx) out: f32
    uint32_t n_vocab;         // V
    uint32_t n_tokens;        // T
    uint32_t cols;            // C, even
    uint32_t ldw, ldx;        // multiples of 8
    float scale;              // finite; 1, or sqrt(C) in Gemma
    bool add;                 // embeddings of positions, on top of those of tokens
};

// Errors: as op_rows_gather(); RT_E_SHAPE also when x is not f32.
RT_NODISCARD enum rt_err op_embed(struct rt_cmd *cmd, const struct op_embed_args *a);

// dw[v][c] += scale * sum of dx[t][c] over the tokens with id v.
struct op_embed_backward_args {
    struct op_vec dx;           // (T, ldx) in: f32
    const struct rt_buf *index; // in: u32, of op_scatter_index(ids, T)
    struct op_vec dw;           // (V, ldw) in and out: f32
    uint32_t n_vocab;           // V
    uint32_t n_tokens;          // T
    uint32_t n_unique;          // what op_scatter_index() returned
    uint32_t cols;              // C, even
    uint32_t ldw, ldx;          // multiples of 8
    float scale;                // that of the forward
};

// Errors: as op_rows_scatter_add().
RT_NODISCARD enum rt_err op_embed_backward(struct rt_cmd *cmd,
                                           const struct op_embed_backward_args *a);

#endif // OP_EMBED_H
