// src/op/rows.h -- take rows of a table by number, and add rows into a table by number.
#ifndef OP_ROWS_H
#define OP_ROWS_H

#include "shaders/rows.h"
#include "src/op/op.h"

OP_PARAMS(rows_gather, ROWS_GATHER_PARAMS);
OP_PARAMS(rows_scatter, ROWS_SCATTER_PARAMS);

// y[m][c] = scale * x[ids[m]][c], m < M, c < C; with `add`, added to y. Padding columns of y are
// written as zeros, or with `add` left untouched.
struct op_rows_gather_args {
    struct op_vec x; // (T, ldx) in: f32, f16 or bf16; may exceed a binding's range
    const struct rt_buf
        *ids;          // (M) in: u32, each < T (not checked; other rows of y are left untouched)
    struct op_vec y;   // (M, ldy) out: f32, f16 or bf16, or with `add` in and out: f32; must not
                       // overlap x
    uint32_t n_table;  // T, >= 1
    uint32_t n_rows;   // M, >= 1
    uint32_t cols;     // C, even, >= 2
    uint32_t ldx, ldy; // multiples of 8, >= C
    float scale;       // finite; 1 in most uses
    bool add;
};

// Errors: RT_E_ARG    a number is out of range
//         RT_E_SHAPE  a tensor or ids is smaller than its shape above, or added into and not f32
//         RT_E_UNSUPPORTED  64 rows exceed what the device binds at once
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_rows_gather(struct rt_cmd *cmd, const struct op_rows_gather_args *a);

// Words that op_scatter_index() writes for n ids: 3n + 1, n < 2^30.
static inline uint64_t op_scatter_words(uint32_t n)
{
    return 3 * (uint64_t) n + 1;
}

// Sort ids[0 .. n) so that a kernel can add by group of equal ids: out[0 .. U) the distinct ids,
// ascending; out[n .. n + U] where each one's list begins; out[2n + 1 .. 3n + 1) the positions m,
// ascending within an id. The rest of out is zero. Returns U. n >= 1. Cannot fail; O(n log n).
uint32_t op_scatter_index(const uint32_t *ids, uint32_t n, uint32_t *out);

// dx[t][c] += scale * sum of dy[m][c] over the m with ids[m] == t, in ascending order of m; a
// distinct id of the index that is not below T adds nothing (a source beyond a binding's range is
// cut, and the parts are added in order). Padding columns are not touched.
struct op_rows_scatter_args {
    struct op_vec dy;           // (M, ldy) in: f32, f16 or bf16
    const struct rt_buf *index; // in: u32, op_scatter_words(M) words of op_scatter_index(ids, M)
    struct op_vec dx;           // (T, ldx) in and out: f32; must not overlap dy
    uint32_t n_table;           // T, >= 1
    uint32_t n_rows;            // M, >= 1
    uint32_t n_unique;          // what op_scatter_index() returned, 1 .. M
    uint32_t cols;              // C, even, >= 2
    uint32_t ldx, ldy;          // multiples of 8, >= C
    float scale;                // finite
};

// Errors: as op_rows_gather().
RT_NODISCARD enum rt_err op_rows_scatter_add(struct rt_cmd *cmd,
                                             const struct op_rows_scatter_args *a);

// Oracles and host kernels.
void op_rows_gather_ref(const struct rt_host_call *call);
void op_rows_scatter_ref(const struct rt_host_call *call);

#endif // OP_ROWS_H
