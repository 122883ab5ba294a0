// shaders/logprob_dh.comp -- dh of the rows whose target is among these rows of the head, from the
// sum over the others that it holds: (1 - p) * (w[target] - mean of w over the others), two
// columns a lane. Times logit_scale; CAP 2: w[target] also times the slope of the cap. Oracle:
// op_logprob_dh_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_DH_BUFFERS
#define PARAMS LOGPROB_DH_PARAMS
#define LOCALS
#include "kernel.h"
#include "exp.h"

#ifndef CAP
#define CAP 0
#endif

KERNEL_BEGIN(logprob_dh)
    const uint c = GLOBAL_ID * 2u, m = GROUP_Y;
    const uint r = target[m] - row_begin; // wraps below row_begin: beyond row_count too
    if (c >= cols || r >= row_count)
        return; // no barrier follows
    const float others = exp_neg(result[m * 8u + 2u] - result[m * 8u + 1u]) * logit_scale;
    const float mean = 1.0f / (SWEEP_ONE * state[m * 8u + ST_SUM]);
#if CAP == 2
    const float y = result[m * 8u + 6u] / softcap, slope = 1.0f - y * y;
#else
    const float slope = 1.0f;
#endif
    const vec2 d = (LD2(w, r * ldw + c) * slope - LD2_F32(dh, m * ldh + c) * mean) * others;
    ST2_F32(dh, m * ldh + c, d);
KERNEL_END
