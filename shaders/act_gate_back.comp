// shaders/act_gate_back.comp -- dg = da * u * act'(g), du = da * act(g). Oracle:
// op_act_gate_back_ref().
#include "act.h"
#define BUFFERS ACT_GATE_BACK_BUFFERS
#define PARAMS ACT_PARAMS
#define LOCALS
#include "kernel.h"
#include "act_kind.h"

KERNEL_BEGIN(act_gate_back)
    const uint c = GLOBAL_ID * uint(PER), i = GROUP_Y * ld + c;
    if (BEYOND(c, ld))
        return; // no barrier follows
    float to_g[PER];
    float to_u[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float z = LD(g, i + k), d = LD(da, i + k), value = d * act_of(z);
        to_u[k] = c < cols ? value : 0.0f; // cols is even: no lane has one of each
        to_g[k] = d * act_slope(z);
    }
    ST_EACH(du, i, to_u);
    // After a store: of three halves that are read together PoCL makes vectors, not of lanes.
    for (uint k = 0u; k < uint(PER); k++)
        to_g[k] = c < cols ? to_g[k] * LD(u, i + k) : 0.0f;
    ST_EACH(dg, i, to_g);
KERNEL_END
