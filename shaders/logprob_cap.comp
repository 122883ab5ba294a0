// shaders/logprob_cap.comp -- logits = softcap * tanh(logit_scale * logits / softcap) in place;
// with CAP 1, logit_scale * logits. Oracle: op_logprob_cap_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_CAP_BUFFERS
#define PARAMS LOGPROB_CAP_PARAMS
#define LOCALS
#include "kernel.h"
#include "tanh.h"

#ifndef CAP
#define CAP 2
#endif

KERNEL_BEGIN(logprob_cap)
    const uint j = GLOBAL_ID * uint(PER), m = GROUP_Y;
    if (BEYOND(j, (v_count + 7u) & ~7u))
        return; // no barrier follows
    for (uint k = 0u; k < uint(PER); k++) {
        const uint at = m * ld + j + k; // those beyond v_count are nobody's
        const float x = logits[at] * logit_scale;
#if CAP == 2
        logits[at] = softcap * tanh_of(x / softcap);
#else
        logits[at] = x;
#endif
    }
KERNEL_END
