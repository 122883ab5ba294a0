// shaders/logprob_squares_finish.comp -- log p of the target less log of the sum of p^2, after logprob_finish; one lane a
// row. Oracle: op_logprob_squares_finish_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_SQUARES_FINISH_BUFFERS
#define PARAMS LOGPROB_FINISH_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(logprob_squares_finish)
    const uint m = GLOBAL_ID, s = m * 8u;
    if (m >= n_rows)
        return; // no barrier follows
    const float logp = result[s + 0u], target2 = 2.0f * logp;
    const float others2 = log(state[s + ST_SQUARES]) + 2.0f * (state[s + ST_MAX] - result[s + 1u]); // the sum is >= 1
    const float high = MAX(target2, others2), low = MIN(target2, others2);
    result[s + 7u] = logp - (high + log(1.0f + exp(low - high)));
KERNEL_END
