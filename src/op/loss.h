// src/op/loss.h -- TRL's preference losses and their gradients over a batch of pairs.
#ifndef OP_LOSS_H
#define OP_LOSS_H

#include "shaders/loss.h"
#include "src/op/op.h"

OP_PARAMS(loss, LOSS_PARAMS);
OP_PARAMS(loss_fold, LOSS_FOLD_PARAMS);

// TRL's loss_type and f_divergence_type, by the kernel's numbers.
enum op_loss_type {
    OP_LOSS_SIGMOID = LOSS_SIGMOID,
    OP_LOSS_HINGE = LOSS_HINGE,
    OP_LOSS_IPO = LOSS_IPO,
    OP_LOSS_EXO_PAIR = LOSS_EXO_PAIR,
    OP_LOSS_ROBUST = LOSS_ROBUST,
    OP_LOSS_DISCOPOP = LOSS_DISCOPOP,
    OP_LOSS_SIGMOID_NORM = LOSS_SIGMOID_NORM,
    OP_LOSS_AOT = LOSS_AOT,
    OP_LOSS_AOT_UNPAIRED = LOSS_AOT_UNPAIRED,
    OP_LOSS_CDPO = LOSS_CDPO,
    OP_LOSS_SIMPO = LOSS_SIMPO,
    OP_LOSS_NCA_PAIR = LOSS_NCA_PAIR,
    OP_LOSS_BCO_PAIR = LOSS_BCO_PAIR,
    OP_LOSS_SPPO_HARD = LOSS_SPPO_HARD,
    OP_LOSS_APO_ZERO = LOSS_APO_ZERO,
    OP_LOSS_APO_DOWN = LOSS_APO_DOWN,
    OP_LOSS_SFT = LOSS_SFT,
    OP_LOSS_ORPO = LOSS_ORPO,
    OP_LOSS_TYPES
};
enum op_divergence {
    OP_REVERSE_KL = LOSS_REVERSE_KL,
    OP_FORWARD_KL = LOSS_FORWARD_KL,
    OP_JS_DIVERGENCE = LOSS_JS,
    OP_ALPHA_DIVERGENCE = LOSS_ALPHA,
    OP_DIVERGENCES
};

const char *op_loss_name(enum op_loss_type t);        // "sigmoid"
const char *op_divergence_name(enum op_divergence d); // "reverse_kl"
bool op_loss_takes_divergence(
    enum op_loss_type t); // another than reverse_kl has a meaning for it in TRL
bool op_loss_needs_batch(
    enum op_loss_type t); // aot, aot_unpaired: of all log-probs of the micro-batch at once

bool op_loss_is_alone(enum op_loss_type t); // simpo, orpo: it has no reference

enum { OP_LOSS_TERMS = 20 };

// The loss: sum of weight * term. { 0 } is sigmoid alone.
struct op_loss_spec {
    struct op_loss_term {
        enum op_loss_type type;
        double weight; // finite
    } terms[OP_LOSS_TERMS];
    uint32_t n_terms;       // 0: sigmoid with weight 1
    double label_smoothing; // e: read by exo_pair (0 < e < 1), robust (not 1/2), aot, aot_unpaired,
                            // cdpo, simpo
    double simpo_gamma;     // finite: read by simpo
    double discopop_tau;    // tau > 0: read by discopop
    enum op_divergence divergence;
    double alpha; // of the alpha divergence; within 1e-6 of 1 it is reverse_kl
};

bool op_loss_has(const struct op_loss_spec *spec, enum op_loss_type t); // one of its terms

// One batch of N pairs. Rows [0, N) are the chosen answers, rows [N, 2N) the rejected ones, same
// pair order. Buffers are on the device of `cmd`, f32 but for partner, and not overlapping but for
// the inputs; they live until rt_cmd_wait().
struct op_loss_args {
    const struct op_loss_spec *spec;
    const struct rt_buf *logp;     // (2N) in: summed answer log-prob, policy, nats
    const struct rt_buf *ref_logp; // (2N) in: the same, frozen reference, nats
    const struct rt_buf *len;      // (2N) in: completion tokens, also those without log-prob, >= 1
    const struct rt_buf *sft_logp; // (2N) in: the log-probs that sft takes; their gradient is the
                                   // caller's then: see op_loss_sft_slope. NULL: logp
    const struct rt_buf *log_weight; // (2N) in: log of a sequence's weight (WPO); NULL: all 1
    const struct rt_buf
        *partner;         // (2N) in: u32, of op_loss_partners(); read by aot and aot_unpaired alone
    struct rt_buf *loss;  // (N)  out: loss of each pair, nats
    struct rt_buf *dlogp; // (2N) out: d(grad_scale * sum loss) / d logp
    uint32_t n_pairs;     // N, 1 .. 2^31-1
    double beta;          // finite, > 0
    double grad_scale;    // finite; 1/(pairs in the global batch)
    double sft_scale;     // finite; pairs of the micro-batch over its chosen tokens: see sft
};

