// src/train/objective.h -- loss and gradient of one micro-batch, cut into passes.
#ifndef TRAIN_OBJECTIVE_H
#define TRAIN_OBJECTIVE_H

#include "src/data/pack.h"
#include "src/model/model.h"
#include "src/train/config.h"
#include "src/train/reference.h"

// What one micro-batch gave, in TRL's order: pairs as in the batch. Arrays belong to the objective
// and hold until the next call.
struct tr_result {
    uint32_t n;                                                                          // pairs
    const double *chosen_logps, *rejected_logps, *ref_chosen_logps, *ref_rejected_logps; // (n) nats
    const double *losses; // (n) nats; of sft a pair's share, so that their mean is TRL's
    double loss;          // their mean
    uint64_t num_tokens;  // trl.md section 2
    double entropy, mean_token_accuracy, logits_chosen, logits_rejected; // means as TRL takes them
    const float
        *token_logps; // completion tokens that have a log-prob: all of chosen 0, of chosen 1, ...
    const uint32_t
        *token_starts; // (2n + 1): chosen 0 .. n-1, then rejected 0 .. n-1, into token_logps
};

struct tr_objective; // owned by the run; keeps the scratch of the largest micro-batch

// `set` is what will be trained on: the model must have been opened for the limits that tr_limits
// gave for it.
RT_NODISCARD enum rt_err tr_objective_create(const struct tr_config *c, struct md_model *model,
                                             const struct tr_reference *ref,
                                             const struct ds_set *set, struct tr_objective **out);
void tr_objective_destroy(struct tr_objective **o);

// Loss and metrics of pairs[0 .. n); with `grads` also adds the gradient of grad_scale *
// sum(losses) to it.
RT_NODISCARD enum rt_err tr_objective_run(struct tr_objective *o, const uint32_t *pairs, uint32_t n,
                                          struct md_flat *grads, double grad_scale,
                                          struct tr_result *out);

// Capacities that a model needs for passes over this set.
void tr_limits(const struct tr_config *c, const struct ds_set *set, struct md_model_desc *desc);

#endif // TRAIN_OBJECTIVE_H
