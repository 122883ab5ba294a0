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

// Receives the result of each file. `name` is "train" for dataset_name, else "eval" or "eval_NAME";
// borrowed.
typedef void tr_eval_fn(void *user, const char *name, const struct tr_eval *e);

// Evaluate on eval_files where there are any, else on dataset_name. Uses of `c` besides:
// model_name_or_path, ref_model_name_or_path (NULL: the model itself, rewards are 0), device,
// storage, max_length, per_device_eval_batch_size, beta, precompute_ref_log_probs, per_row: a file
// that gets a line of JSON for each pair
//   {"set": "eval", "row": 0, "chosen_logp": -1.5, "rejected_logp": ..., "ref_chosen_logp": ...,
//    "ref_rejected_logp": ..., "chosen_reward": ..., "rejected_reward": ..., "margin": ...,
//    "chosen_tokens": 7, "rejected_tokens": 5, "loss": ...}
// Errors: as tr_run()'s opening; RT_E_IO per_row.
RT_NODISCARD enum rt_err tr_eval_run(const struct tr_config *c, tr_eval_fn *on_file, void *user);

#endif // TRAIN_EVAL_H
