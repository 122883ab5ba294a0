// shaders/act_back.comp -- dg = da * act'(g). Oracle: op_act_back_ref().
#include "act.h"
#define BUFFERS ACT_BACK_BUFFERS
#define PARAMS ACT_PARAMS
#define LOCALS
#include "kernel.h"
#include "act_kind.h"

KERNEL_BEGIN(act_back)
    const uint c = GLOBAL_ID * uint(PER), i = GROUP_Y * ld + c;
    if (BEYOND(c, ld))
        return; // no barrier follows
    float to_g[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float slope = LD(da, i + k) * act_slope(LD(g, i + k));
        to_g[k] = c < cols ? slope : 0.0f; // cols is even: no lane has one of each
    }
    ST_EACH(dg, i, to_g);
KERNEL_END
