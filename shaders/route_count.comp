// shaders/route_count.comp -- how many slots of a block go to an expert: an expert a lane, a block
// a row of groups. Oracle: op_route_count_ref().
#include "route.h"
#define BUFFERS ROUTE_COUNT_BUFFERS
#define PARAMS ROUTE_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(route_count)
    const uint e = GLOBAL_ID, b = GROUP_Y, rows = n_tokens * top_k;
    if (e >= n_experts)
        return; // no barrier follows
    const uint end = UMIN(rows, (b + 1u) * uint(ROUTE_BLOCK));
    uint n = 0u;
    for (uint i = b * uint(ROUTE_BLOCK); i < end; i++)
        n += index[ROUTE_IDS(rows) + i] == e ? 1u : 0u;
    index[ROUTE_COUNTS(rows, n_experts, n_tiles) + b * n_experts + e] = n;
KERNEL_END
