// shaders/dora_back.comp -- dz = factor * dy, and each token's share of the magnitude's gradient;
// one group a row. Oracle: op_dora_back_ref().
#include "dora.h"
#define BUFFERS DORA_BACK_BUFFERS
#define PARAMS DORA_BACK_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(dora_back)
    const uint t = GROUP_X, step = uint(LANES) * 4u;
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 g = columns_below(LD4(dy, t * ldy + c), c, cols);
        const vec4 p = g * LD4(z, t * ldz + c) / LD4_BELOW(norm, c, cols);
        ST4(dz, t * ldy + c, g * LD4_BELOW(factor, c, cols));
        ST4(z, t * ldz + c, columns_below(p, c, cols));
    }
KERNEL_END
