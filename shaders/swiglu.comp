// shaders/swiglu.comp -- a = act(g) * u. Oracle: op_swiglu_ref().
#include "swiglu.h"
#define BUFFERS SWIGLU_BUFFERS
#define PARAMS SWIGLU_PARAMS
#define LOCALS
#include "kernel.h"
#include "act.h"

KERNEL_BEGIN(swiglu)
    const uint c = GLOBAL_ID * uint(PER), i = GROUP_Y * ld + c;
    if (BEYOND(c, ld))
        return; // no barrier follows
    float y[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float value = act(LD(g, i + k)) * LD(u, i + k);
        y[k] = c < cols ? value : 0.0f; // cols is even: no lane has one of each
    }
    ST_EACH(a, i, y);
KERNEL_END
