// shaders/dora_scale.comp -- y = factor * z + b, or that added to y; one group a row. Oracle:
// op_dora_scale_ref().
#include "dora.h"
#define BUFFERS DORA_SCALE_BUFFERS
#define PARAMS DORA_SCALE_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(dora_scale)
    const uint t = GROUP_X, step = uint(LANES) * ROW_WIDTH;
    for (uint c = LANE * ROW_WIDTH; c < cols; c += step) {
        const rvec scaled = LDR_BELOW(factor, c, cols) * LDR(z, t * ldz + c);
#if BIAS
        const rvec value = row_columns_below(scaled + LDR_BELOW(b, c, cols), c, cols);
#else
        const rvec value = row_columns_below(scaled, c, cols);
#endif
#if ADD
        ADDR_BELOW(y, t * ldy + c, value, c, cols)
#else
        STR(y, t * ldy + c, value);
#endif
    }
KERNEL_END
