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
    const uint t = GROUP_X, step = uint(LANES) * ROW_WIDTH;
    const float r = stats[t * NORM_STATS];
#if CENTER
    const float mean = stats[t * NORM_STATS + 1u];
    rvec means = RVEC(0.0f);
#define CENTERED(v) ((v) - mean)
#else
#define CENTERED(v) (v)
#endif
    rvec sums = RVEC(0.0f);
    for (uint c = LANE * ROW_WIDTH; c < cols; c += step) {
        const rvec all = LDR(dy, t * ldy + c) * (LDR_BELOW(w, c, cols) + w_offset);
        const rvec g = row_columns_below(all, c, cols);
        sums += g * row_columns_below(CENTERED(LDR(x, t * ldx + c)), c, cols);
#if CENTER
        means += g;
#endif
    }
    float sum = ROW_SUM(sums);
    GROUP_SUM(red, sum)
#if CENTER
    float mean_g = ROW_SUM(means);
    GROUP_SUM(red, mean_g)
    mean_g /= float(cols);
#endif
    const float k = r * r * (sum / float(cols)); // x * k = xhat * mean(g * xhat)
#if ADD
    for (uint c = LANE * ROW_WIDTH; c < cols; c += step) {
#else
    for (uint c = LANE * ROW_WIDTH; c < lddx; c += step) {
#endif
        const uint from = UMIN(c, ldx - ROW_WIDTH), at = UMIN(c, ldy - ROW_WIDTH);
        const rvec g = LDR(dy, t * ldy + at) * (LDR_BELOW(w, c, cols) + w_offset);
#if CENTER
        const rvec d = (g - mean_g - CENTERED(LDR(x, t * ldx + from)) * k) * r;
#else
        const rvec d = (g - LDR(x, t * ldx + from) * k) * r;
#endif
#if ADD
        ADDR_BELOW(dx, t * lddx + c, d, c, cols)
#else
        STR(dx, t * lddx + c, row_columns_below(d, c, cols));
#endif
    }
KERNEL_END
