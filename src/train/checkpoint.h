// src/train/checkpoint.h -- checkpoint-N folders: writing, keeping a few, going on from one.
//
// output_dir/checkpoint-N is the model (or adapter) after step N in Hugging Face's form, and beside
// it what is needed to go on with the same bits as if the run had never stopped:
//   master.safetensors     f32 masters of what is trained; absent where model.safetensors has them
//   optimizer.safetensors  exp_avg.NAME, exp_avg_sq.NAME
//   training_state.json    counters, sums of the open log window, options, fingerprints
//   trainer_state.json, metrics.jsonl  the log so far
//   manifest.json          size and XXH64 of every file (src/train/manifest.h)
// With save_only_model it is the model and trainer_state.json alone.
// It is written under checkpoint-N.tmp-PROCESS, brought to disk and renamed: a folder called
// checkpoint-N is whole, whenever the process is killed.
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include <cjson/cJSON.h>

#include "src/train/config.h"

struct tr_run_state;

// The checkpoint that a run goes on from. Owned by the run; { 0 } = a new run.
struct tr_checkpoint {
    char *dir;
    cJSON *state; // training_state.json
};

// Before anything is opened. Remove what a killed run left half-written in output_dir; find and
// verify the folder that c->resume_from_checkpoint names ("true": the newest one of output_dir) and
// compare its options with c->options. Takes over into *c what the checkpoint decides: the clock,
// and pass_tokens if it is not given.
// Errors: RT_E_NOT_FOUND  no such folder, or "true" and there is none
//         RT_E_FORMAT     a file of it is damaged or missing (names it, and the newest whole
//                         checkpoint before it), or it holds no training state
//         RT_E_USAGE      options differ that fix the numbers: all are named
//         RT_E_IO, RT_E_NOMEM
RT_NODISCARD enum rt_err tr_checkpoint_open(struct tr_config *c, struct tr_checkpoint *out);
void tr_checkpoint_close(struct tr_checkpoint *k);

// When all of the run is open, and before it writes anything: take its fingerprint and compare it
// with the checkpoint's. Another device, driver or kernels are a warning: the run goes on, with
// other roundings. RT_E_USAGE: another model, other data, another reference; fewer steps than are
// done.
RT_NODISCARD enum rt_err tr_checkpoint_check(struct tr_run_state *r);

// Put weights, optimizer, counters and log in place. Nothing is done for a new run. Errors: those
// of fmt_st_open and rt_buf_write; RT_E_FORMAT.
RT_NODISCARD enum rt_err tr_checkpoint_restore(struct tr_run_state *r);

// After a step and what belongs to it (log, evaluation): look at metric_for_best_model, write a
// checkpoint where save_strategy wants one, and remove those beyond save_total_limit: the oldest,
// never this one nor the best. Errors: RT_E_USAGE no evaluation gives that metric; RT_E_IO (disk
// full: the half-written one is removed), RT_E_DEVICE, RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_checkpoint_step(struct tr_run_state *r);

// Does save_strategy want one after this step, whatever the evaluation says? The order of rows is
// at the step's end.
bool tr_checkpoint_is_due(const struct tr_run_state *r, uint64_t step);

// Write one now, with training state whatever save_only_model says, unless this step's is there
// already.
RT_NODISCARD enum rt_err tr_checkpoint_stop(struct tr_run_state *r);

// After a failure: say from where the run can go on, if from anywhere.
void tr_checkpoint_name_last(const struct tr_run_state *r);

// load_best_model_at_end: the weights of the best checkpoint instead of the last ones. Nothing
// where that option is off or no checkpoint is the best; a warning where it is gone.
RT_NODISCARD enum rt_err tr_checkpoint_load_best(struct tr_run_state *r);

// ---- Within the checkpoint files --------------------------------------------------------------

#define TR_TRAINING_STATE "training_state.json"

// Write the weights, the optimizer and training_state.json into a folder.
RT_NODISCARD enum rt_err tr_state_write(struct tr_run_state *r, const char *dir);
// And back; `state` is training_state.json.
RT_NODISCARD enum rt_err tr_state_read(struct tr_run_state *r, const struct tr_checkpoint *k);

// The trained weights alone, of a checkpoint with or without training state.
RT_NODISCARD enum rt_err tr_state_read_weights(struct tr_run_state *r, const char *dir);

// RT_E_USAGE with one line that names every option that differs and may not (`dir` is the
// checkpoint's name in it).
RT_NODISCARD enum rt_err tr_options_compare(const char *dir, const cJSON *then,
                                            const char *options_now);

#endif // TRAIN_CHECKPOINT_H
