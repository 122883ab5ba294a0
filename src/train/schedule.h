// src/train/schedule.h -- learning rate by step. Source: transformers' optimization.py; trl.md
// section 4.
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include "src/train/config.h"

// Factor of the peak learning rate for optimizer step k + 1, k = scheduler steps done so far, of
// `total` steps. Warm-up takes W = warmup_steps, or ceil(warmup_steps * total) when that is
// below 1.
double tr_schedule_factor(const struct tr_config *c, uint64_t k, uint64_t total);

#endif // TRAIN_SCHEDULE_H
