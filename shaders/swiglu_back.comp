// shaders/swiglu_back.comp -- dg = da * u * act'(g), du = da * act(g). Oracle:
// op_swiglu_back_ref().
#include "swiglu.h"
#define BUFFERS SWIGLU_BACK_BUFFERS
#define PARAMS SWIGLU_PARAMS
#define LOCALS
#include "kernel.h"
#include "act.h"

KERNEL_BEGIN(swiglu_back)
    const uint c = GLOBAL_ID * uint(PER), i = GROUP_Y * ld + c;
    if (BEYOND(c, ld))
        return; // no barrier follows
    float to_g[PER];
    float to_u[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float z = LD(g, i + k), d = LD(da, i + k), value = d * act(z);
        to_u[k] = c < cols ? value : 0.0f; // cols is even: no lane has one of each
        to_g[k] = d * act_slope(z);
    }
    ST_EACH(du, i, to_u);
    // After a store: of three halves that are read together PoCL makes vectors, not of lanes.
    for (uint k = 0u; k < uint(PER); k++)
        to_g[k] = c < cols ? to_g[k] * LD(u, i + k) : 0.0f;
    ST_EACH(dg, i, to_g);
KERNEL_END
