// shaders/logprob_finish.comp -- a row's results from its statistics, one lane a row. Oracle:
// op_logprob_finish_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_FINISH_BUFFERS
#define PARAMS LOGPROB_FINISH_PARAMS
#define LOCALS
#include "kernel.h"
#include "exp.h"

// log(1 + x), 0 <= x <= 1, to a few 2^-24 of itself, which log() near 1 is far from: 2 atanh(s), s
// = x / (2 + x) <= 1/3, whose series is cut where terms fall below 2^-26.
float log_one_plus(float x)
{
    const float s = x / (2.0f + x), q = s * s;
    float p = 1.0f / 15.0f;
    p = MAD(p, q, 1.0f / 13.0f);
    p = MAD(p, q, 1.0f / 11.0f);
    p = MAD(p, q, 1.0f / 9.0f);
    p = MAD(p, q, 1.0f / 7.0f);
    p = MAD(p, q, 1.0f / 5.0f);
    p = MAD(p, q, 1.0f / 3.0f);
    return 2.0f * MAD(p * q, s, s);
}

KERNEL_BEGIN(logprob_finish)
    const uint m = GLOBAL_ID, s = m * 8u;
    if (m >= n_rows)
        return; // no barrier follows
    const float t = state[s + ST_TARGET], top = state[s + ST_MAX], sum = state[s + ST_SUM];
    const float log_sum = log(sum); // sum >= 1: the largest of the others
    precise float gap = top - t;    // near-equal numbers of up to ~1e2
    precise float d = gap + log_sum; // lse_other - t
    const float u = exp_neg(-ABS(d)), l = log_one_plus(u), r = 1.0f / (1.0f + u);
    const float p = d > 0.0f ? u * r : r, q = d > 0.0f ? r : u * r; // of the target, of the others
    const float nats = MAX(d, 0.0f) + l, nats_other = MAX(-d, 0.0f) + l;

    result[s + 0u] = -nats;
    result[s + 1u] = t + nats;
    result[s + 2u] = top + log_sum;
    result[s + 3u] = state[s + ST_TOTAL] / float(n_vocab);
    result[s + 4u] = t >= top && t > state[s + ST_MAX_LOW] ? 1.0f : 0.0f;
    // All terms are >= 0.
    result[s + 5u] = p * nats + q * (log_sum + nats_other - state[s + ST_DOT] / sum);
    result[s + 6u] = t;
    result[s + 7u] = 0.0f;
KERNEL_END
