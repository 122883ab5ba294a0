// shaders/attention.comp -- flash attention: a group owns NA queries of one head and walks over the
// tiles of the keys that they see, counted from row_begin and from seg_begin. Oracle:
// op_attention_ref().
#ifndef __OPENCL_C_VERSION__
#extension GL_EXT_control_flow_attributes : require
#define UNROLL [[unroll]]
#else
#define UNROLL _Pragma("unroll")
#endif
#include "attention.h"
#define BUFFERS ATTENTION_BUFFERS
#define PARAMS ATTENTION_PARAMS
#if STAGE_OWN
#define OWN_LOCALS SHARED(vec4, own, NA * TS)
#else
#define OWN_LOCALS
#endif
#define LOCALS                                                                                     \
    SHARED(vec4, tile, TILE_VEC4S) SHARED(float, p, NA * PS) SHARED(float, red, NA * 9) OWN_LOCALS
#include "kernel.h"
#include "attention_tile.h"
#define Q_ROWS own, q, q0, rows, ldq, col
#define K_ROWS tile, k, k0, count, ldk, key_col
#define V_ROWS tile, v, k0, count, ldv, key_col

KERNEL_BEGIN(attention)
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
    float s[RA * RB], top[RA], sum[RA];

    CLEAR(acc)
    UNROLL for (int i = 0; i < RA; i++) {
        top[i] = NO_SCORE;
        sum[i] = 0.0f;
    }
    STAGE_OWN_ROWS(Q_ROWS)
    for (uint b = first; b < tiles1 + tiles2; b++) {
        const uint k0 = b < tiles1 ? row_begin + b * uint(NB) : seg_begin + (b - tiles1) * uint(NB);
        const uint count = (b < tiles1 ? prompt_end : own0 + rows) - k0;
#if WINDOW
        const uint key_pos = b < tiles1 ? k0 - row_begin : n_prompt + k0 - seg_begin;
#endif

        barrier(); // the tile, p and red are free
        STAGE_TILE_ROWS(K_ROWS)
        barrier();
        PRODUCTS(s, Q_ROWS, K_ROWS)
        UNROLL for (int i = 0; i < RA; i++) {
            const uint end = own0 + OWN_ROW(i) + 1u; // one past the last key that is seen
            const uint seen = UMIN(count, end - UMIN(end, k0));   // keys of the tile
            float most = NO_SCORE;
#if WINDOW
            const uint low = WINDOW_FROM(pos0 + OWN_ROW(i)), from = low - UMIN(low, key_pos);
#define SEES(row) ALL2((row) < seen, (row) >= from)
#else
#define SEES(row) ((row) < seen)
#endif
            UNROLL for (int j = 0; j < RB; j++) {
                const float x = SELECT(SEES(TILE_ROW(j)), CAPPED(s[i * RB + j] * scale), NO_SCORE);
                s[i * RB + j] = x;
                most = MAX(most, x);
            }
            red[(OWN_ROW(i)) * 9u + LANE_COL] = most;
        }
        barrier(); // red is written, the keys are read
        STAGE_TILE_ROWS(V_ROWS)
        UNROLL for (int i = 0; i < RA; i++) {
            const uint row = OWN_ROW(i);
            float most = top[i];
            for (uint j = 0u; j < 8u; j++)
                most = MAX(most, red[row * 9u + j]);
            const float shrink = EXP_NEG(top[i] - most);
            top[i] = most;
            sum[i] *= shrink;
            UNROLL for (int j = 0; j < RB; j++) {
                const float x = s[i * RB + j], w = SELECT(x > NO_SCORE, EXP_NEG(x - most), 0.0f);
                sum[i] += w;
                p[row * uint(PS) + TILE_ROW(j)] = w;
            }
            UNROLL for (int c = 0; c < NC; c++)
                acc[i * NC + c] *= shrink;
        }
        barrier(); // p and the values are written
        ACCUMULATE(acc, p, V_ROWS)
    }

    barrier();
    UNROLL for (int i = 0; i < RA; i++)
        red[(OWN_ROW(i)) * 9u + LANE_COL] = sum[i];
    barrier();
    UNROLL for (int i = 0; i < RA; i++) {
        const uint row = OWN_ROW(i);
        float all = 0.0f;
        for (uint j = 0u; j < 8u; j++)
            all += red[row * 9u + j];
        sum[i] = 1.0f / MAX(all, 1.0e-30f); // rows beyond the end sum to 0 and are not stored
        if (row < rows && LANE_COL == 0u) // exact when the own key is the only one
            lse[head * n_tokens + q0 + row] = all == 1.0f ? top[i] : top[i] + log(all);
    }
    STORE_ROWS(o, acc, sum[i_], q0, rows, ldo, head, n_heads)
KERNEL_END
