// src/train/objective.h -- loss and gradient of one micro-batch, cut into passes.
#ifndef TRAIN_OBJECTIVE_H
#define TRAIN_OBJECTIVE_H

#include "src/data/pack.h"
#include "src/model/model.h"
#include "src/train/config.h"
#include "src/train/dataset.h"
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

// The model must have been opened for the limits that tr_limits gave for every dataset that batches
// will come from.
RT_NODISCARD enum rt_err tr_objective_create(const struct tr_config *c, struct md_model *model,
                                             const struct tr_reference *ref,
                                             struct tr_objective **out);
void tr_objective_destroy(struct tr_objective **o);

// Loss and metrics of a batch; with `grads` also adds the gradient of grad_scale * sum(losses) to
// it. The reference's log-probs are those of the dataset where it has them.
RT_NODISCARD enum rt_err tr_objective_run(struct tr_objective *o, const struct tr_batch *b,
                                          struct md_flat *grads, double grad_scale,
                                          struct tr_result *out);

// The reference's log-probs of a batch alone: (b->n) nats each, as tr_objective_run would use them.
RT_NODISCARD enum rt_err tr_objective_reference(struct tr_objective *o, const struct tr_batch *b,
                                                float *chosen, float *rejected);

// Raise the capacities in `desc` (0 at first) to what passes over batches of up to `batch` pairs of
// this set need. The first set decides how much a pass takes; later ones raise it only where a
// single pair of theirs needs more.
void tr_limits(const struct tr_config *c, const struct ds_set *set, uint32_t batch,
               struct md_model_desc *desc);

#endif // TRAIN_OBJECTIVE_H
