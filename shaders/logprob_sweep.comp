// shaders/logprob_sweep.comp -- one chunk of exp(l - max) of the others, times SWEEP_ONE, as an
// operand of a product; 0 for the target. CAP 2: times the slope of the cap, from the capped logit;
// logit_scale is left to logprob_dh. Oracle: op_logprob_sweep_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_SWEEP_BUFFERS
#define PARAMS LOGPROB_SWEEP_PARAMS
#define LOCALS
#include "kernel.h"
#include "exp.h"

#ifndef CAP
#define CAP 0
#endif

KERNEL_BEGIN(logprob_sweep)
    const uint j = GLOBAL_ID * uint(PER), m = GROUP_Y;
    const uint t = target[m] - v_begin, v_end = (v_count + 7u) & ~7u;
    if (BEYOND(j, v_end))
        return; // no barrier follows
    const float top = state[m * 8u + ST_MAX];
    float e[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float l = logits[m * ld + j + k], value = SWEEP_ONE * exp_neg(l - top);
#if CAP == 2
        const float y = l / softcap, slope = 1.0f - y * y;
        e[k] = j + k < v_count && j + k != t ? value * slope : 0.0f;
#else
        e[k] = j + k < v_count && j + k != t ? value : 0.0f;
#endif
    }
    ST_EACH(dlogits, m * ld + j, e);
KERNEL_END
