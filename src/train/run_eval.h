// src/train/run_eval.h -- evaluations within a training run: when, and on what.
//
// Source: transformers' DefaultFlowCallback; TRL's key names.
#ifndef TRAIN_RUN_EVAL_H
#define TRAIN_RUN_EVAL_H

#include "src/train/run_state.h"

// Where a run is after a step.
struct tr_eval_clock {
    uint64_t step, total_steps;
    double epoch;
    bool epoch_end; // an epoch, or the run, has ended
};

// Is an evaluation due? With "steps" also at the last step.
bool tr_eval_due(const struct tr_config *c, const struct tr_eval_clock *at);

// Evaluate on every file now; each gives a log entry. Then answer the sample prompts. Errors: those
// of tr_evaluate, tr_log_add.
RT_NODISCARD enum rt_err tr_run_evaluate(struct tr_run_state *r);
bool tr_run_eval_is_due(const struct tr_run_state *r); // after the step that was issued last

// A metric of the last evaluation by its key in the log ("eval_loss", "eval_NAME_loss",
// "eval_rewards/margins"); false where there is none. That it is of this step: evaluated_at.
bool tr_run_eval_metric(const struct tr_run_state *r, const char *key, double *out);

#endif // TRAIN_RUN_EVAL_H
