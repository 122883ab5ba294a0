// src/train/dump.h -- dump_dir: what the goldens hold, in their layout, for comparison with TRL.
#ifndef TRAIN_DUMP_H
#define TRAIN_DUMP_H

#include "src/base/str.h"
#include "src/train/objective.h"

// tokens.json, batches.json, step1.json and grad1.safetensors of a run. { 0 } is off: every call
// does nothing.
struct tr_dump {
    const char *dir;                  // NULL = off
    struct str batches, evals, step1; // JSON so far
    uint64_t step;                    // whose micro-batches are open in `batches`, 0 = none yet
    uint32_t micro;                   // of that step
};

// Make the folder and write tokens.json, and ref_logps.json where the datasets have them. dir NULL:
// off.
RT_NODISCARD enum rt_err tr_dump_open(const char *dir, const struct tr_dataset *train,
                                      const struct tr_dataset *evals, uint32_t n_evals,
                                      struct tr_dump *out);
void tr_dump_close(struct tr_dump *d);

// One micro-batch of optimizer step `step` (from 1), in order.
RT_NODISCARD enum rt_err tr_dump_micro(struct tr_dump *d, uint64_t step, const struct tr_batch *b,
                                       const struct tr_result *r);

// One batch of an evaluation after `step` steps.
RT_NODISCARD enum rt_err tr_dump_eval(struct tr_dump *d, uint64_t step, const struct tr_batch *b,
                                      const struct tr_result *r);

// The gradient of step 1, times `scale`.
RT_NODISCARD enum rt_err tr_dump_grads(struct tr_dump *d, const struct md_params *params,
                                       const struct md_flat *grads, double scale);

// final_ref.safetensors: the reference as syncing left it.
RT_NODISCARD enum rt_err tr_dump_reference(struct tr_dump *d, const struct md_params *params,
                                           const struct md_flat *reference);

// Write batches.json and step1.json.
RT_NODISCARD enum rt_err tr_dump_finish(struct tr_dump *d);

#endif // TRAIN_DUMP_H
