// shaders/route_order.comp -- the row of each slot of a block, and the token of each row: an expert
// a lane, a block a row of groups. Oracle: op_route_order_ref().
#include "route.h"
#define BUFFERS ROUTE_COUNT_BUFFERS
#define PARAMS ROUTE_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(route_order)
    const uint e = GLOBAL_ID, b = GROUP_Y, rows = n_tokens * top_k;
    if (e >= n_experts)
        return; // no barrier follows
    const uint end = UMIN(rows, (b + 1u) * uint(ROUTE_BLOCK));
    uint at = index[ROUTE_COUNTS(rows, n_experts, n_tiles) + b * n_experts + e];
    for (uint i = b * uint(ROUTE_BLOCK); i < end; i++)
        if (index[ROUTE_IDS(rows) + i] == e) {
            index[at] = i / top_k;
            index[ROUTE_PLACE(rows) + i] = at;
            at++;
        }
KERNEL_END
