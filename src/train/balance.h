// src/train/balance.h -- the load-balancing loss of experts, as TRL adds it to a micro-batch's
// loss.
//
//   aux = E * sum_e F_e / N * P_e / N,   loss = mean of the pairs' losses + coef * aux
// F_e: how often expert e was picked, P_e: its probabilities, summed over the layers of experts and
// all tokens of the micro-batch's sequences (a shared prompt's twice, their last tokens too); N:
// how many those are. The gradient holds the picks constant. It needs the whole micro-batch's F:
// where that is cut into passes, all go forward before the first goes backward. Source: TRL 1.16,
// DPOTrainer._compute_loss; transformers 5.23, load_balancing_loss_func.
#ifndef TRAIN_BALANCE_H
#define TRAIN_BALANCE_H

#include "src/model/model.h"
#include "src/train/config.h"

// The coefficient: the option, or else the model's. Errors: RT_E_USAGE not 0 for a model without
// experts, as in TRL; those of md_arch_read.
RT_NODISCARD enum rt_err tr_balance_coef(const struct tr_config *c, double *out);

// Of an objective. on false: there is no such loss, and the rest is 0.
struct tr_balance {
    bool on;
    double coef;
    uint32_t experts, layers; // layers: with experts
};

// `on` where the model was opened with room for it.
struct tr_balance tr_balance_of(const struct tr_config *c, const struct md_model *m);

// What the backward takes of a loss that counts `scale`: md_model.balance_factor. tokens: of the
// micro-batch's sequences.
double tr_balance_factor(const struct tr_balance *b, uint64_t tokens, double scale);

// aux, from md_model.balance_sums after all forwards of the micro-batch.
double tr_balance_loss(const struct tr_balance *b, uint64_t tokens, const double *sums);

#endif // TRAIN_BALANCE_H
