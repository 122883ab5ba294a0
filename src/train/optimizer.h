// src/train/optimizer.h -- gradients, the optimizer's state and the update.
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "src/model/model.h"
#include "src/train/config.h"
#include "src/train/scaler.h"

// Device buffers with the layout of the trained weights. Owned by the run.
struct tr_optimizer {
    enum tr_optim kind;
    struct md_flat grads; // f32
    struct md_flat m, v;  // f32: AdamW's; empty with SGD, which has no state
    struct rt_buf *parts; // f32: partial sums of squares
    struct rt_buf *mult;  // (1) f32: what the gradients of the next update are multiplied by
    float *host_parts;
    uint64_t n_parts;
    uint64_t t; // updates done: AdamW's counter
};

RT_NODISCARD enum rt_err tr_optimizer_create(struct md_model *model, enum tr_optim kind,
                                             struct tr_optimizer *out);
void tr_optimizer_destroy(struct tr_optimizer *o);

// Measure the gradient, which is `scale` times the loss's: how much an update clips it by. Recorded
// on cmd, after which has been waited for tr_grad_norm() gives its L2 norm, scale taken back
// (trl.md section 4: before clipping). Inf or NaN come through; the caller looks.
RT_NODISCARD enum rt_err tr_grad_measure(struct tr_optimizer *o, struct rt_cmd *cmd,
                                         double max_norm, double scale);
double tr_grad_norm(const struct tr_optimizer *o, double scale);

// One update with learning rate lr and the gradients as measured last, on the model's masters.
// Recorded on cmd.
RT_NODISCARD enum rt_err tr_optimizer_step(struct tr_optimizer *o, struct rt_cmd *cmd,
                                           struct md_model *model, const struct tr_config *c,
                                           double lr);

#endif // TRAIN_OPTIMIZER_H
