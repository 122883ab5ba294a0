// shaders/logprob_grad.comp -- dlogits = coef * (onehot - softmax) of one chunk, two columns a lane; the target's entry
// is coef * (1 - p), from exp(lse_other - lse). Oracle: op_logprob_grad_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_GRAD_BUFFERS
#define PARAMS LOGPROB_GRAD_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(logprob_grad)
    const uint j = GLOBAL_ID * 2u, m = GROUP_Y, t = target[m] - v_begin;
    if (j >= ld)
        return; // no barrier follows
    const float lse = result[m * 8u + 1u], c = coef[m];
    const vec2 d = LD2_F32(logits, m * ld + j);
    const float hit = c * exp(result[m * 8u + 2u] - lse);
    const float x = -c * exp(d.x - lse), y = -c * exp(d.y - lse);
    ST2(dlogits, m * ld + j, vec2(j < v_count ? (j == t ? hit : x) : 0.0f,
                                  j + 1u < v_count ? (j + 1u == t ? hit : y) : 0.0f));
KERNEL_END
