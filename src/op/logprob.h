// src/op/logprob.h -- linear head + log-softmax + gather: log-probs of target tokens without their
// logits.
//
// Logits exist for one chunk of rows and of the vocabulary at a time. The target's column is kept
// out of the running maximum and sum, so that confident tokens lose nothing (design.md section 4).
#ifndef OP_LOGPROB_H
#define OP_LOGPROB_H

#include "shaders/logprob.h"
#include "src/op/matmul.h"
#include "src/op/op.h"

OP_PARAMS(logprob_stats, LOGPROB_STATS_PARAMS);
OP_PARAMS(logprob_finish, LOGPROB_FINISH_PARAMS);
OP_PARAMS(logprob_grad, LOGPROB_GRAD_PARAMS);
OP_PARAMS(logprob_cap, LOGPROB_CAP_PARAMS);
OP_PARAMS(logprob_sweep, LOGPROB_SWEEP_PARAMS);
OP_PARAMS(logprob_dh, LOGPROB_DH_PARAMS);
OP_PARAMS(logprob_scale, LOGPROB_SCALE_PARAMS);

// Columns of the result, a row of 8 floats a target. l = logits, t = target, nats.
enum op_logprob_column {
    OP_LOGPROB_LOGP,      // l[t] - lse, <= 0
    OP_LOGPROB_LSE,       // log sum_v exp(l[v])
    OP_LOGPROB_LSE_OTHER, // the same without v = t
    OP_LOGPROB_MEAN,      // mean_v l[v]
    OP_LOGPROB_HIT,       // 1 if argmax l = t (ties: the lowest index is the argmax), else 0
    OP_LOGPROB_ENTROPY,   // lse - sum_v p[v] l[v]
    OP_LOGPROB_TARGET,    // l[t]
    OP_LOGPROB_WEIGHT,    // with `squares`: logp - log sum_v p[v]^2 (WPO's log weight of a token,
                          // arXiv:2406.11827); else 0
    OP_LOGPROB_COLUMNS
};

// How the work is cut. The bits of results depend on chunk_v alone; both are kept in the
// configuration.
struct op_logprob_chunks {
    uint32_t rows;  // a multiple of 64; 0 = 1024
    uint32_t vocab; // a multiple of 128; 0 = 8192. Less than V's own size is used when V is smaller
};

// Scratch that op_logprob() and op_logprob_backward() need, in elements. Contents need not be kept.
struct op_logprob_sizes {
    uint64_t logits;  // f32
    uint64_t dlogits; // S; the backward and the sweep alone
    uint64_t state;   // f32; the forward alone
    uint64_t matmul;  // f32; 0 = none
};
struct op_logprob_scratch {
    struct rt_buf *logits, *dlogits, *state, *matmul;
};

// Sizes for up to M rows of C columns, V words and storage type S; `backward` also counts what it
// or a forward that makes dh needs.
struct op_logprob_sizes op_logprob_sizes(const struct rt_dev *dev, enum rt_type type,
                                         uint32_t n_rows, uint32_t cols, uint32_t n_vocab,
                                         struct op_logprob_chunks chunks, bool backward);

// Elements of scratch.logits where all of them are kept, f32.
uint64_t op_logprob_all_logits(const struct rt_dev *dev, uint32_t n_rows, uint32_t n_vocab,
                               struct op_logprob_chunks chunks);

// A row's result does not depend on M or on the other rows.
struct op_logprob_args {
    struct op_mat h; // (M, C) in: S (f32, f16 or bf16), after the last norm; first: multiple of 128
    struct op_mat w; // (V, C) in: S, the head; first: multiple of 128
    const struct rt_buf *targets; // (M) in: u32, each < V (not checked)
    struct rt_buf *result;        // (M, 8) out: f32, enum op_logprob_column
    uint32_t n_rows;              // M, >= 1
    uint32_t cols;                // C, even
    uint32_t n_vocab;             // V, >= 2
    float logit_scale;            // finite; 0 = 1 = none
    float softcap;                // finite, >= 0; 0 = none
    struct op_logprob_chunks chunks;
    struct op_logprob_scratch scratch;
    bool squares;         // make OP_LOGPROB_WEIGHT too
    bool keep;            // leave all logits in scratch.logits, for a backward that is `kept`; not
                          // together with dh
    struct op_mat_out dh; // (M, C) out: f32, d logp[m] / dh[m]; first: multiple of 128; buf NULL:
                          // not made
};

