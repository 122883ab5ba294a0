// shaders/rows_gather.comp -- y[m] = scale * x[ids[m]], four columns a lane; ADD 1: added to
// what is there. Oracle: op_rows_gather_ref().
#include "rows.h"
#define BUFFERS ROWS_GATHER_BUFFERS
#define PARAMS ROWS_GATHER_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"

#ifndef ADD
#define ADD 0
#endif

KERNEL_BEGIN(rows_gather)
    const uint c = GLOBAL_ID * 4u, m = GROUP_Y;
    if (c >= ldy)
        return; // no barrier follows
    const uint r = ids[m] - row_begin; // wraps below row_begin: beyond row_count too
    if (r >= row_count)
        return;
    const vec4 v = LD4(x, r * ldx + UMIN(c, ldx - 4u)) * scale;
#if ADD
    if (c < cols)
        ADD4_BELOW(y, m * ldy + c, v, c, cols)
#else
    ST4(y, m * ldy + c, columns_below(v, c, cols));
#endif
KERNEL_END
