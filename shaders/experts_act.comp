// shaders/experts_act.comp -- a = w[m] * act(g) * u. Oracle: op_experts_act_ref().
#include "act.h"
#include "experts.h"
#define BUFFERS EXPERTS_ACT_BUFFERS
#define PARAMS ACT_PARAMS
#define LOCALS
#include "kernel.h"
#include "act_kind.h"

KERNEL_BEGIN(experts_act)
    const uint c = GLOBAL_ID * uint(PER), i = GROUP_Y * ld + c;
    if (BEYOND(c, ld))
        return; // no barrier follows
    const float weight = w[GROUP_Y];
    float v[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float value = weight * (act_of(LD(g, i + k)) * LD(u, i + k));
        v[k] = c < cols ? value : 0.0f; // cols is even: no lane has one of each
    }
    ST_EACH(a, i, v);
KERNEL_END
