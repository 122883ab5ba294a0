// shaders/act_gate.comp -- a = act(g) * u. Oracle: op_act_gate_ref().
#include "act.h"
#define BUFFERS ACT_GATE_BUFFERS
#define PARAMS ACT_PARAMS
#define LOCALS
#include "kernel.h"
#include "act_kind.h"

KERNEL_BEGIN(act_gate)
    const uint c = GLOBAL_ID * uint(PER), i = GROUP_Y * ld + c;
    if (BEYOND(c, ld))
        return; // no barrier follows
    float y[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float value = act_of(LD(g, i + k)) * LD(u, i + k);
        y[k] = c < cols ? value : 0.0f; // cols is even: no lane has one of each
    }
    ST_EACH(a, i, y);
KERNEL_END
