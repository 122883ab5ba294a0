// shaders/route_scan.comp -- counts of blocks to where each block's rows of an expert begin, and
// the tiles of rows: one group. Oracle: op_route_scan_ref().
#include "route.h"
#define BUFFERS ROUTE_COUNT_BUFFERS
#define PARAMS ROUTE_PARAMS
#define LOCALS SHARED(uint, first, 1024)
#include "kernel.h"

KERNEL_BEGIN(route_scan)
    const uint rows = n_tokens * top_k, counts = ROUTE_COUNTS(rows, n_experts, n_tiles);
    const uint blocks = (rows + uint(ROUTE_BLOCK) - 1u) / uint(ROUTE_BLOCK);
    for (uint e = LANE; e < n_experts; e += uint(LANES)) {
        uint n = 0u;
        for (uint b = 0u; b < blocks; b++)
            n += index[counts + b * n_experts + e];
        first[e] = n;
    }
    barrier();
    if (LANE == 0u) {
        uint at = 0u, tile = ROUTE_TILES(rows, n_experts);
        for (uint e = 0u; e < n_experts; e++) {
            const uint end = at + first[e];
            first[e] = at;
            index[ROUTE_STARTS(rows) + e] = at;
            for (; at < end; at = UMIN(end, at + uint(ROUTE_TILE))) {
                index[tile] = e;
                index[tile + 1u] = at;
                tile += 2u;
            }
        }
        index[ROUTE_STARTS(rows) + n_experts] = at;
        index[ROUTE_N_TILES(rows, n_experts)] = (tile - ROUTE_TILES(rows, n_experts)) / 2u;
    }
    barrier();
    for (uint e = LANE; e < n_experts; e += uint(LANES)) {
        uint at = first[e];
        for (uint b = 0u; b < blocks; b++) {
            const uint n = index[counts + b * n_experts + e];
            index[counts + b * n_experts + e] = at;
            at += n;
        }
    }
KERNEL_END
