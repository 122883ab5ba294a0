// shaders/experts_tile.h -- matmul.comp as products of rows grouped by expert: which rows, and of
// which expert, a group makes. NT, NN: a tile of rows of the index; TN: all rows of expert e_begin
// + GROUP_Z. A group without any has m = 0 and k = 0. After kernel.h.
#ifndef EXPERTS_TILE_H
#define EXPERTS_TILE_H

#define ROWS_END (row_begin + row_count)
#if FORM == 2
#define EXPERTS_TILE                                                                               \
    const uint e_at = ROUTE_STARTS(rows) + e_begin + GROUP_Z;                                      \
    const uint low = UMAX(index[e_at], row_begin), high = UMIN(index[e_at + 1u], ROWS_END);        \
    const uint k = low < high ? high - low : 0u, m = low < high ? w_rows : 0u, n = w_cols;         \
    const uint i0 = GROUP_Y * uint(BM), j0 = GROUP_X * uint(BN), flags = 1u;                       \
    const uint a_first = (low - row_begin) * lda, b_first = (low - row_begin) * ldb;               \
    const uint c_first = GROUP_Z * e_stride;
#else
#define EXPERTS_TILE                                                                               \
    const uint tile = ROUTE_TILES(rows, n_experts) + 2u * GROUP_Y;                                 \
    const bool there = GROUP_Y < index[ROUTE_N_TILES(rows, n_experts)];                            \
    const uint e = there ? index[tile] : n_experts - 1u, from = there ? index[tile + 1u] : rows;   \
    const uint end = UMIN(from + uint(BM), index[ROUTE_STARTS(rows) + e + 1u]);                    \
    const uint low = UMAX(from, row_begin), high = UMIN(end, ROWS_END);                            \
    const bool mine = low < high && e - e_begin < e_count;                                         \
    const uint k = mine ? (FORM == 0 ? w_cols : w_rows) : 0u;                                      \
    const uint m = mine ? high - row_begin : 0u, n = FORM == 0 ? w_rows : w_cols;                  \
    const uint i0 = low - row_begin, j0 = GROUP_X * uint(BN), flags = 0u;                          \
    const uint a_first = 0u, b_first = (e - e_begin) * e_stride, c_first = 0u;
#endif

#endif // EXPERTS_TILE_H
