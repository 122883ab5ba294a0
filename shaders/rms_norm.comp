// shaders/rms_norm.comp -- y = x * rstd * (w + w_offset), one group a row. Oracle:
// op_rms_norm_ref().
#include "rms_norm.h"
#define BUFFERS RMS_NORM_BUFFERS
#define PARAMS RMS_NORM_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(rms_norm)
    const uint t = GROUP_X, step = uint(LANES) * 4u;
    float sum = 0.0f;
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 v = columns_below(LD4_F32(x, t * ldx + c), c, cols);
        sum += dot(v, v);
    }
    GROUP_SUM(red, sum)
    const float r = inversesqrt(sum / float(cols) + eps);
    if (LANE == 0u)
        rstd[t] = r;
    for (uint c = LANE * 4u; c < ldy; c += step) {
        const vec4 v = columns_below(LD4_F32(x, t * ldx + UMIN(c, ldx - 4u)), c, cols);
        const vec4 s = (LD4_BELOW(w, c, cols) + w_offset) * r;
        ST4(y, t * ldy + c, v * s);
    }
KERNEL_END
