#include "src/train/schedule.h"

#include <math.h>

double tr_schedule_factor(const struct tr_config *c, uint64_t k, uint64_t total)
{
    const double w =
        c->warmup_steps < 1.0 ? ceil(c->warmup_steps * (double) total) : c->warmup_steps;
    const double step = (double) k, all = (double) total;

    if (c->lr_scheduler_type == TR_CONSTANT)
        return 1.0;
    if (step < w)
        return step / fmax(1.0, w);
    if (c->lr_scheduler_type == TR_CONSTANT_WITH_WARMUP)
        return 1.0;
    const double span = fmax(1.0, all - w);
    if (c->lr_scheduler_type == TR_COSINE)
        return fmax(0.0, 0.5 * (1.0 + cos(3.141592653589793 * (step - w) / span)));
    return fmax(0.0, (all - step) / span);
}
