// shaders/rms_norm_dx.comp -- dx += rstd * (g - xhat * mean(g * xhat)), g = dy * (w + w_offset),
// xhat = x * rstd; one group a row. Oracle: op_rms_norm_dx_ref().
#include "rms_norm.h"
#define BUFFERS RMS_NORM_DX_BUFFERS
#define PARAMS RMS_NORM_DX_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(rms_norm_dx)
    const uint t = GROUP_X, step = uint(LANES) * 4u;
    const float r = rstd[t];
    float sum = 0.0f;
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 g = LD4(dy, t * ldy + c) * (LD4_BELOW(w, c, cols) + w_offset);
        sum += dot(columns_below(g, c, cols), columns_below(LD4_F32(x, t * ldx + c), c, cols));
    }
    GROUP_SUM(red, sum)
    const float k = r * r * (sum / float(cols)); // x * k = xhat * mean(g * xhat)
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 g = LD4(dy, t * ldy + c) * (LD4_BELOW(w, c, cols) + w_offset);
        const vec4 d = (g - LD4_F32(x, t * ldx + c) * k) * r;
        ADD4_BELOW(dx, t * lddx + c, d, c, cols)
    }
KERNEL_END
