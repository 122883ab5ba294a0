// src/train/schedule.h -- learning rate by step: transformers' schedules that need nothing but the
// step.
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stdint.h>

enum tr_scheduler {
    TR_LINEAR,
    TR_COSINE,
    TR_COSINE_WITH_RESTARTS,
    TR_POLYNOMIAL,
    TR_CONSTANT,
    TR_CONSTANT_WITH_WARMUP,
    TR_INVERSE_SQRT,
    TR_COSINE_WITH_MIN_LR,
    TR_COSINE_WARMUP_WITH_MIN_LR,
    TR_WARMUP_STABLE_DECAY,
    TR_SCHEDULERS
};

// How a phase of warmup_stable_decay goes from one end to the other.
enum tr_ramp { TR_RAMP_LINEAR, TR_RAMP_COSINE, TR_RAMP_ONE_MINUS_SQRT, TR_RAMPS };

const char *tr_scheduler_name(enum tr_scheduler s); // "cosine_with_restarts"
const char *tr_ramp_name(enum tr_ramp r);           // "1-sqrt"

// lr_scheduler_type, warmup_steps and lr_scheduler_kwargs. { 0 } is linear without warm-up. Rates
// are shares of the peak learning rate.
struct tr_schedule {
    enum tr_scheduler kind;
    double warmup_steps;   // whole steps (a fraction is cut), or a share of all steps when below 1
    double num_cycles;     // of the cosines: 0.5 is one fall; of the restarts: falls
    double end;            // lr_end, min_lr, min_lr_rate, min_lr_ratio
    double power;          // of polynomial
    double timescale;      // of inverse_sqrt; 0: the steps of warm-up, or 10000 without
    double warmup_lr_rate; // of cosine_warmup_with_min_lr; below 0: not given
    double num_decay_steps,
        num_stable_steps; // of warmup_stable_decay; stable below 0: what is left
    enum tr_ramp warmup_type, decay_type;
};

// What is not set of `kind`: the defaults of transformers.
struct tr_schedule tr_schedule_default(enum tr_scheduler kind);

// Factor of the peak learning rate for optimizer step k + 1, k = scheduler steps done so far, of
// `total` steps. Source: transformers 5.23, optimization.py.
double tr_schedule_factor(const struct tr_schedule *s, uint64_t k, uint64_t total);

// logging_steps and its like: a number of steps, or below 1 a share of all, rounded up. 0 stays 0.
uint64_t tr_schedule_every(double steps, uint64_t total);

#endif // TRAIN_SCHEDULE_H
