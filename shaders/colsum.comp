// shaders/colsum.comp -- part[block] = sum over 64 rows of x, four columns a lane. Oracle:
// op_colsum_ref().
#include "colsum.h"
#define BUFFERS COLSUM_BUFFERS
#define PARAMS COLSUM_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(colsum)
    const uint c = GLOBAL_ID * 4u, first = GROUP_Y * 64u;
    if (c >= cols)
        return; // no barrier follows
    const uint end = UMIN(first + 64u, n_rows);
    vec4 sum = vec4(0.0f, 0.0f, 0.0f, 0.0f);
    for (uint t = first; t < end; t++)
        sum += LD4(x, t * ld + c);
    ST4_F32(part, GROUP_Y * ldp + c, sum); // what it writes beyond cols nobody reads
KERNEL_END
