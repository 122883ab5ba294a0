// shaders/cast.comp -- y = x in another storage type, two elements a lane. Oracle: op_cast_ref().
#include "cast.h"
#define BUFFERS CAST_BUFFERS
#define PARAMS CAST_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(cast)
    const uint i = GLOBAL_ID * 2u;
    if (i >= n)
        return; // no barrier follows
    ST2(y, i, LD2(x, i));
KERNEL_END
