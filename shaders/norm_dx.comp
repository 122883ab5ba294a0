// shaders/norm_dx.comp -- dx = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * (w +
// w_offset), xhat = (x - mean) * rstd; no means but the last in RMSNorm; one group a row. Oracle:
// op_norm_dx_ref().
#include "norm.h"
#include "norm_kind.h"
#define BUFFERS NORM_DX_BUFFERS
#define PARAMS NORM_DX_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(norm_dx)
    const uint t = GROUP_X, step = uint(LANES) * 4u;
    const float r = stats[t * NORM_STATS];
#if CENTER
    const float mean = stats[t * NORM_STATS + 1u];
    float mean_g = 0.0f;
#define CENTERED(v) ((v) - mean)
#else
#define CENTERED(v) (v)
#endif
    float sum = 0.0f;
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 all = LD4(dy, t * ldy + c) * (LD4_BELOW(w, c, cols) + w_offset);
        const vec4 g = columns_below(all, c, cols);
        sum += dot(g, columns_below(CENTERED(LD4(x, t * ldx + c)), c, cols));
#if CENTER
        mean_g += (g.x + g.y) + (g.z + g.w);
#endif
    }
    GROUP_SUM(red, sum)
#if CENTER
    GROUP_SUM(red, mean_g)
    mean_g /= float(cols);
#endif
    const float k = r * r * (sum / float(cols)); // x * k = xhat * mean(g * xhat)
#if ADD
    for (uint c = LANE * 4u; c < cols; c += step) {
#else
    for (uint c = LANE * 4u; c < lddx; c += step) {
#endif
        const uint from = UMIN(c, ldx - 4u), at = UMIN(c, ldy - 4u);
        const vec4 g = LD4(dy, t * ldy + at) * (LD4_BELOW(w, c, cols) + w_offset);
#if CENTER
        const vec4 d = (g - mean_g - CENTERED(LD4(x, t * ldx + from)) * k) * r;
#else
        const vec4 d = (g - LD4(x, t * ldx + from) * k) * r;
#endif
#if ADD
        ADD4_BELOW(dx, t * lddx + c, d, c, cols)
#else
        ST4(dx, t * lddx + c, columns_below(d, c, cols));
#endif
    }
KERNEL_END
