// shaders/attention_dq.comp -- gradient of the queries: a group owns NA queries of one head, as in
// attention.comp. Oracle: op_attention_dq_ref().
#include "attention.h"
#define BUFFERS ATTENTION_DQ_BUFFERS
#define PARAMS ATTENTION_PARAMS
#if STAGE_OWN
#define OWN_LOCALS SHARED(vec4, own_q, NA * TS) SHARED(vec4, own_d_o, NA * TS)
#else
#define OWN_LOCALS
#endif
#if BOTH
#define V_LOCALS SHARED(vec4, tile_v, NB * TS)
#else
#define V_LOCALS
#define tile_v tile
#endif
#define LOCALS SHARED(vec4, tile, NB * TS) SHARED(float, ds, NA * PS) V_LOCALS OWN_LOCALS
#include "kernel.h"
#include "attention_tile.h"

KERNEL_BEGIN(attention_dq)
    const uint block = blocks_at + GROUP_X / uint(PARTS) * uint(ATTENTION_WORDS), head = GROUP_Y;
    const uint skip = GROUP_X % uint(PARTS) * uint(NA), n = index[block + 1u];
    const uint rows = UMIN(n - UMIN(n, skip), uint(NA)), last = rows - 1u; // rows 0: nothing to do
    const uint q0 = index[block] + skip, own0 = index[block + 2u] + skip;
    const uint row_begin = index[block + 3u], prompt_end = index[block + 4u], seg_begin = index[block + 5u];
    const uint col = head * uint(D), key_col = head / (n_heads / n_kv_heads) * uint(D);
    const uint tiles1 = rows > 0u ? (prompt_end - row_begin + uint(NB) - 1u) / uint(NB) : 0u;
    const uint tiles2 = rows > 0u ? (own0 + rows - seg_begin + uint(NB) - 1u) / uint(NB) : 0u;
    vec4 acc[RA * NC];
    float s[RA * RB], dp[RA * RB], row_lse[RA], row_delta[RA];

    CLEAR(acc)
    for (int i = 0; i < RA; i++) {
        const uint at = head * n_tokens + q0 + LANE_ROW + 8u * uint(i);
        row_lse[i] = LANE_ROW + 8u * uint(i) < rows ? lse[at] : 0.0f;
        row_delta[i] = LANE_ROW + 8u * uint(i) < rows ? delta[at] : 0.0f;
    }
#if STAGE_OWN
    STAGE(own_q, NA, q, q0, rows, ldq, col)
    STAGE(own_d_o, NA, d_o, q0, rows, lddo, col)
#endif
    for (uint b = 0u; b < tiles1 + tiles2; b++) {
        const uint k0 = b < tiles1 ? row_begin + b * uint(NB) : seg_begin + (b - tiles1) * uint(NB);
        const uint count = (b < tiles1 ? prompt_end : own0 + rows) - k0;

        barrier(); // tiles and ds are free
        STAGE(tile_v, NB, v, k0, count, ldv, key_col)
#if BOTH
        STAGE(tile, NB, k, k0, count, ldk, key_col)
#endif
        barrier();
        PRODUCTS(dp, own_d_o, d_o, q0, last, lddo, col, tile_v)
#if !BOTH
        barrier();
        STAGE(tile, NB, k, k0, count, ldk, key_col)
        barrier();
#endif
        PRODUCTS(s, own_q, q, q0, last, ldq, col, tile)
        for (int i = 0; i < RA; i++) {
            const uint row = LANE_ROW + 8u * uint(i);
            const uint end = own0 + row + 1u;                   // one past the last key that is seen
            const uint seen = UMIN(count, end - UMIN(end, k0)); // keys of the tile
            for (int j = 0; j < RB; j++) {
                const float w = EXP_NEG(s[i * RB + j] * scale - row_lse[i]);
                ds[row * uint(PS) + LANE_COL + 8u * uint(j)] =
                    LANE_COL + 8u * uint(j) < seen ? w * (dp[i * RB + j] - row_delta[i]) : 0.0f;
            }
        }
        barrier(); // ds is written
        ACCUMULATE(acc, ds, tile)
    }
    STORE_ROWS(dq, acc, scale, q0, rows, lddq, head, n_heads)
KERNEL_END
