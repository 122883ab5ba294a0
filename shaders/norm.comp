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
    const uint t = GROUP_X, step = uint(LANES) * ROW_WIDTH;
#if CENTER
    rvec means = RVEC(0.0f);
    for (uint c = LANE * ROW_WIDTH; c < cols; c += step) {
        const rvec v = row_columns_below(LDR(x, t * ldx + c), c, cols);
        means += v;
    }
    float mean = ROW_SUM(means);
    GROUP_SUM(red, mean)
    mean /= float(cols);
    if (LANE == 0u)
        stats[t * NORM_STATS + 1u] = mean;
#define CENTERED(v) ((v) - mean)
#else
#define CENTERED(v) (v)
#endif
    rvec sums = RVEC(0.0f);
    for (uint c = LANE * ROW_WIDTH; c < cols; c += step) {
        const rvec v = row_columns_below(CENTERED(LDR(x, t * ldx + c)), c, cols);
        sums += v * v;
    }
    float sum = ROW_SUM(sums);
    GROUP_SUM(red, sum)
    const float r = inversesqrt(sum / float(cols) + eps);
    if (LANE == 0u)
        stats[t * NORM_STATS] = r;
    for (uint c = LANE * ROW_WIDTH; c < ldy; c += step) {
        const uint from = UMIN(c, ldx - ROW_WIDTH);
        const rvec v = row_columns_below(CENTERED(LDR(x, t * ldx + from)), c, cols);
        const rvec s = (LDR_BELOW(w, c, cols) + w_offset) * r;
#if BIAS
        const rvec value = row_columns_below(v * s + LDR_BELOW(b, c, cols), c, cols);
#else
        const rvec value = v * s;
#endif
#if ADD
        if (c < cols)
            ADDR_BELOW(y, t * ldy + c, value, c, cols)
#else
        STR(y, t * ldy + c, value);
#endif
    }
KERNEL_END
