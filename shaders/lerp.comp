// shaders/lerp.comp -- y = keep * y + take * x. Oracle: op_lerp_ref().
#include "lerp.h"
#define BUFFERS LERP_BUFFERS
#define PARAMS LERP_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(lerp)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    for (uint k = i; k < i + uint(PER); k++)
        y[k] = keep * y[k] + take * x[k];
KERNEL_END
