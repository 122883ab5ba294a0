// shaders/attention_wide_dkv.cl -- gradients of keys and values on a CPU: a work-item owns L keys
// of one key head and walks over the queries that see them, head by head of those that read it.
// Oracle: op_attention_dkv_ref().
#include "attention.h"
#define BUFFERS ATTENTION_DKV_BUFFERS
#define PARAMS ATTENTION_PARAMS
#define LOCALS                                                                                     \
    SHARED(float, queries, KB *DP) SHARED(float, d_os, KB *DP) SHARED(float, p, KB *L)             \
    SHARED(float, ds, KB *L) SHARED(float, kt, DP *L) SHARED(float, vt, DP *L)                     \
    SHARED(float, dkt, DP *L) SHARED(float, dvt, DP *L) SHARED(float, factor, L)
#include "kernel.h"
#include "attention_wide.h"

KERNEL_BEGIN(attention_wide_dkv)
    const uint block = blocks_at + GROUP_X / PARTS * ATTENTION_WORDS, skip = GROUP_X % PARTS * L;
    const uint all = index[block + 1], key_head = GROUP_Y, heads = n_heads / n_kv_heads;
    if (skip >= all)
        return; // no barrier follows
    const uint rows = min(all - skip, (uint)L), k0 = index[block] + skip, key_col = key_head * D;
    const uint q_begin = index[block + 2] + skip, q_end = index[block + 3];
    const uint shift = index[block + 4];
    const FV keep[QV] = ONES;
    uint16 key[QV];
#if WINDOW
    const uint key_pos = index[positions_at + k0 - shift]; // its own query's
#endif

    for (uint v_ = 0; v_ < QV; v_++)
        key[v_] = k0 + min(lane_numbers(v_), rows - 1);
    LOAD_LANES(kt, k, k0 * ldk + key_col, ldk, rows, 1.0f)
    LOAD_LANES(vt, v, k0 * ldv + key_col, ldv, rows, 1.0f)
    clear(dkt, DP * L);
    clear(dvt, DP * L);
    for (uint h = key_head * heads; h < (key_head + 1) * heads; h++)
        for (uint q0 = q_begin; q0 < q_end; q0 += KB) {
            const uint n = min(q_end - q0, (uint)KB), at = h * n_tokens + q0;
            LOAD_ROWS(queries, q, q0 * ldq + h * D, ldq, n, scale)
            LOAD_ROWS(d_os, d_o, q0 * lddo + h * D, lddo, n, 1.0f)
            for (uint j = 0; j < n; j += KT) {
                FV s[KT * QV], dp[KT * QV];
                products(queries + j * DP, kt, s);
                UNROLL for (int i = 0; i < KT; i++)
                    UNROLL for (int v_ = 0; v_ < QV; v_++)
                    {
                        const uint e = min(j + i, n - 1);
                        const FV score = CAPPED(s[i * QV + v_]);
                        const FV w = exp_neg16(min(score - lse[at + e], (FV)(1.0f)));
#if WINDOW
                        const uint pos = index[positions_at + q0 + e] - key_pos;
                        const uint16 ahead = pos - (key[v_] - k0);
                        const int16 seen = key[v_] <= q0 + e + shift && ahead < window;
#else
                        const int16 seen = key[v_] <= q0 + e + shift;
#endif
                        s[i * QV + v_] = select((FV)(0.0f), w, seen);
                        STF(p, (j + i) * L + v_ * 16, s[i * QV + v_]);
#if SOFTCAP
                        s[i * QV + v_] *= CAP_SLOPE(score);
#endif
                    }
                products(d_os + j * DP, vt, dp);
                UNROLL for (int i = 0; i < KT; i++)
                    UNROLL for (int v_ = 0; v_ < QV; v_++)
                        STF(ds, (j + i) * L + v_ * 16,
                            s[i * QV + v_] * (dp[i * QV + v_] - delta[at + min(j + i, n - 1)]));
            }
            accumulate(dvt, keep, d_os, p, n);
            accumulate(dkt, keep, queries, ds, n);
        }
    for (uint v_ = 0; v_ < QV; v_++)
        STF(factor, v_ * 16, (FV)(1.0f));
    STORE_LANES(dk, dkt, k0 * lddk + key_col, lddk, rows, factor) // the queries were scaled already
    STORE_LANES(dv, dvt, k0 * lddv + key_col, lddv, rows, factor)
    if (key_head + 1 == n_kv_heads) {
        CLEAR_PADDING(dk, k0, lddk, rows, n_kv_heads * D)
        CLEAR_PADDING(dv, k0, lddv, rows, n_kv_heads * D)
    }
KERNEL_END
