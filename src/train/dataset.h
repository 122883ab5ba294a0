// src/train/dataset.h -- a file of preference rows as a run uses it, and batches of it.
#ifndef TRAIN_DATASET_H
#define TRAIN_DATASET_H

#include "src/data/order.h"
#include "src/data/pairs.h"
#include "src/train/config.h"

// Owned by the session; { 0 } is empty. Read-only once opened.
struct tr_dataset {
    char *name; // "train", "eval", or of one of several evaluation files "eval_NAME"
    char *path; // what was read, for messages
    struct ds_set set;
    float *ref_logps; // (2 set.n) nats: chosen of all pairs, then rejected; NULL: not precomputed,
                      // the reference is run
    uint64_t ref_key; // what they depend on, but for the kernels; 0 without them
};

// Pairs of one micro-batch, in order. Borrowed.
struct tr_batch {
    const struct tr_dataset *data;
    const uint32_t *pairs; // (n) indices into data->set
    uint32_t n;
    uint64_t number; // of the batch in the run: what masks of dropout are made of
};

// The file that is trained on: dataset_name, or train.jsonl of that folder.
RT_NODISCARD enum rt_err tr_dataset_open_train(const struct tr_config *c,
                                               const struct txt_tokenizer *tok,
                                               const struct txt_chat *chat, struct tr_dataset *out);

// The files that are evaluated on: *out is a heap array of *n.
// Free each with tr_dataset_close, then the array. Errors: RT_E_USAGE evaluation is asked for and
// there is no file, or two have one name; those of ds_read.
RT_NODISCARD enum rt_err tr_datasets_open_eval(const struct tr_config *c,
                                               const struct txt_tokenizer *tok,
                                               const struct txt_chat *chat, struct tr_dataset **out,
                                               uint32_t *n);

// Pairs of an evaluation batch.
static inline uint32_t tr_eval_batch(const struct tr_config *c)
{
    return c->per_device_eval_batch_size ? c->per_device_eval_batch_size : 8;
}

// The order in which training takes the pairs of `d`; max_steps > 0 beats num_train_epochs. Errors:
// those of ds_order_make.
RT_NODISCARD enum rt_err tr_dataset_order(const struct tr_config *c, const struct tr_dataset *d,
                                          int64_t max_steps, struct ds_order *out);

void tr_dataset_close(struct tr_dataset *d);

#endif // TRAIN_DATASET_H
