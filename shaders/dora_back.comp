// shaders/dora_back.comp -- dz = factor * dy, and each token's share of the magnitude's gradient;
// one group a row. Oracle: op_dora_back_ref().
#include "dora.h"
#define BUFFERS DORA_BACK_BUFFERS
#define PARAMS DORA_BACK_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(dora_back)
    const uint t = GROUP_X, step = uint(LANES) * ROW_WIDTH;
    for (uint c = LANE * ROW_WIDTH; c < cols; c += step) {
        const rvec g = row_columns_below(LDR(dy, t * ldy + c), c, cols);
        const rvec p = g * LDR(z, t * ldz + c) / LDR_BELOW(norm, c, cols);
        STR(dz, t * ldy + c, g * LDR_BELOW(factor, c, cols));
        STR(z, t * ldz + c, row_columns_below(p, c, cols));
    }
KERNEL_END
