// src/train/run.h -- one training run, from folders to folder.
#ifndef TRAIN_RUN_H
#define TRAIN_RUN_H

#include "src/train/config.h"
#include "src/train/log.h"

// What the caller may watch. All may be NULL. Called from the thread of tr_run.
struct tr_hooks {
    void (*on_log)(void *user, const struct tr_entry *entry); // after each log entry
    void *user;
    const volatile int *stop; // not 0: finish the step, save a checkpoint, return
};

// Train as `c` says and write output_dir (and dump_dir). The config is checked already; model, data
// and device are checked here, before anything is written. Errors: those of what it reads and
// writes; RT_E_DEVMEM; RT_E_NUMERIC the loss or gradient became NaN or Inf without a loss scale to
// blame (names the step); RT_E_INTERRUPTED after a stop, with a checkpoint to go on from but no
// model in output_dir itself; and those of tr_checkpoint_open.
RT_NODISCARD enum rt_err tr_run(const struct tr_config *c, const struct tr_hooks *hooks);

#endif // TRAIN_RUN_H
