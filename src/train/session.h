// src/train/session.h -- what training and evaluation open alike: data, device, model, reference.
#ifndef TRAIN_SESSION_H
#define TRAIN_SESSION_H

#include "src/train/objective.h"
#include "src/train/samples.h"

// Owned by whoever declares it; { 0 } is closed.
struct tr_session {
    struct rt_dev *dev;
    struct txt_tokenizer *tok;
    struct txt_chat *chat;
    struct tr_dataset train, *evals; // evals: n_evals files to evaluate on
    uint32_t n_evals;
    struct tr_samples samples;
    struct md_model *model;
    struct tr_reference ref;
    struct tr_objective *objective;
};

// Read the rows (without `train`: of the evaluation files alone, if there are any), open the
// device, load the model and its reference. `train`: keep what the backward needs, and always a
// reference copy. Errors: those of ds_read, rt_dev_open, md_model_open; logged where they are
// found.
RT_NODISCARD enum rt_err tr_session_open(const struct tr_config *c, bool train,
                                         struct tr_session *out);
// All that will be computed on: the training file, where there is one, then the evaluation files.
uint32_t tr_session_datasets(const struct tr_session *s);
struct tr_dataset *tr_session_dataset(struct tr_session *s, uint32_t i);

void tr_session_close(struct tr_session *s);

// The parts of tr_session_open, in order, for planning. A session whose device only counts
// (rt_dev_open_dry) gets a model of the same buffers. On error the session is closed as a whole.
RT_NODISCARD enum rt_err tr_session_open_data(const struct tr_config *c, bool train,
                                              struct tr_session *s);
RT_NODISCARD enum rt_err tr_session_open_device(const struct tr_config *c, struct tr_session *s);
RT_NODISCARD enum rt_err tr_session_open_model(const struct tr_config *c, bool train,
                                               struct md_recompute recompute, struct tr_session *s);
void tr_session_close_model(struct tr_session *s); // also one that was opened in part

#endif // TRAIN_SESSION_H
