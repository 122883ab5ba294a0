// shaders/attention_dkv.comp -- gradients of keys and values: a group owns NA keys of one key head
// and walks over the queries that see them, head by head of those that read this key head. Oracle:
// op_attention_dkv_ref().
#ifndef __OPENCL_C_VERSION__
#extension GL_EXT_control_flow_attributes : require
#define UNROLL [[unroll]]
#else
#define UNROLL _Pragma("unroll")
#endif
#include "attention.h"
#define BUFFERS ATTENTION_DKV_BUFFERS
#define PARAMS ATTENTION_PARAMS
#if STAGE_OWN
#define OWN_LOCALS SHARED(vec4, own_k, NA * TS) SHARED(vec4, own_v, NA * TS)
#else
#define OWN_LOCALS
#endif
#if BOTH
#define D_O_LOCALS SHARED(vec4, tile_d_o, TILE_VEC4S)
#else
#define D_O_LOCALS
#define tile_d_o tile
#endif
#define LOCALS                                                                                     \
    SHARED(vec4, tile, TILE_VEC4S) SHARED(float, p, NA * PS) SHARED(float, ds, NA * PS) D_O_LOCALS \
    OWN_LOCALS
#include "kernel.h"
#include "attention_tile.h"
#define Q_ROWS tile, q, q0, count, ldq, col
#define D_O_ROWS tile_d_o, d_o, q0, count, lddo, col
#define K_ROWS own_k, k, k0, rows, ldk, key_col
#define V_ROWS own_v, v, k0, rows, ldv, key_col

KERNEL_BEGIN(attention_dkv)
    const uint block = blocks_at + GROUP_X / uint(PARTS) * uint(ATTENTION_WORDS);
    const uint skip = GROUP_X % uint(PARTS) * uint(NA), n = index[block + 1u];
    const uint rows = UMIN(n - UMIN(n, skip), uint(NA)); // 0: nothing to do
    const uint k0 = index[block] + skip, shift = index[block + 4u];
    const uint q_begin = index[block + 2u] + skip, q_end = index[block + 3u];
    const uint key_head = GROUP_Y, key_col = key_head * uint(D);
    const uint tiles = rows > 0u ? (q_end - q_begin + uint(NB) - 1u) / uint(NB) : 0u;
    const uint heads = n_heads / n_kv_heads;
#if WINDOW
    const uint key_pos = rows > 0u ? index[positions_at + k0 - shift] : 0u; // its own query's
#endif
    vec4 acc_k[RA * NC], acc_v[RA * NC];
    float s[RA * RB], dp[RA * RB];

    CLEAR(acc_k)
    CLEAR(acc_v)
    STAGE_OWN_ROWS(K_ROWS)
    STAGE_OWN_ROWS(V_ROWS)
    for (uint b = 0u; b < tiles * heads; b++) {
        const uint head = key_head * heads + b / tiles, col = head * uint(D);
        const uint q0 = q_begin + b % tiles * uint(NB), count = q_end - q0;

        barrier(); // tiles, p and ds are free
        STAGE_TILE_ROWS(Q_ROWS)
#if BOTH
        STAGE_TILE_ROWS(D_O_ROWS)
#endif
        barrier();
        PRODUCTS(s, K_ROWS, Q_ROWS)
#if !BOTH
        barrier();
        STAGE_TILE_ROWS(D_O_ROWS)
        barrier();
#endif
        PRODUCTS(dp, V_ROWS, D_O_ROWS)
        UNROLL for (int j = 0; j < RB; j++) {
            const uint t = q0 + TILE_ROW(j), at = head * n_tokens + UMIN(t, q_end - 1u);
            const float row_lse = lse[at], row_delta = delta[at];
            UNROLL for (int i = 0; i < RA; i++) {
                const uint row = OWN_ROW(i);
#if WINDOW
                const uint ahead = index[positions_at + UMIN(t, q_end - 1u)] - key_pos - row;
                const bool near = ahead < window;
                const bool sees = ALL2(ALL2(t < q_end, t + shift >= k0 + row), near);
#else
                const bool sees = ALL2(t < q_end, t + shift >= k0 + row);
#endif
                const float score = CAPPED(s[i * RB + j] * scale);
                const float w = SELECT(sees, EXP_NEG(score - row_lse), 0.0f);
                p[row * uint(PS) + TILE_ROW(j)] = w;
#if SOFTCAP
                ds[row * uint(PS) + TILE_ROW(j)] =
                    w * (dp[i * RB + j] - row_delta) * CAP_SLOPE(score);
#else
                ds[row * uint(PS) + TILE_ROW(j)] = w * (dp[i * RB + j] - row_delta);
#endif
            }
        }
        barrier(); // p and ds are written
        ACCUMULATE(acc_v, p, D_O_ROWS)
#if !BOTH
        barrier();
        STAGE_TILE_ROWS(Q_ROWS)
        barrier();
#endif
        ACCUMULATE(acc_k, ds, Q_ROWS)
    }
    STORE_ROWS(dk, acc_k, scale, k0, rows, lddk, key_head, n_kv_heads)
    STORE_ROWS(dv, acc_v, 1.0f, k0, rows, lddv, key_head, n_kv_heads)
KERNEL_END
