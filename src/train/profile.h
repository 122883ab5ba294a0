// src/train/profile.h -- where a run's time on the device goes.
#ifndef TRAIN_PROFILE_H
#define TRAIN_PROFILE_H

#include "runtime/rt.h"

// What steps took: in the first half of a run with kernels one by one, in the second half as they
// run without a profile. Part of the run's state; { 0 } measures nothing.
struct tr_profile {
    uint64_t warm;      // steps up to this one touch memory first: not measured
    uint64_t switch_at; // settle after this step; 0: no profile
    bool open, alone;   // a stretch of steps is under way; of the first kind
    double began;
    uint64_t from, events; // step and event that the stretch began with
    struct rt_stats stats; // then
    // Of closed stretches, [alone]
    uint64_t steps[2], submits, waits, drains;
    double seconds[2], flops[2]; // seconds of kernels where alone, else of the clock
};

// Steps done .. total will be run. `profile`: the device was opened with one.
void tr_profile_open(struct tr_profile *p, bool profile, uint64_t done, uint64_t total);

// Around steps between which nothing else is done: before the one after `step`, and when all up to
// `step` is settled.
void tr_profile_begin(struct tr_profile *p, struct rt_dev *dev, uint64_t step);
void tr_profile_end(struct tr_profile *p, struct rt_dev *dev, uint64_t step);

// A table of the device's runs so far by phase and kernel, slowest first, to the log, and all of
// them as a Chrome trace (chrome://tracing, Perfetto) into dir/profile.json; and for how much of a
// step the device is busy. Nothing when the device was opened without a profile. Errors:
// RT_E_NOMEM, RT_E_IO.
RT_NODISCARD enum rt_err tr_profile_write(const struct tr_profile *p, const struct rt_dev *dev,
                                          const char *dir);

#endif // TRAIN_PROFILE_H
