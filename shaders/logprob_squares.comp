// shaders/logprob_squares.comp -- carry a row's sum of squares over one more chunk of its logits, after logprob_stats has;
// one group a row. The target's column stays out. Oracle: op_logprob_squares_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_STATS_BUFFERS
#define PARAMS LOGPROB_STATS_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"

KERNEL_BEGIN(logprob_squares)
    const uint m = GROUP_X, row = m * ld, s = m * 8u, t = target[m];
    const float top = state[s + ST_MAX];
    float sum = 0.0f;

    for (uint j = LANE; j < v_count; j += uint(LANES)) {
        const float d = logits[row + j] - top;
        sum += v_begin + j == t ? 0.0f : exp(2.0f * MIN(d, 0.0f)); // d <= 0 but for the target
    }
    GROUP_SUM(red, sum)
    if (LANE == 0u) {
        const float shrink = state[s + ST_SHRINK];
        const float before = v_begin == 0u ? 0.0f : state[s + ST_SQUARES] * shrink * shrink;
        state[s + ST_SQUARES] = before + sum;
    }
KERNEL_END
