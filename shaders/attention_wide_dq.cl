// shaders/attention_wide_dq.cl -- gradient of the queries on a CPU: a work-item owns L queries of
// HG query heads that read one key head. Oracle: op_attention_dq_ref().
#include "attention.h"
#define BUFFERS ATTENTION_DQ_BUFFERS
#define PARAMS ATTENTION_PARAMS
#define LOCALS                                                                                     \
    SHARED(float, keys, KB *DP) SHARED(float, values, KB *DP) SHARED(float, ds, KB *L)             \
    SHARED(float, qt, HG *DP *L) SHARED(float, dot, HG *DP *L) SHARED(float, dqt, HG *DP *L)       \
    SHARED(float, factor, L)
#include "kernel.h"
#include "attention_wide.h"

// ds[j][lane] of n keys from k0 on, and of a few more that nobody reads. With a window lanes see no
// key below `low`.
void gradients(__local const float *keys, __local const float *values, __local const float *qt,
               __local const float *dot, __local float *ds, uint n, uint k0, const uint16 *own,
               const uint16 *low, float softcap, const FV *row_lse, const FV *row_delta)
{
    for (uint j = 0; j < n; j += KT) {
        FV s[KT * QV], dp[KT * QV];
        products(keys + j * DP, qt, s);
        UNROLL for (int i = 0; i < KT; i++)
            UNROLL for (int v = 0; v < QV; v++)
            {
                const FV score = CAPPED(s[i * QV + v]);
                const FV w = exp_neg16(min(score - row_lse[v], (FV)(1.0f)));
#if WINDOW
                const int16 seen = own[v] >= k0 + j + i && low[v] <= k0 + j + i;
#else
                const int16 seen = own[v] >= k0 + j + i;
#endif
#if SOFTCAP
                s[i * QV + v] = select((FV)(0.0f), w * CAP_SLOPE(score), seen);
#else
                s[i * QV + v] = select((FV)(0.0f), w, seen);
#endif
            }
        products(values + j * DP, dot, dp);
        UNROLL for (int i = 0; i < KT; i++)
            UNROLL for (int v = 0; v < QV; v++)
                STF(ds, (j + i) * L + v * 16, s[i * QV + v] * (dp[i * QV + v] - row_delta[v]));
    }
}

KERNEL_BEGIN(attention_wide_dq)
    const uint block = blocks_at + GROUP_X / PARTS * ATTENTION_WORDS, skip = GROUP_X % PARTS * L;
    const uint all = index[block + 1], head0 = GROUP_Y * HG;
    if (skip >= all)
        return; // no barrier follows
    const uint rows = min(all - skip, (uint)L);
    const uint q0 = index[block] + skip, own0 = index[block + 2] + skip;
    const uint row_begin = index[block + 3], prompt_end = index[block + 4];
    const uint seg_begin = index[block + 5];
    const uint key_col = head0 / (n_heads / n_kv_heads) * D;
    const FV keep[QV] = ONES;
    FV row_lse[HG * QV], row_delta[HG * QV];
    uint16 own[QV], low[QV];
#if WINDOW
    const uint n_prompt = prompt_end - row_begin, pos0 = n_prompt + own0 - seg_begin;
    const uint from = WINDOW_FROM(pos0);
    const uint skip1 = from / KB * KB, skip2 = (from - min(from, n_prompt)) / KB * KB;
#else
    const uint skip1 = 0, skip2 = 0;
#endif

    for (uint v = 0; v < QV; v++)
        own[v] = own0 + min(lane_numbers(v), rows - 1);
    for (uint h = 0; h < HG; h++) {
        const uint at = (head0 + h) * n_tokens + q0;
        LOAD_LANES((qt + h * DP * L), q, q0 * ldq + (head0 + h) * D, ldq, rows, scale)
        LOAD_LANES((dot + h * DP * L), d_o, q0 * lddo + (head0 + h) * D, lddo, rows, 1.0f)
        LOAD_STATS((row_lse + h * QV), lse, at, rows)
        LOAD_STATS((row_delta + h * QV), delta, at, rows)
    }
    clear(dqt, HG * DP * L);
    for (uint range = 0; range < 2; range++) {
        const uint end = range == 0 ? prompt_end : own0 + rows;
#if WINDOW
        for (uint v_ = 0; v_ < QV; v_++) {
            const uint16 at = WINDOW_FROM(own[v_] - own0 + pos0);
            low[v_] = range == 0 ? row_begin + at : seg_begin + at - min(at, n_prompt);
        }
#endif
        for (uint k0 = range == 0 ? row_begin + skip1 : seg_begin + skip2; k0 < end; k0 += KB) {
            const uint n = min(end - k0, (uint)KB);
            LOAD_ROWS(keys, k, k0 * ldk + key_col, ldk, n, 1.0f)
            LOAD_ROWS(values, v, k0 * ldv + key_col, ldv, n, 1.0f)
            for (uint h = 0; h < HG; h++) {
                gradients(keys, values, qt + h * DP * L, dot + h * DP * L, ds, n, k0, own,
                          low, softcap, row_lse + h * QV, row_delta + h * QV);
                accumulate(dqt + h * DP * L, keep, keys, ds, n);
            }
        }
    }
    for (uint v_ = 0; v_ < QV; v_++)
        STF(factor, v_ * 16, (FV)(scale));
    for (uint h = 0; h < HG; h++)
        STORE_LANES(dq, (dqt + h * DP * L), q0 * lddq + (head0 + h) * D, lddq, rows, factor)
    if (head0 + HG == n_heads)
        CLEAR_PADDING(dq, q0, lddq, rows, n_heads * D)
KERNEL_END
