// src/op/route.h -- the router of a mixture of experts: which experts a token goes to, with which
// weights, and the rows (a token at an expert) grouped by expert.
//
// T tokens, E experts, K of them a token, M = T K rows. Slot t K + i is token t's i-th expert, the
// larger logit first, of equal ones the lower expert. Row numbers go up with the expert, among rows
// of one expert with the slot: nothing here depends on the order in which a device works.
// Source: transformers 5.23, modeling_mixtral.py and modeling_qwen3_moe.py (TopKRouter,
// load_balancing_loss_func).
#ifndef OP_ROUTE_H
#define OP_ROUTE_H

#include "shaders/route.h"
#include "src/op/op.h"

OP_PARAMS(route, ROUTE_PARAMS);
OP_PARAMS(route_back, ROUTE_BACK_PARAMS);

enum { OP_ROUTE_MAX_EXPERTS = 1024 };

// Tiles of at most ROUTE_TILE rows of one expert that M rows may have: the grid of a product.
static inline uint32_t op_route_tiles(uint32_t n_tokens, uint32_t n_experts, uint32_t top_k)
{
    const uint32_t rows = n_tokens * top_k;
    return rows / ROUTE_TILE + (n_experts < rows ? n_experts : rows);
}

// Words of the index: tokens of the rows (M), rows of the slots (M), experts of the slots (M),
// where each expert's rows begin (E + 1), number of tiles (1), tiles (expert and first row, two
// words each), and counts by block of slots while it is made.
static inline uint64_t op_route_words(uint32_t n_tokens, uint32_t n_experts, uint32_t top_k)
{
    const uint64_t rows = (uint64_t) n_tokens * top_k,
                   blocks = (rows + ROUTE_BLOCK - 1) / ROUTE_BLOCK;
    return 3 * rows + n_experts + 2 + 2 * (uint64_t) op_route_tiles(n_tokens, n_experts, top_k) +
           blocks * n_experts;
}

// Floats of the routing: weights of the rows (M), then of each token its largest logit and 1 / sum
// of exp(logit - largest).
static inline uint64_t op_route_floats(uint32_t n_tokens, uint32_t top_k)
{
    return (uint64_t) n_tokens * (top_k + 2);
}

// weight = softmax(logits)[e]; with `renormalise`, divided by the sum over the token's experts.
struct op_route_args {
    struct op_vec logits;                // (T, ld) in: f32
    struct rt_buf *index;                // u32 out: op_route_words() words
    struct op_vec route;                 // f32 out: op_route_floats()
    uint32_t n_tokens, n_experts, top_k; // T >= 1; 1 <= K <= E <= OP_ROUTE_MAX_EXPERTS; M < 2^30
    uint32_t ld;                         // multiple of 8, >= E
    bool renormalise;
};

// Record the forward. Errors: RT_E_ARG a number is out of range; RT_E_SHAPE a buffer is too small
// or of another type; else what rt_cmd_dispatch() returns, RT_E_UNSUPPORTED where a tensor is
// beyond the device's binding range.
RT_NODISCARD enum rt_err op_route(struct rt_cmd *cmd, const struct op_route_args *a);

// After op_route of the same arguments: sums[e] += sum over t of counts[t] if e is among token t's
// experts, sums[E + e] += sum over t of counts[t] * softmax(logits)[t][e]. One layer's part of the
// load-balancing loss E * sum_e (sums[e] / N) (sums[E + e] / N), N = sum of counts over all layers.
// counts (T) u32, sums (2 E) f32. Errors: as op_route().
RT_NODISCARD enum rt_err op_route_balance(struct rt_cmd *cmd, const struct op_route_args *a,
                                          const struct rt_buf *counts, struct rt_buf *sums);

// dlogits = gradient of  sum over rows of droute[row] * weight[row]
//                      + factor * sum over t, e of sums[e] * counts[t] * softmax(logits)[t][e],
// sums held constant, as the picks are.
struct op_route_backward_args {
    struct op_route_args of;     // of the forward; logits, index and route are read
    struct op_vec droute;        // (M) in: f32
    struct op_vec dlogits;       // (T, ld) out: f32, f16 or bf16; padding columns zero
    uint32_t ldd;                // its stride, a multiple of 8, >= E
    const struct rt_buf *counts; // (T) u32; NULL if factor is 0
    const struct rt_buf *sums;   // (E) f32; NULL if factor is 0
    double factor;               // finite
};

// Errors: as op_route().
RT_NODISCARD enum rt_err op_route_backward(struct rt_cmd *cmd,
                                           const struct op_route_backward_args *a);

// Oracles and host kernels.
void op_route_pick_ref(const struct rt_host_call *call);
void op_route_count_ref(const struct rt_host_call *call);
void op_route_scan_ref(const struct rt_host_call *call);
void op_route_order_ref(const struct rt_host_call *call);
void op_route_weights_ref(const struct rt_host_call *call);
void op_route_balance_ref(const struct rt_host_call *call);
void op_route_back_ref(const struct rt_host_call *call);

#endif // OP_ROUTE_H
