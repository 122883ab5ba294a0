#include "src/train/schedule.h"

#include <math.h>

static const double PI = 3.141592653589793;

const char *tr_scheduler_name(enum tr_scheduler s)
{
    static const char *const NAMES[TR_SCHEDULERS] = {"linear",
                                                     "cosine",
                                                     "cosine_with_restarts",
                                                     "polynomial",
                                                     "constant",
                                                     "constant_with_warmup",
                                                     "inverse_sqrt",
                                                     "cosine_with_min_lr",
                                                     "cosine_warmup_with_min_lr",
                                                     "warmup_stable_decay"};
    return NAMES[s];
}

const char *tr_ramp_name(enum tr_ramp r)
{
    static const char *const NAMES[TR_RAMPS] = {"linear", "cosine", "1-sqrt"};
    return NAMES[r];
}

struct tr_schedule tr_schedule_default(enum tr_scheduler kind)
{
    return (struct tr_schedule){.kind = kind,
                                .num_cycles = kind == TR_COSINE_WITH_RESTARTS ? 1.0 : 0.5,
                                .power = 1.0,
                                .warmup_lr_rate = -1.0,
                                .num_stable_steps = -1.0,
                                .decay_type = TR_RAMP_COSINE};
}

static double wave(double cycles, double progress)
{
    return 0.5 * (1.0 + cos(PI * cycles * 2.0 * progress));
}

static double lift(double factor, double end)
{
    return fmax(0.0, factor * (1.0 - end) + end);
}

static double stable_decay(const struct tr_schedule *s, double step, double w, double all)
{
    const double decay = s->num_decay_steps;
    const double stable = s->num_stable_steps < 0.0 ? all - w - decay : s->num_stable_steps;
    const double down = (step - w - stable) / fmax(1.0, decay), up = step / fmax(1.0, w);

    if (step < w) {
        const double ramps[TR_RAMPS] = {up, 0.5 * (1.0 - cos(PI * up)), 1.0 - sqrt(1.0 - up)};
        return lift(ramps[s->warmup_type], s->end);
    }
    if (step < w + stable)
        return 1.0;
    if (step >= w + stable + decay)
        return s->end;
    const double ramps[TR_RAMPS] = {1.0 - down, wave(s->num_cycles, down), 1.0 - sqrt(down)};
    return lift(ramps[s->decay_type], s->end);
}

// Warm-up that begins above 0, and a wave that is one step ahead.
static double min_lr_from_start(const struct tr_schedule *s, double step, double w, double span)
{
    if (step < w && s->warmup_lr_rate < 0.0)
        return (step + 1.0) / fmax(1.0, w);
    if (step < w)
        return s->warmup_lr_rate + (1.0 - s->warmup_lr_rate) * step / fmax(1.0, w - 1.0);
    return lift(wave(s->num_cycles, (step - w + 1.0) / span), s->end);
}

static double after_warmup(const struct tr_schedule *s, double step, double w, double all)
{
    const double span = fmax(1.0, all - w), progress = (step - w) / span;

    switch (s->kind) {
    case TR_COSINE:
        return fmax(0.0, wave(s->num_cycles, progress));
    case TR_COSINE_WITH_RESTARTS:
        return progress >= 1.0 ? 0.0 : fmax(0.0, wave(0.5, fmod(s->num_cycles * progress, 1.0)));
    case TR_COSINE_WITH_MIN_LR:
        return lift(wave(s->num_cycles, progress), s->end);
    case TR_POLYNOMIAL:
        return step > all ? s->end
                          : (1.0 - s->end) * pow(fmax(0.0, 1.0 - progress), s->power) + s->end;
    case TR_INVERSE_SQRT: {
        const double scale = s->timescale > 0.0 ? s->timescale : w > 0.0 ? w : 10000.0;
        return 1.0 / sqrt((step + scale - w) / scale);
    }
    default:
        return fmax(0.0, (all - step) / span);
    }
}

double tr_schedule_factor(const struct tr_schedule *s, uint64_t k, uint64_t total)
{
    const double step = (double) k, all = (double) total;
    const double w = s->warmup_steps < 1.0 ? ceil(all * s->warmup_steps) : floor(s->warmup_steps);

    if (s->kind == TR_CONSTANT)
        return 1.0;
    if (s->kind == TR_WARMUP_STABLE_DECAY)
        return stable_decay(s, step, w, all);
    if (s->kind == TR_COSINE_WARMUP_WITH_MIN_LR)
        return min_lr_from_start(s, step, w, fmax(1.0, all - w));
    if (step < w)
        return step / fmax(1.0, w);
    if (s->kind == TR_CONSTANT_WITH_WARMUP)
        return 1.0;
    return after_warmup(s, step, w, all);
}

uint64_t tr_schedule_every(double steps, uint64_t total)
{
    return (uint64_t) (steps < 1.0 ? ceil((double) total * steps) : steps);
}
