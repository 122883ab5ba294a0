// shaders/rows_scatter.comp -- dx[id] += scale * sum of the rows of dy with that id, four columns a
// lane. Oracle: op_rows_scatter_ref().
#include "rows.h"
#define BUFFERS ROWS_SCATTER_BUFFERS
#define PARAMS ROWS_SCATTER_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(rows_scatter)
    const uint c = GLOBAL_ID * 4u, u = GROUP_Y;
    if (c >= cols)
        return; // no barrier follows
    const uint r = index[u] - row_begin; // wraps below row_begin: beyond row_count too
    if (r >= row_count)
        return;
    const uint end = index[n_src + u + 1u];
    vec4 sum = vec4(0.0f, 0.0f, 0.0f, 0.0f);
    for (uint i = index[n_src + u]; i < end; i++) {
        const uint s = index[2u * n_src + 1u + i] - src_begin;
        if (s < src_count)
            sum += LD4(dy, s * ldy + c);
    }
    sum *= scale;
    ADD4_BELOW(dx, r * ldx + c, sum, c, cols)
KERNEL_END
