// src/train/precompute.h -- precompute_ref_log_probs: the reference's log-probs before training.
//
// Values are those that the running reference would give, to the bit. They come from a file where
// one fits: ref_log_probs_file, or else one in the user's cache folder, kept by what the values
// depend on and by the kernels that made them. Source: trl.md section 1.6.
#ifndef TRAIN_PRECOMPUTE_H
#define TRAIN_PRECOMPUTE_H

#include "src/train/session.h"

// Give every dataset of the session the values that a file has. *missing: datasets that are still
// without. The model must be open; the reference not yet. Errors: those of tr_ref_logps_read for a
// named file; a damaged one of the cache is left out with a warning.
RT_NODISCARD enum rt_err tr_precompute_find(const struct tr_config *c, struct tr_session *s,
                                            uint32_t *missing);

// Compute what is missing and write the file. The objective and the reference must be open.
RT_NODISCARD enum rt_err tr_precompute_run(const struct tr_config *c, struct tr_session *s);

#endif // TRAIN_PRECOMPUTE_H
