// shaders/logprob_stats.comp -- carry a row's statistics over one more chunk of its logits; one group a row.
// The target's column stays out of the maximum and the sums. Oracle: op_logprob_stats_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_STATS_BUFFERS
#define PARAMS LOGPROB_STATS_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"

#define LOWEST (-1e30f) // stands for -Inf, which Vulkan may assume away

KERNEL_BEGIN(logprob_stats)
    const uint m = GROUP_X, row = m * ld, s = m * 8u, t = target[m];
    const bool first = v_begin == 0u;
    const float max_before = first ? LOWEST : state[s + ST_MAX];
    float top = max_before, low = first ? LOWEST : state[s + ST_MAX_LOW], total = 0.0f, sum = 0.0f, dots = 0.0f;

    for (uint j = LANE; j < v_count; j += uint(LANES)) {
        const float l = logits[row + j];
        top = MAX(top, v_begin + j == t ? LOWEST : l);
        low = MAX(low, v_begin + j < t ? l : LOWEST);
        total += l;
    }
    GROUP_MAX(red, top)
    GROUP_MAX(red, low)
    GROUP_SUM(red, total)
    for (uint j = LANE; j < v_count; j += uint(LANES)) {
        const float d = v_begin + j == t ? LOWEST : logits[row + j] - top, e = exp(d); // d <= 0
        sum += e;
        dots += e * d;
    }
    GROUP_SUM(red, sum)
    GROUP_SUM(red, dots)
    if (LANE == 0u) {
        const float sum_before = first ? 0.0f : state[s + ST_SUM], dot_before = first ? 0.0f : state[s + ST_DOT];
        const float d = max_before - top, shrink = exp(d); // LOWEST - top: shrink is 0, and so is sum_before
        state[s + ST_MAX] = top;
        state[s + ST_SUM] = sum_before * shrink + sum;
        state[s + ST_DOT] = (dot_before + sum_before * d) * shrink + dots;
        state[s + ST_MAX_LOW] = low;
        state[s + ST_TOTAL] = (first ? 0.0f : state[s + ST_TOTAL]) + total;
        if (t - v_begin < v_count) // wraps below v_begin
            state[s + ST_TARGET] = logits[row + (t - v_begin)];
    }
KERNEL_END
