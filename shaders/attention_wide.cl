// shaders/attention_wide.cl -- flash attention on a CPU: a work-item owns L queries of HG query
// heads that read one key head. Oracle: op_attention_ref().
#include "attention.h"
#define BUFFERS ATTENTION_BUFFERS
#define PARAMS ATTENTION_PARAMS
#define LOCALS                                                                                     \
    SHARED(float, keys, KB *DP) SHARED(float, values, KB *DP) SHARED(float, p, KB *L)      \
    SHARED(float, qt, HG *DP *L) SHARED(float, ot, HG *DP *L) SHARED(float, factor, L)
#include "kernel.h"
#include "attention_wide.h"

// Scores of n keys from k0 on, against the lanes' own keys: p[j][lane]; their maximum joins `most`.
// With a window lanes see no key below `low`.
void scores(__local const float *keys, __local const float *qt, __local float *p, uint n, uint k0,
            const uint16 *own, const uint16 *low, float softcap, FV *most)
{
    FV top[QV];
    UNROLL for (int v = 0; v < QV; v++) top[v] = most[v];
    for (uint j = 0; j < n; j += KT) {
        FV s[KT * QV];
        products(keys + j * DP, qt, s);
        UNROLL for (int i = 0; i < KT; i++)
            UNROLL for (int v = 0; v < QV; v++)
            {
#if WINDOW
                const int16 seen = own[v] >= k0 + j + i && low[v] <= k0 + j + i && j + i < n;
#else
                const int16 seen = own[v] >= k0 + j + i && j + i < n;
#endif
                const FV x = select((FV)(NO_SCORE), CAPPED(s[i * QV + v]), seen);
                STF(p, (j + i) * L + v * 16, x);
                top[v] = select(top[v], x, x > top[v]);
            }
    }
    UNROLL for (int v = 0; v < QV; v++) most[v] = top[v];
}

KERNEL_BEGIN(attention_wide)
    const uint block = blocks_at + GROUP_X / PARTS * ATTENTION_WORDS, skip = GROUP_X % PARTS * L;
    const uint all = index[block + 1], head0 = GROUP_Y * HG;
    if (skip >= all)
        return; // no barrier follows
    const uint rows = min(all - skip, (uint)L);
    const uint q0 = index[block] + skip, own0 = index[block + 2] + skip;
    const uint row_begin = index[block + 3], prompt_end = index[block + 4];
    const uint seg_begin = index[block + 5];
    const uint key_col = head0 / (n_heads / n_kv_heads) * D;
    FV most[HG * QV], sum[HG * QV];
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
    for (uint i = 0; i < HG * QV; i++)
        most[i] = (FV)(NO_SCORE), sum[i] = (FV)(0.0f);
    for (uint h = 0; h < HG; h++)
        LOAD_LANES((qt + h * DP * L), q, q0 * ldq + (head0 + h) * D, ldq, rows, scale)
    clear(ot, HG * DP * L);
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
                FV shrink[QV], top[QV];
                for (uint v_ = 0; v_ < QV; v_++)
                    top[v_] = most[h * QV + v_];
                scores(keys, qt + h * DP * L, p, n, k0, own, low, softcap, top);
                UNROLL for (uint v_ = 0; v_ < QV; v_++)
                {
                    shrink[v_] = exp_neg16(most[h * QV + v_] - top[v_]);
                    FV s = sum[h * QV + v_] * shrink[v_];
                    for (uint j = 0; j < n; j++) {
#if WINDOW // a lane may have seen no key yet
                        const FV x = LDF(p, j * L + v_ * 16);
                        const FV w = select((FV)(0.0f), exp_neg16(x - top[v_]), x > NO_SCORE);
#else
                        const FV w = exp_neg16(LDF(p, j * L + v_ * 16) - top[v_]);
#endif
                        STF(p, j * L + v_ * 16, w);
                        s += w;
                    }
                    sum[h * QV + v_] = s;
                    most[h * QV + v_] = top[v_];
                }
                accumulate(ot + h * DP * L, shrink, values, p, n);
            }
        }
    }
    for (uint h = 0; h < HG; h++) {
        for (uint v_ = 0; v_ < QV; v_++) {
            const FV s = sum[h * QV + v_];
            STF(factor, v_ * 16, 1.0f / s);
            STF(p, v_ * 16, most[h * QV + v_] + log(s)); // log(1) is 0: exact for one key
        }
        STORE_LANES(o, (ot + h * DP * L), q0 * ldo + (head0 + h) * D, ldo, rows, factor)
        for (uint l = 0; l < rows; l++)
            lse[(head0 + h) * n_tokens + q0 + l] = p[l];
    }
    if (head0 + HG == n_heads)
        CLEAR_PADDING(o, q0, ldo, rows, n_heads * D)
KERNEL_END
