// shaders/logprob_scale.comp -- dh *= a number a row, two columns a lane. Oracle:
// op_logprob_scale_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_SCALE_BUFFERS
#define PARAMS LOGPROB_SCALE_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(logprob_scale)
    const uint c = GLOBAL_ID * 2u, m = GROUP_Y;
    const float by = factor[m * ldf + at];
    if (c >= cols || by == 1.0f)
        return; // no barrier follows
    const vec2 x = LD2_F32(dh, m * ldh + c) * by;
    ST2_F32(dh, m * ldh + c, x);
KERNEL_END
