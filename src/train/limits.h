// src/train/limits.h -- how much a pass takes, and what the model needs room for.
#ifndef TRAIN_LIMITS_H
#define TRAIN_LIMITS_H

#include "src/model/model.h"
#include "src/train/config.h"
#include "src/train/dataset.h"

// Raise the capacities in `desc` (0 at first) to what passes over batches of up to `batch` pairs of
// this set need. The first set decides how much a pass takes; later ones raise it only where a
// single pair of theirs needs more.
void tr_limits(const struct tr_config *c, const struct ds_set *set, uint32_t batch,
               struct md_model_desc *desc);

// The same, for passes of the reference alone: as many pairs of this set as lie behind each other
// and fit into the tokens of `desc`, whatever the batch size; few bytes. After tr_limits of all
// sets.
void tr_limits_reference(const struct tr_config *c, const struct ds_set *set,
                         struct md_model_desc *desc);

// How many of n pairs of a set, in this order, the next pass takes: at least 1; while they stay
// within the budget and what the model has room for (other sets than the first may come in larger
// batches).
uint32_t tr_pass_pairs(const struct tr_config *c, const struct md_model *m,
                       const struct ds_set *set, const uint32_t *pairs, uint32_t n);

#endif // TRAIN_LIMITS_H
