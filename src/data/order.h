// src/data/order.h -- which pairs make which micro-batch of which step: TRL's order for a seed.
//
// Source: trl.md section 4: SeedableRandomSampler (torch.randperm of N seeded (data_seed or seed) +
// epoch), consecutive slices, the last one short unless dropped; windows of gradient accumulation,
// the last one of an epoch short.
#ifndef DATA_ORDER_H
#define DATA_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"

struct ds_order_args {
    uint32_t n_pairs;      // N >= 1
    uint32_t batch;        // pairs a micro-batch >= 1
    uint32_t accumulation; // micro-batches a step >= 1
    bool drop_last;        // leave out a short last micro-batch
    bool sequential;       // train_sampling_strategy sequential: no shuffle
    uint64_t seed;         // data_seed, or seed when that is not given
    double epochs;         // num_train_epochs > 0; ignored when max_steps > 0
    int64_t max_steps;     // <= 0: by epochs
};

// Walks the run from its first micro-batch. { 0 } is empty; free with ds_order_free.
struct ds_order {
    struct ds_order_args args;
    uint32_t micro_batches;   // of an epoch
    uint32_t steps_per_epoch; // optimizer steps
    uint64_t total_steps;     // of the run
    uint32_t *perm;           // pairs of the current epoch, in order
    uint32_t epoch, micro;    // the next micro-batch
};

// Errors: RT_E_ARG; RT_E_FORMAT drop_last leaves no micro-batch; RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_order_make(const struct ds_order_args *args, struct ds_order *out);
void ds_order_free(struct ds_order *o);

// The pairs of the next micro-batch: (*pairs)[0 .. *n). Borrowed until the next call.
void ds_order_next(struct ds_order *o, const uint32_t **pairs, uint32_t *n);

// Micro-batches of the window that begins at the next micro-batch: accumulation, or less at an
// epoch's end.
uint32_t ds_order_window(const struct ds_order *o);

// Go to a place that an order with the same arguments was at. RT_E_ARG: micro > micro_batches.
RT_NODISCARD enum rt_err ds_order_seek(struct ds_order *o, uint32_t epoch, uint32_t micro);

// Fraction of epochs done, as Hugging Face logs it: after the micro-batches handed out so far.
double ds_order_epoch(const struct ds_order *o);

#endif // DATA_ORDER_H
