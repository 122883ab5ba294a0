// shaders/logprob_grad.comp -- dlogits = coef * (onehot - softmax) of one chunk; the target's entry
// is coef * (1 - p), from exp(lse_other - lse). CAP 1: times logit_scale; CAP 2: also times the
// slope of the cap, from the capped logit. Oracle: op_logprob_grad_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_GRAD_BUFFERS
#define PARAMS LOGPROB_GRAD_PARAMS
#define LOCALS
#include "kernel.h"
#include "exp.h"

#ifndef CAP
#define CAP 0
#endif

KERNEL_BEGIN(logprob_grad)
    const uint j = GLOBAL_ID * uint(PER), m = GROUP_Y;
    const uint t = target[m] - v_begin, v_end = (v_count + 7u) & ~7u;
    if (BEYOND(j, v_end))
        return; // no barrier follows
    const float lse = result[m * 8u + 1u], c = coef[m];
    const float hit = c * exp_neg(result[m * 8u + 2u] - lse);
    float d[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float other = -c * exp_neg(logits[m * ld + j + k] - lse);
        const float value = j + k == t ? hit : other;
#if CAP == 2
        const float y = logits[m * ld + j + k] / softcap, slope = logit_scale * (1.0f - y * y);
        d[k] = j + k < v_count ? value * slope : 0.0f;
#elif CAP == 1
        d[k] = j + k < v_count ? value * logit_scale : 0.0f;
#else
        d[k] = j + k < v_count ? value : 0.0f;
#endif
    }
    ST_EACH(dlogits, m * ld + j, d);
KERNEL_END
