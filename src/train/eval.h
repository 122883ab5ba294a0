// src/train/eval.h -- a model held against a reference on preference rows, without training.
#ifndef TRAIN_EVAL_H
#define TRAIN_EVAL_H

#include "src/train/config.h"

// Means over the pairs of a file. Rewards are beta * (log-prob - reference's log-prob).
struct tr_eval {
    uint32_t pairs, dropped;
    double loss, accuracy,
        margin; // DPO loss in nats; share with chosen reward > rejected; mean reward margin
    uint32_t ranked,
        ranked_per_token; // pairs with log-prob (log-prob per token) of chosen above rejected's
    double logp_chosen, logp_rejected; // nats, summed over a completion
};

// Uses of `c`: model_name_or_path, ref_model_name_or_path (NULL: the model itself, rewards are 0),
// dataset_name, device, storage, max_length, per_device_train_batch_size, beta. Errors: as
// tr_run()'s opening.
RT_NODISCARD enum rt_err tr_eval_run(const struct tr_config *c, struct tr_eval *out);

#endif // TRAIN_EVAL_H