// Record the terms on `cmd`; the outputs are valid after rt_cmd_wait(). With rho = logp - ref_logp
// of chosen c and rejected r, phi the divergence's score, s the logistic function, z = beta *
// (phi(rho_c) - phi(rho_r)):
//   sigmoid       -log s(z)                              hinge  max(0, 1 - z)
//   ipo           (phi(rho_c)/len_c - phi(rho_r)/len_r - 1/(2 beta))^2
//   sigmoid_norm  -log s(beta (phi(rho_c)/len_c - phi(rho_r)/len_r))
//   exo_pair      s(z) (log s(z) - log(1-e)) + s(-z) (log s(-z) - log e)
//   robust        (-(1-e) log s(z) + e log s(-z)) / (1-2e)
//   discopop      -log s(z) (1-m) + e^-z m,  m = s(z/tau)
//   cdpo          -(1-e) log s(z) - e log s(-z)
//   nca_pair      -log s(beta rho_c) - log s(-beta rho_c)/2 - log s(-beta rho_r)/2
//   bco_pair      -log s(beta rho_c) - log s(-beta rho_r)
//   sppo_hard     (rho_c - 1/(2 beta))^2 + (rho_r + 1/(2 beta))^2
//   apo_zero      s(-beta rho_c) + s(beta rho_r)
//   apo_down      s(beta rho_c) + s(-beta (rho_c - rho_r))
//   aot           -(1-e) log s(beta d) - e log s(-beta d),  d = (logp_c - logp_r) - (ref_c - ref_r
//                 of the pair of the same rank)
//   aot_unpaired  the same,  d = rho_c - (rho_r of the pair of the same rank)
//   sft           -logp_c * sft_scale: a pair's share; the mean over the micro-batch is the mean
//                 over its chosen tokens
//   simpo         -(1-e) log s(y) - e log s(-y),  y = beta (logp_c/len_c - logp_r/len_r) - gamma
//   orpo          sft - beta log s(odds_c - odds_r),  odds = l - log(1 - e^l), l = logp/len, which
//                 is cut at -1e-6
//   phi           rho | 1 - e^-rho | ln 2 + log s(rho) | (e^min((alpha-1) rho, 80) - 1)/(alpha - 1)
// nca_pair, bco_pair, sppo_hard, apo_*, aot*, simpo and orpo ignore the divergence. A weighted
// pair's terms are multiplied by exp(log_weight_c + log_weight_r), without gradient. Finite inputs
// give finite outputs: exponents are cut at 80, those of phi in ipo at 40. Errors: RT_E_ARG    a
// count or number is out of range
//         RT_E_SHAPE  a buffer is smaller than its shape above, or of another type
//         else        what rt_cmd_dispatch() returns; terms before the one that failed are recorded
// Source: TRL 1.16, DPOTrainer; trl.md 1.3 with section 0. cdpo: TRL 0.28's sigmoid
// (arXiv:2305.18290 with label smoothing). simpo: TRL's CPOTrainer (arXiv:2405.14734). orpo: TRL's
// ORPOTrainer (arXiv:2403.07691), but its likelihood is that of the answer alone, as in the paper;
// TRL counts the prompt's tokens too.
RT_NODISCARD enum rt_err op_loss(struct rt_cmd *cmd, const struct op_loss_args *args);

// Host: for pair i the pair whose reference margin (out[i]) has the rank that i's policy margin
// has, and the pair whose rejected log-ratio (out[n + i]) has the rank of i's chosen one; ranks
// ascend, equal numbers in the order of pairs, as a stable torch.sort has them. logp and ref_logp:
// (2n) as above; scratch: (2n) words. O(n log n).
void op_loss_partners(uint32_t n, const double *logp, const double *ref_logp, uint32_t *scratch,
                      uint32_t *out);

// d(grad_scale * sum loss) / d(a chosen log-prob) of all sft terms together: the same for each
// pair.
double op_loss_sft_slope(const struct op_loss_spec *spec, double grad_scale, double sft_scale);

// LD-DPO (arXiv:2409.06411): the tokens of a sequence beyond the shorter answer of its pair count
// for less. Head sums x[2s] and tail sums x[2s + 1] to y[s] = head + tail_weight * tail, and the
// gradient's way back, to which `plain` is added for both parts of the first half of the sequences,
// the chosen ones; f32, on the device of `cmd`. Errors: RT_E_ARG n_seqs is 0 or above 2^30,
// tail_weight or plain is not finite; RT_E_SHAPE; what rt_cmd_dispatch() returns.
RT_NODISCARD enum rt_err op_loss_fold(struct rt_cmd *cmd, const struct rt_buf *x, struct rt_buf *y,
                                      uint32_t n_seqs, double tail_weight);
RT_NODISCARD enum rt_err op_loss_unfold(struct rt_cmd *cmd, const struct rt_buf *dy,
                                        struct rt_buf *dx, uint32_t n_seqs, double tail_weight,
                                        double plain);

// Oracles (of op_loss: of one term) in float64, and host kernels. Buffers as listed in
// shaders/loss.h. Cannot fail.
void op_loss_ref(const struct rt_host_call *call);
void op_loss_fold_ref(const struct rt_host_call *call);
void op_loss_unfold_ref(const struct rt_host_call *call);

#endif // OP_LOSS_H
