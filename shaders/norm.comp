// shaders/norm.comp -- y = (x - mean) * rstd * (w + w_offset) + b, one group a row; no mean and no
// b in RMSNorm. Oracle: op_norm_ref().
#include "norm.h"
#include "norm_kind.h"
#define BUFFERS NORM_BUFFERS
#define PARAMS NORM_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(norm)
    const uint t = GROUP_X, step = uint(LANES) * 4u;
#if CENTER
    float mean = 0.0f;
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 v = columns_below(LD4(x, t * ldx + c), c, cols);
        mean += (v.x + v.y) + (v.z + v.w);
    }
    GROUP_SUM(red, mean)
    mean /= float(cols);
    if (LANE == 0u)
        stats[t * NORM_STATS + 1u] = mean;
#define CENTERED(v) ((v) - mean)
#else
#define CENTERED(v) (v)
#endif
    float sum = 0.0f;
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 v = columns_below(CENTERED(LD4(x, t * ldx + c)), c, cols);
        sum += dot(v, v);
    }
    GROUP_SUM(red, sum)
    const float r = inversesqrt(sum / float(cols) + eps);
    if (LANE == 0u)
        stats[t * NORM_STATS] = r;
    for (uint c = LANE * 4u; c < ldy; c += step) {
        const vec4 v = columns_below(CENTERED(LD4(x, t * ldx + UMIN(c, ldx - 4u))), c, cols);
        const vec4 s = (LD4_BELOW(w, c, cols) + w_offset) * r;
#if BIAS
        const vec4 value = columns_below(v * s + LD4_BELOW(b, c, cols), c, cols);
#else
        const vec4 value = v * s;
#endif
#if ADD
        if (c < cols)
            ADD4_BELOW(y, t * ldy + c, value, c, cols)
#else
        ST4(y, t * ldy + c, value);
#endif
    }
KERNEL_END