// l[v] = softcap * tanh(x / softcap), without a cap x, with x = logit_scale * <h, w[v]>.
// logp = -log1p(exp(lse_other - l[t])), exact for confident and for hopeless tokens alike.
// Where dh is asked for (a frozen head), the backward is op_logprob_scale() of it: the same sweep
// over the vocabulary sums e[v] l'[v] w[v], l' = dl/d<h, w>, e[v] = exp(l[v] - max), max the
// largest of the others so far and what was summed before moved over to it, and
//   dh = (1 - p) * (l'[t] w[t] - sum_{v != t} e[v] l'[v] w[v] / sum_{v != t} e[v]).
// Two products of M V C then, instead of the three of a forward and a backward. The other results
// have the same bits with and without it. e[v] l'[v] is rounded to S: off by half a unit in the
// last place, of random signs; in f16, below 2^-29 of the largest, by up to 2^-40 of it.
// Errors: RT_E_ARG    a number is out of range
//         RT_E_SHAPE  a tensor or scratch is smaller than said
//         RT_E_UNSUPPORTED  64 rows of a chunk exceed what the device binds at once
//         else        what op_matmul() or rt_cmd_dispatch() returns
// Source: design.md section 6.4; online softmax: Milakov and Gimelshein 2018, arXiv:1805.02867,
// alg. 3; the sum is that of flash attention with keys and values W.
RT_NODISCARD enum rt_err op_logprob(struct rt_cmd *cmd, const struct op_logprob_args *a);

// With coef = dL/dlogp: dlogits[v] = coef * ([v = t] - p[v]), the target's own entry being
// coef * exp(lse_other - lse), each times dl/d<h, w[v]>, rounded to S (a multiple of the loss scale
// keeps it in f16's range);
//   dh += dlogits w,  dw += dlogits^T h.
struct op_logprob_backward_args {
    struct op_mat h, w;           // as in the forward
    const struct rt_buf *targets; // as in the forward
    const struct rt_buf *result;  // (M, 8) in: f32, made by the forward
    const struct rt_buf *coef;    // (M) in: f32, 1/nats
    struct op_mat_out dh;         // (M, C) in and out: f32; first: multiple of 128
    struct op_mat_out dw; // (V, C) in and out: f32; buf NULL: the head is frozen, no dw is made
    uint32_t n_rows, cols, n_vocab;
    float logit_scale, softcap; // as in the forward
    struct op_logprob_chunks chunks;
    struct op_logprob_scratch scratch; // state is not used
    bool kept; // scratch.logits is as a forward of the same sizes left it: the same bits, one
               // product less
};

// Errors: as op_logprob().
RT_NODISCARD enum rt_err op_logprob_backward(struct rt_cmd *cmd,
                                             const struct op_logprob_backward_args *a);

// dh[m] *= coef[m]: the backward of a forward that made dh.
// Errors: RT_E_ARG, RT_E_SHAPE, RT_E_UNSUPPORTED, else what rt_cmd_dispatch() returns.
RT_NODISCARD enum rt_err op_logprob_scale(struct rt_cmd *cmd, struct op_mat_out dh,
                                          const struct rt_buf *coef, uint32_t n_rows,
                                          uint32_t cols);

// The logits of n_rows rows of v_count columns, stride ld, from what the products gave, in place:
// logit_scale and softcap as above, and nothing at all where there is neither.
// Errors: RT_E_ARG, RT_E_SHAPE, else what rt_cmd_dispatch() returns.
RT_NODISCARD enum rt_err op_logprob_cap(struct rt_cmd *cmd, struct rt_buf *logits, uint32_t n_rows,
                                        uint32_t ld, uint32_t v_count, float logit_scale,
                                        float softcap);

// logit_scale as the kernels take it.
static inline float op_logprob_logit_scale(float logit_scale)
{
    return logit_scale > 0.0f || logit_scale < 0.0f ? logit_scale : 1.0f;
}

// The part of op_logprob() that makes OP_LOGPROB_WEIGHT, for it alone: one chunk, and the end of
// n_rows rows from `row` on.
struct op_logprob_squares_args {
    const struct rt_buf *logits, *targets;
    struct rt_buf *state;
    uint32_t row, n_rows, ld, v_begin, v_count;
    uint64_t first; // where the chunk begins in logits
};
RT_NODISCARD enum rt_err op_logprob_squares(struct rt_cmd *cmd,
                                            const struct op_logprob_squares_args *a);
RT_NODISCARD enum rt_err op_logprob_squares_finish(struct rt_cmd *cmd,
                                                   const struct op_logprob_squares_args *a,
                                                   struct rt_buf *result);

// The parts of op_logprob() that make dh: one chunk after its statistics, for rows `row` on; and
// their end, after their results.
struct op_logprob_sweep_args {
    const struct op_logprob_args *all;
    uint32_t row, n_rows, ld, v_begin, v_count;
};
RT_NODISCARD enum rt_err op_logprob_sweep(struct rt_cmd *cmd,
                                          const struct op_logprob_sweep_args *a);
RT_NODISCARD enum rt_err op_logprob_sweep_finish(struct rt_cmd *cmd,
                                                 const struct op_logprob_sweep_args *a);

// Oracles and host kernels.
void op_logprob_sweep_ref(const struct rt_host_call *call);
void op_logprob_dh_ref(const struct rt_host_call *call);
void op_logprob_scale_ref(const struct rt_host_call *call);
void op_logprob_squares_ref(const struct rt_host_call *call);
void op_logprob_squares_finish_ref(const struct rt_host_call *call);
void op_logprob_stats_ref(const struct rt_host_call *call);
void op_logprob_finish_ref(const struct rt_host_call *call);
void op_logprob_grad_ref(const struct rt_host_call *call);
void op_logprob_cap_ref(const struct rt_host_call *call);

#endif // OP_LOGPROB_H
