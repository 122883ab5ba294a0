// src/train/profile.h -- where a run's time on the device goes.
#ifndef TRAIN_PROFILE_H
#define TRAIN_PROFILE_H

#include "runtime/rt.h"

// A table of the device's runs so far by phase and kernel, slowest first, to the log, and all of
// them as a Chrome trace (chrome://tracing, Perfetto) into dir/profile.json. Nothing when the
// device was opened without a profile. Errors: RT_E_NOMEM, RT_E_IO.
RT_NODISCARD enum rt_err tr_profile_write(const struct rt_dev *dev, const char *dir);

#endif // TRAIN_PROFILE_H
