// src/train/steps.h -- optimizer steps, handed to the device one behind the other. Private to
// src/train.
//
// The host is one micro-batch ahead: while the device computes one, the host records the next, and
// then takes the numbers of the one before. So a step's numbers are read, looked at for NaN and
// logged when the next step has begun. fp16 alone waits once a step: whether the gradient
// overflowed decides what the update is.
#ifndef TRAIN_STEPS_H
#define TRAIN_STEPS_H

#include "src/train/objective.h"

struct tr_run_state;

// What the device has and whose numbers are not taken yet. Part of the run's state.
struct tr_flight {
    uint64_t issued;       // steps handed over, from the run's first on; tr_progress.step: taken
    struct tr_job *job;    // the micro-batch that was begun last; NULL: taken
    uint32_t window;       // micro-batches of its step
    struct rt_cmd *update; // of step `issued`; NULL: taken
    double lr, scale;      // of that step
    double norm;           // of its gradient, where the host knew it before the update
    double epoch;          // after it, as it is logged
    bool epoch_ends;       // with it
};

// Hand over the next step, and take the one before. Errors: those of the objective and of
// tr_optimizer_step; RT_E_NUMERIC the loss or the gradient of a step that was taken is NaN or Inf
// (names the step).
RT_NODISCARD enum rt_err tr_steps_issue(struct tr_run_state *r);

// Wait for all that was handed over, and take it: weights, numbers, log and order of rows are those
// after step `issued`. Errors as above.
RT_NODISCARD enum rt_err tr_steps_settle(struct tr_run_state *r);

// Must the run settle after the step that was issued last: for an evaluation, a checkpoint, the
// end, the profile, or because a log entry is due that someone watches, who may stop the run?
bool tr_steps_pause(const struct tr_run_state *r);

void tr_steps_drop(struct tr_run_state *r); // wait for what was handed over; its numbers are lost

#endif // TRAIN_STEPS_H
