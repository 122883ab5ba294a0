// src/op/colsum.h -- sums over the rows of a matrix: the gradient of a bias.
#ifndef OP_COLSUM_H
#define OP_COLSUM_H

#include "shaders/colsum.h"
#include "src/op/op.h"

OP_PARAMS(colsum, COLSUM_PARAMS);
OP_PARAMS(colsum_add, COLSUM_ADD_PARAMS);

enum { OP_COLSUM_BLOCK = 64 }; // rows of one partial sum

// y[c] += sum_t x[t][c], over blocks of 64 rows, then over the blocks, in order.
struct op_colsum_args {
    struct op_vec x;              // (T, ld) in: f32, f16 or bf16
    struct op_vec y;              // (C) in and out: f32; `first` may be any number
    const struct rt_buf *scratch; // f32, op_colsum_scratch() elements
    uint32_t n_rows;              // T, >= 1
    uint32_t cols;                // C, even, >= 2
    uint32_t ld;                  // a multiple of 8, >= C
};

// Errors: RT_E_ARG    a number is out of range
//         RT_E_SHAPE  a tensor or scratch is smaller than its shape above
//         RT_E_UNSUPPORTED  64 rows exceed what the device binds at once
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_colsum(struct rt_cmd *cmd, const struct op_colsum_args *a);

// f32 elements of scratch for T rows of C columns.
uint64_t op_colsum_scratch(uint32_t n_rows, uint32_t cols);

// Stride of the blocks' sums in scratch: each begins at a bindable place.
uint32_t op_colsum_stride(uint32_t cols);

// The second half, for ops that make the blocks' sums themselves: y += those of n_blocks blocks.
RT_NODISCARD enum rt_err op_colsum_add(struct rt_cmd *cmd, const struct rt_buf *scratch,
                                       uint32_t n_blocks, uint32_t cols, struct op_vec y);

// Oracles and host kernels.
void op_colsum_ref(const struct rt_host_call *call);
void op_colsum_add_ref(const struct rt_host_call *call);

#endif // OP_COLSUM_H
