// shaders/swiglu_back.comp -- dg = da * u * act'(g), du = da * act(g), four columns a lane.
// Oracle: op_swiglu_back_ref().
#include "swiglu.h"
#define BUFFERS SWIGLU_BACK_BUFFERS
#define PARAMS SWIGLU_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"
#include "act.h"

KERNEL_BEGIN(swiglu_back)
    const uint c = GLOBAL_ID * 4u, i = GROUP_Y * ld + c;
    if (c >= ld)
        return; // no barrier follows
    const vec4 z = columns_below(LD4(g, i), c, cols), up = columns_below(LD4(u, i), c, cols);
    const vec4 d = columns_below(LD4(da, i), c, cols);
    const vec2 a0 = act(z.x), a1 = act(z.y), a2 = act(z.z), a3 = act(z.w);
    ST4(dg, i, d * up * vec4(a0.y, a1.y, a2.y, a3.y));
    ST4(du, i, d * vec4(a0.x, a1.x, a2.x, a3.x));
KERNEL_END
