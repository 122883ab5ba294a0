// src/train/fingerprint.h -- what a run starts from, in a few words that can be compared later.
//
// A checkpoint holds them, so that a run is not resumed with other data, another model or another
// reference, and so that it is said when the device computes with other kernels.
#ifndef TRAIN_FINGERPRINT_H
#define TRAIN_FINGERPRINT_H

#include "src/format/json.h"
#include "src/train/session.h"

// XXH64 values.
struct tr_fingerprint {
    uint64_t data;      // token ids of all pairs, in order, and what cuts them
    uint64_t model;     // a sample of the model's weights as loaded
    uint64_t trained;   // the same of what is trained
    uint64_t reference; // the same of the frozen reference, or what its log-probs depend on where
                        // they were computed beforehand; 0 = it is the model itself
};

// Of a session whose weights have not moved yet. Reads two rows of every weight from the device.
// Errors: those of rt_buf_read; RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_fingerprint_take(const struct tr_session *s,
                                             struct tr_fingerprint *out);

// An object of names and strings: the device, its driver and limits, and the kernels that it
// picked: whatever fixes the order of sums.
void tr_kernels_write(struct fmt_jw *w, const struct tr_session *s);

#endif // TRAIN_FINGERPRINT_H
