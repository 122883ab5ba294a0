// src/train/run_state.h -- everything that a training run owns. Private to src/train.
//
// What a checkpoint must hold is in tr_progress (plain numbers), in the optimizer and in the
// trained weights; the rest is made anew when a run is resumed.
#ifndef TRAIN_RUN_STATE_H
#define TRAIN_RUN_STATE_H

#include "src/data/order.h"
#include "src/train/checkpoint.h"
#include "src/train/diagnose.h"
#include "src/train/dump.h"
#include "src/train/evaluate.h"
#include "src/train/fingerprint.h"
#include "src/train/optimizer.h"
#include "src/train/profile.h"
#include "src/train/run.h"
#include "src/train/session.h"
#include "src/train/steps.h"

// How far the run is. Plain data.
struct tr_progress {
    uint64_t step;               // optimizer steps done and taken, skipped ones included
    uint64_t lr_steps;           // those that moved the schedule
    double loss_sum, loss_total; // of the steps since the last log; of the run
    uint64_t loss_steps;         // steps since the last log
    uint64_t pairs_since_log, tokens_at_log, steps_at_log; // for the speeds of a log entry
    double elapsed_s, since_log_s; // run time, and time since the last log, when it was saved
};

struct tr_run_state {
    struct tr_config own;      // the caller's, with what a checkpoint decides
    const struct tr_config *c; // = &own
    const struct tr_hooks *hooks;
    struct tr_checkpoint from;
    struct tr_fingerprint print;
    uint64_t saved_step, save_every; // the newest whole checkpoint; steps between two, 0 = none
    struct tr_session s;
    struct ds_order order;
    struct tr_optimizer opt;
    struct tr_scaler scaler;
    struct tr_metrics metrics;
    struct tr_log log;
    struct tr_dump dump;
    struct tr_progress at;
    struct tr_flight flight; // what the device has beyond `at`
    double epoch;            // after step at.step, as it is logged
    bool epoch_ends;         // with it
    struct tr_profile profile;
    char *samples_path;
    struct tr_diagnosis diagnosis;
    double started, logged_at;                       // seconds
    struct tr_evaluation evaluations[TR_EVAL_FILES]; // the last ones, of s.evals (run_eval.h)
    uint64_t evaluated_at;                           // step that they are of
};

// Entries of the log (src/train/run_log.c). After a step: a log entry where one is due, else the
// progress line. Errors: those of tr_log_add.
RT_NODISCARD enum rt_err tr_run_log_step(struct tr_run_state *r, double norm, double lr);
bool tr_run_log_is_due(const struct tr_run_state *r, uint64_t step, bool epoch_ends);

// The last entry: run time and mean loss, with the metrics of steps that no log reported; as in
// TRL, without them where an evaluation comes last.
RT_NODISCARD enum rt_err tr_run_log_end(struct tr_run_state *r);

// The entry of an evaluation; the metrics of training since the last log stay as they are.
RT_NODISCARD enum rt_err tr_run_log_eval(struct tr_run_state *r, const struct tr_evaluation *e);

#endif // TRAIN_RUN_STATE_H
