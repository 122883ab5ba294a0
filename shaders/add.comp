// shaders/add.comp -- y += alpha * x. Oracle: op_add_ref().
#include "add.h"
#define BUFFERS ADD_BUFFERS
#define PARAMS ADD_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(add)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    for (uint k = i; k < i + uint(PER); k++)
        y[k] += LD(x, k) * alpha;
KERNEL_END
