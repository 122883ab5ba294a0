// src/train/log.h -- trainer_state.json, metrics.jsonl and the progress line.
#ifndef TRAIN_LOG_H
#define TRAIN_LOG_H

#include "src/base/str.h"
#include "src/train/config.h"
#include "src/train/evaluate.h"

// One log entry. Fields that do not apply are NAN and are left out.
struct tr_entry {
    double loss, grad_norm, learning_rate;                        // a training log
    double train_loss, train_runtime, samples_per_s, steps_per_s; // the last entry
    const struct tr_metrics *metrics;                             // NULL or empty: none
    const struct tr_evaluation *eval; // an evaluation, whose metrics these are; NULL: training
    double epoch;
    uint64_t step;
    // Beside HF's keys, in metrics.jsonl alone.
    double step_time_s, pairs_per_s, tokens_per_s;
    uint64_t device_bytes;
};

// The evaluation with the best metric_for_best_model so far. Plain data.
struct tr_best {
    double metric;
    uint64_t step;       // 0 = none yet
    uint64_t saved_step; // the best that has a checkpoint in output_dir; 0 = none
};

// The history of a run. Owned by it.
struct tr_log {
    const struct tr_config *c;
    struct tr_best best;
    struct str history; // entries so far, JSON objects joined by ",\n"
    char *metrics_path;
    uint64_t max_steps;
    bool progress_shown;
};

RT_NODISCARD enum rt_err tr_log_open(const struct tr_config *c, uint64_t max_steps,
                                     struct tr_log *out);
void tr_log_close(struct tr_log *log);

// Append to the history and to metrics.jsonl, and report an entry with a loss, or an evaluation, on
// one line of stderr.
RT_NODISCARD enum rt_err tr_log_add(struct tr_log *log, const struct tr_entry *e);

// Write dir/trainer_state.json as Hugging Face's Trainer does, not rounded.
RT_NODISCARD enum rt_err tr_log_save_state(const struct tr_log *log, const char *dir, uint64_t step,
                                           double epoch);

// Copy metrics.jsonl as it is into a checkpoint's folder. And go on from such a folder: take over
// its metrics.jsonl, and the history, which has `bytes` bytes, out of its trainer_state.json.
// Errors: RT_E_FORMAT the history is not there; RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_log_keep(const struct tr_log *log, const char *dir);
RT_NODISCARD enum rt_err tr_log_restore(struct tr_log *log, const char *dir, uint64_t bytes);

// The progress line (only on a terminal): step, last loss, speed, memory, time left.
void tr_log_progress(struct tr_log *log, uint64_t step, double loss, double margin, double accuracy,
                     double seconds_per_step, double tokens_per_s, uint64_t device_bytes);

#endif // TRAIN_LOG_H
