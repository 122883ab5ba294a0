// shaders/swiglu.comp -- a = act(g) * u, four columns a lane. Oracle: op_swiglu_ref().
#include "swiglu.h"
#define BUFFERS SWIGLU_BUFFERS
#define PARAMS SWIGLU_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"
#include "act.h"

KERNEL_BEGIN(swiglu)
    const uint c = GLOBAL_ID * 4u, i = GROUP_Y * ld + c;
    if (c >= ld)
        return; // no barrier follows
    const vec4 z = columns_below(LD4(g, i), c, cols), up = columns_below(LD4(u, i), c, cols);
    ST4(a, i, vec4(act(z.x).x, act(z.y).x, act(z.z).x, act(z.w).x) * up);
KERNEL_END
