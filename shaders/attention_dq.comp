// shaders/attention_dq.comp -- gradient of the queries: a group owns NA queries of one head, as in
// attention.comp. Oracle: op_attention_dq_ref().
#ifndef __OPENCL_C_VERSION__
#extension GL_EXT_control_flow_attributes : require
#define UNROLL [[unroll]]
#else
#define UNROLL _Pragma("unroll")
#endif
#include "attention.h"
#define BUFFERS ATTENTION_DQ_BUFFERS
#define PARAMS ATTENTION_PARAMS
#if STAGE_OWN
#define OWN_LOCALS SHARED(vec4, own_q, NA * TS) SHARED(vec4, own_d_o, NA * TS)
#else
#define OWN_LOCALS
#endif
#if BOTH
#define V_LOCALS SHARED(vec4, tile_v, TILE_VEC4S)
#else
#define V_LOCALS
#define tile_v tile
#endif
#define LOCALS SHARED(vec4, tile, TILE_VEC4S) SHARED(float, ds, NA * PS) V_LOCALS OWN_LOCALS
#include "kernel.h"
#include "attention_tile.h"
#define Q_ROWS own_q, q, q0, rows, ldq, col
#define D_O_ROWS own_d_o, d_o, q0, rows, lddo, col
#define K_ROWS tile, k, k0, count, ldk, key_col
#define V_ROWS tile_v, v, k0, count, ldv, key_col

KERNEL_BEGIN(attention_dq)
    const uint block = blocks_at + GROUP_X / uint(PARTS) * uint(ATTENTION_WORDS), head = GROUP_Y;
    const uint skip = GROUP_X % uint(PARTS) * uint(NA), n = index[block + 1u];
    const uint rows = UMIN(n - UMIN(n, skip), uint(NA)); // 0: nothing to do
    const uint q0 = index[block] + skip, own0 = index[block + 2u] + skip;
    const uint row_begin = index[block + 3u], prompt_end = index[block + 4u];
    const uint seg_begin = index[block + 5u];
    const uint col = head * uint(D), key_col = head / (n_heads / n_kv_heads) * uint(D);
    const uint tiles1 = rows > 0u ? (prompt_end - row_begin + uint(NB) - 1u) / uint(NB) : 0u;
    const uint tiles2 = rows > 0u ? (own0 + rows - seg_begin + uint(NB) - 1u) / uint(NB) : 0u;
#if WINDOW
    const uint n_prompt = prompt_end - row_begin, pos0 = n_prompt + own0 - seg_begin;
    const uint first = WINDOW_TILE(WINDOW_FROM(pos0), n_prompt, tiles1);
#else
    const uint first = 0u;
#endif
    vec4 acc[RA * NC];
    float s[RA * RB], dp[RA * RB], row_lse[RA], row_delta[RA];

    CLEAR(acc)
    UNROLL for (int i = 0; i < RA; i++) {
        const uint at = head * n_tokens + q0 + OWN_ROW(i);
        row_lse[i] = OWN_ROW(i) < rows ? lse[at] : 0.0f;
        row_delta[i] = OWN_ROW(i) < rows ? delta[at] : 0.0f;
    }
    STAGE_OWN_ROWS(Q_ROWS)
    STAGE_OWN_ROWS(D_O_ROWS)
    for (uint b = first; b < tiles1 + tiles2; b++) {
        const uint k0 = b < tiles1 ? row_begin + b * uint(NB) : seg_begin + (b - tiles1) * uint(NB);
        const uint count = (b < tiles1 ? prompt_end : own0 + rows) - k0;
#if WINDOW
        const uint key_pos = b < tiles1 ? k0 - row_begin : n_prompt + k0 - seg_begin;
#endif

        barrier(); // tiles and ds are free
        STAGE_TILE_ROWS(V_ROWS)
#if BOTH
        STAGE_TILE_ROWS(K_ROWS)
#endif
        barrier();
        PRODUCTS(dp, D_O_ROWS, V_ROWS)
#if !BOTH
        barrier();
        STAGE_TILE_ROWS(K_ROWS)
        barrier();
#endif
        PRODUCTS(s, Q_ROWS, K_ROWS)
        UNROLL for (int i = 0; i < RA; i++) {
            const uint row = OWN_ROW(i);
            const uint end = own0 + row + 1u; // one past the last key that is seen
            const uint seen = UMIN(count, end - UMIN(end, k0)); // keys of the tile
#if WINDOW
            const uint low = WINDOW_FROM(pos0 + row), from = low - UMIN(low, key_pos);
#define SEES(row) ALL2((row) < seen, (row) >= from)
#else
#define SEES(row) ((row) < seen)
#endif
            UNROLL for (int j = 0; j < RB; j++) {
                const float score = CAPPED(s[i * RB + j] * scale);
                const float w = EXP_NEG(score - row_lse[i]);
                const float d = w * (dp[i * RB + j] - row_delta[i]);
#if SOFTCAP
                ds[row * uint(PS) + TILE_ROW(j)] =
                    SELECT(SEES(TILE_ROW(j)), d * CAP_SLOPE(score), 0.0f);
#else
                ds[row * uint(PS) + TILE_ROW(j)] = SELECT(SEES(TILE_ROW(j)), d, 0.0f);
#endif
            }
        }
        barrier(); // ds is written
        ACCUMULATE(acc, ds, K_ROWS)
    }
    STORE_ROWS(dq, acc, scale, q0, rows, lddq, head, n_heads)
KERNEL_END
