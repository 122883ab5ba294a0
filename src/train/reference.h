// src/train/reference.h -- where the reference's log-probs come from.
//
// Source: trl.md section 1.6.
#ifndef TRAIN_REFERENCE_H
#define TRAIN_REFERENCE_H

#include "src/model/model.h"
#include "src/train/config.h"

// Owned by the session; { 0 } is closed.
struct tr_reference {
    bool none; // the loss has no reference: its log-probs are 0, a reward is beta * log-prob
    struct md_flat copy; // weights in the storage type; empty: the model is its own reference.
                         // Masters with sync_ref_model: a small step would be lost in rounding
};

// Load or copy. `train`: the policy will move, so a copy of it is needed where no other model is
// named, but for precompute_ref_log_probs. With LoRA the base without the adapter is the reference;
// of a run that goes on from an adapter, that adapter as it was loaded (model->adapter_ref).
// Errors: those of md_weights_load, md_flat_create.
RT_NODISCARD enum rt_err tr_reference_open(const struct tr_config *c, bool train,
                                           struct md_model *model, struct tr_reference *out);
void tr_reference_close(struct tr_reference *r);

// What a forward of the reference computes with.
struct md_weights tr_reference_weights(const struct tr_reference *r, const struct md_model *model);

// reference = (1 - alpha) * reference + alpha * policy. Recorded on cmd. Source: TRL's
// SyncRefModelCallback.
RT_NODISCARD enum rt_err tr_reference_sync(struct tr_reference *r, struct rt_cmd *cmd,
                                           struct md_model *model, double alpha);

#endif // TRAIN_REFERENCE_H
