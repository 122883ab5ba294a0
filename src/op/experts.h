// src/op/experts.h -- linear layers of a mixture of experts: products of rows that op_route() has
// grouped by expert, each with its own expert's weight, and the sums that bring rows back to
// tokens.
//
// How many rows an expert has is known on the device alone: grids are made for the most tiles that
// there can be (op_route_tiles()), and groups beyond those that there are do nothing. Rows are
// gathered with op_rows_gather(), whose ids are the beginning of the index.
#ifndef OP_EXPERTS_H
#define OP_EXPERTS_H

#include "shaders/experts.h"
#include "src/op/act.h"
#include "src/op/matmul.h"
#include "src/op/route.h"

OP_PARAMS(experts_matmul, EXPERTS_MATMUL_PARAMS);
OP_PARAMS(experts_wide, EXPERTS_WIDE_PARAMS);
OP_PARAMS(experts_sum, EXPERTS_SUM_PARAMS);

// The routing of a pass. M = n_tokens * top_k rows.
struct op_experts {
    const struct rt_buf *index; // of op_route()
    uint32_t n_tokens, n_experts, top_k;
};

// With e the expert of row r, W_e (R, C) its weight:
//   OP_NT  c[r] (R) = W_e a[r]            a (M, C)
//   OP_NN  c[r] (C) = W_e^T a[r]          a (M, R)
//   OP_TN  dW_e += sum over its rows of a[r] b[r]^T, f32      a (M, R), b (M, C)
// Every element is summed in f32 (f64 on the host), of a row in an order of the columns alone, of
// dW_e in that of the rows, and rounded once. The wide variants sum as those of op_matmul() do.
struct op_experts_matmul_args {
    enum op_matmul_form form;
    struct op_experts of;
    uint32_t w_rows, w_cols;     // R, C, each even, >= 2
    struct op_mat a, b;          // first 0; b with OP_TN alone
    const struct op_mat *w;      // (E) with OP_NT, OP_NN; type of a
    struct op_mat_out c;         // (M, R) or (M, C), first 0: f32, or the type of a
    const struct op_mat_out *dw; // (E) with OP_TN: f32
    enum op_matmul_variant
        variant; // OP_MATMUL_AUTO; _TILE, _WIDE, _BF16_DOT where the device has it
};

// Errors: RT_E_ARG a number is out of range, a stride or a place no multiple of 8; RT_E_SHAPE a
// buffer is too small or of another type; RT_E_UNSUPPORTED 128 rows or one weight are beyond the
// binding range, or the device lacks the variant; else what rt_cmd_dispatch() returns.
RT_NODISCARD enum rt_err op_experts_matmul(struct rt_cmd *cmd,
                                           const struct op_experts_matmul_args *a);

// Whether the device can run the products in a variant on operands of this type, and which one
// OP_MATMUL_AUTO means.
bool op_experts_has(const struct rt_dev *dev, enum op_matmul_variant variant, enum rt_type type);
enum op_matmul_variant op_experts_choice(const struct rt_dev *dev, enum rt_type type);

// y[t] = sum over the token's rows of x (+ y[t]), in the order of its slots.
struct op_experts_sum_args {
    struct op_experts of;
    struct op_vec x; // (M, ldx) in: f32, f16 or bf16; must not overlap y
    struct op_vec y; // (T, ldy) out, with `add` in and out: f32; padding zero, with `add` untouched
    uint32_t cols;   // even, >= 2
    uint32_t ldx, ldy; // multiples of 8, >= cols
    bool add;
};

// Errors: as op_experts_matmul().
RT_NODISCARD enum rt_err op_experts_sum(struct rt_cmd *cmd, const struct op_experts_sum_args *a);

// a[m][c] = w[m] * act(g[m][c]) * u[m][c], padding zero.
struct op_experts_act_args {
    struct op_vec g, u; // (M, ld) in: f32, f16 or bf16
    struct op_vec w;    // (M) in: f32
    struct op_vec a;    // (M, ld) out
    uint32_t n_rows;    // M, >= 1
    uint32_t cols, ld;  // even, >= 2; a multiple of 8, >= cols
    enum op_act act;
};
// Errors: as op_act(), and RT_E_SHAPE w is too small.
RT_NODISCARD enum rt_err op_experts_act(struct rt_cmd *cmd, const struct op_experts_act_args *a);

// From the gradient da of a: dg, du (M, ld), padding zero, and dw (M) f32.
struct op_experts_act_backward_args {
    struct op_vec g, u, w, da; // in, as above
    struct op_vec dg, du, dw;  // out
    uint32_t n_rows, cols, ld;
    enum op_act act;
};
RT_NODISCARD enum rt_err op_experts_act_backward(struct rt_cmd *cmd,
                                                 const struct op_experts_act_backward_args *a);

// Oracles and host kernels.
void op_experts_matmul_ref(const struct rt_host_call *call);
void op_experts_sum_ref(const struct rt_host_call *call);
void op_experts_act_ref(const struct rt_host_call *call);
void op_experts_act_back_ref(const struct rt_host_call *call);

#endif // OP_EXPERTS_H
