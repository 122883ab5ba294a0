// src/train/work.h -- what a step has to compute, counted from the model and the data.
#ifndef TRAIN_WORK_H
#define TRAIN_WORK_H

#include "src/data/pack.h"
#include "src/model/model.h"
#include "src/train/config.h"

// Of one model and one way of training it.
struct tr_work {
    double body, head; // elements of the matrices that a token, a scored position goes through
    double again;      // of body, as often as the backward makes their products again
    double products;   // how often: a forward each of policy and reference, a backward of two where
                       // weights are trained, of one where an adapter is
    double attention;  // FLOPs for each pair of a query and a key that it sees
};

// `forwards`: 1, or 2 with a reference that is computed in every step.
void tr_work_make(const struct md_model *m, double forwards, struct tr_work *out);

// FLOPs of products and attention for one pair, without those that are made again: with a reference
// and all weights trained 8 body for each token (of a shared prompt once), 8 head for each scored
// position, 16 * heads * head_dim * layers for each pair of a query and a key that it sees.
double tr_work_flops(const struct tr_work *w, const struct ds_set *set, uint32_t pair);

#endif // TRAIN_WORK_H
