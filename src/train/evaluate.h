// src/train/evaluate.h -- loss and metrics of a dataset, as TRL averages them.
//
// Source: trl.md section 2; transformers' Trainer.evaluation_loop.
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H

#include "src/train/metrics.h"

// Of one dataset.
struct tr_evaluation {
    const char *name;          // the dataset's, "eval" or "eval_NAME": prefix of HF's keys
    double loss;               // nats, a mean over pairs
    struct tr_metrics metrics; // means over batches; num_tokens is the training's so far
    double runtime, samples_per_s, steps_per_s;
    uint32_t pairs, batches;
};

// Sums of a loss over pairs: a batch's loss counts once for each of its pairs. { 0 } is empty.
struct tr_eval_loss {
    double sum;      // of finite losses
    uint64_t finite; // pairs in it
    double all;      // of every loss
    uint64_t n;
};
void tr_eval_loss_add(struct tr_eval_loss *s, double loss, uint32_t n);

// The mean; batches whose loss is NaN or Inf are left out, unless `keep_all` or there are no others
// (logging_nan_inf_filter).
double tr_eval_loss_mean(const struct tr_eval_loss *s, bool keep_all);

// How many of n pairs are looked at, the first: with drop_last (dataloader_drop_last) no short last
// batch, as with transformers, unless there is no other one.
uint32_t tr_eval_pairs(uint32_t n, uint32_t batch, bool drop_last);

struct tr_evaluate_args {
    const struct tr_config *c;
    struct tr_objective *objective;
    const struct tr_dataset *data;
    uint64_t num_tokens; // of the training so far
    // Called with each batch; NULL: not at all.
    enum rt_err (*on_batch)(void *user, const struct tr_batch *b, const struct tr_result *r);
    void *user;
};

// The pairs in the order of the file, in batches of per_device_eval_batch_size. Errors: those of
// tr_objective_begin, tr_objective_end and on_batch.
RT_NODISCARD enum rt_err tr_evaluate(const struct tr_evaluate_args *a, struct tr_evaluation *out);

// A metric by the key that the log gives it ("eval_loss", "eval_NAME_loss", "eval_runtime",
// "eval_rewards/margins"). False: there is no such key.
bool tr_evaluation_get(const struct tr_evaluation *e, const char *key, double *out);

#endif // TRAIN_EVALUATE_H
