// shaders/experts_sum.comp -- y[t] = sum of the token's rows of x (+ y[t]), four columns a lane.
// Oracle: op_experts_sum_ref().
#include "experts.h"
#include "route.h"
#define BUFFERS EXPERTS_SUM_BUFFERS
#define PARAMS EXPERTS_SUM_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"

#ifndef ADD
#define ADD 0
#endif

KERNEL_BEGIN(experts_sum)
    const uint c = GLOBAL_ID * 4u, t = GROUP_Y;
    if (c >= ldy)
        return; // no barrier follows
    vec4 sum = vec4(0.0f, 0.0f, 0.0f, 0.0f);
    for (uint i = 0u; i < top_k; i++) {
        const uint r = index[ROUTE_PLACE(rows) + (t_begin + t) * top_k + i] - row_begin;
        if (r < row_count) // wraps below row_begin
            sum += LD4(x, r * ldx + UMIN(c, ldx - 4u));
    }
#if ADD
    if (c < cols)
        ADD4_BELOW(y, t * ldy + c, sum, c, cols)
#else
    ST4_F32(y, t * ldy + c, columns_below(sum, c, cols));
#endif
KERNEL_END
