// src/train/scaler.h -- dynamic loss scaling of fp16. Source: torch.amp.GradScaler, its defaults.
#ifndef TRAIN_SCALER_H
#define TRAIN_SCALER_H

#include <stdbool.h>
#include <stdint.h>

// Plain data, so that a checkpoint can hold it. scale is always 1 when off.
struct tr_scaler {
    bool on;
    double scale;     // what the loss is multiplied by
    uint32_t clean;   // steps since the scale last changed
    uint64_t skipped; // steps so far whose gradient overflowed
};

static inline struct tr_scaler tr_scaler_make(bool on, double scale)
{
    return (struct tr_scaler){.on = on, .scale = on ? scale : 1.0};
}

// After a step: x0.5 on overflow, x2 after 2000 clean steps in a row.
static inline void tr_scaler_update(struct tr_scaler *s, bool overflow)
{
    if (!s->on)
        return;
    if (overflow) {
        s->scale *= 0.5;
        s->clean = 0;
        s->skipped++;
    } else if (++s->clean == 2000) {
        s->scale *= 2.0;
        s->clean = 0;
    }
}

#endif // TRAIN_SCALER_H
