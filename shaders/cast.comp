// shaders/cast.comp -- y = scale * x in another storage type. Oracle: op_cast_ref().
#include "cast.h"
#define BUFFERS CAST_BUFFERS
#define PARAMS CAST_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(cast)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    float v[PER];
    for (uint k = 0u; k < uint(PER); k++)
        v[k] = scale * LD(x, i + k);
    ST_EACH(y, i, v);
KERNEL_END
