// shaders/add.comp -- y += alpha * x, two elements a lane. Oracle: op_add_ref().
#include "add.h"
#define BUFFERS ADD_BUFFERS
#define PARAMS ADD_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(add)
    const uint i = GLOBAL_ID * 2u;
    if (i >= n)
        return; // no barrier follows
    const vec2 sum = LD2_F32(y, i) + LD2(x, i) * alpha;
    ST2_F32(y, i, sum);
KERNEL_END
