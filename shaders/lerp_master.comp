// shaders/lerp_master.comp -- y = keep * y + take * x of masters. Oracle: op_lerp_master_ref().
#include "lerp.h"
#define BUFFERS LERP_MASTER_BUFFERS
#define PARAMS LERP_PARAMS
#define LOCALS
#include "kernel.h"
#include "master.h"

KERNEL_BEGIN(lerp_master)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    float y1[PER];
    for (uint k = 0u; k < uint(PER); k++)
        y1[k] = keep * MASTER(y, y_low, i + k) + take * MASTER(x, x_low, i + k);
    MASTER_EACH(y, y_low, i, y1)
KERNEL_END
