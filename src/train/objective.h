// src/train/objective.h -- loss and gradient of one micro-batch, cut into passes.
#ifndef TRAIN_OBJECTIVE_H
#define TRAIN_OBJECTIVE_H

#include "src/data/pack.h"
#include "src/model/model.h"
#include "src/train/config.h"
#include "src/train/dataset.h"
#include "src/train/reference.h"

// What one micro-batch gave, in TRL's order: pairs as in the batch. Arrays belong to the objective
// and hold until the next but one micro-batch is begun.
struct tr_result {
    uint32_t n;                                                                          // pairs
    const double *chosen_logps, *rejected_logps, *ref_chosen_logps, *ref_rejected_logps; // (n) nats
    const double *losses; // (n) nats; of sft a pair's share, so that their mean is TRL's
    double loss;          // their mean
    uint64_t num_tokens;  // trl.md section 2
    bool has_aux;         // losses and loss hold coef * aux_loss
    double aux_loss;      // the load-balancing loss of experts
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

struct tr_job; // a micro-batch on its way through the device; owned by the objective

enum { TR_JOBS = 2 }; // most that are begun and not ended

// Hand loss and metrics of a batch to the device and do not wait; with `grads` also add the
// gradient of grad_scale * sum(losses) to it. The reference's log-probs are those of the dataset
// where it has them. The batch's pairs are copied. (A loss that needs all log-probs at once does
// wait for them: its ranks are made on the host.) On error *out is NULL, and nothing is begun.
RT_NODISCARD enum rt_err tr_objective_begin(struct tr_objective *o, const struct tr_batch *b,
                                            struct md_flat *grads, double grad_scale,
                                            struct tr_job **out);
const struct tr_batch *tr_job_batch(const struct tr_job *job);

// Wait for a micro-batch that was begun. The job is over, also on error. Jobs end in the order in
// which they began.
RT_NODISCARD enum rt_err tr_objective_end(struct tr_objective *o, struct tr_job *job,
                                          struct tr_result *out);

// The reference's log-probs of a batch alone: (b->n) nats each, as tr_objective_begin would use
// them.
RT_NODISCARD enum rt_err
tr_objective_begin_reference(struct tr_objective *o, const struct tr_batch *b, struct tr_job **out);
RT_NODISCARD enum rt_err tr_objective_end_reference(struct tr_objective *o, struct tr_job *job,
                                                    float *chosen, float *rejected);

#endif // TRAIN_OBJECTIVE_H
