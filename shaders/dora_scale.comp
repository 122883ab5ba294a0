// shaders/dora_scale.comp -- y = factor * z + b, or that added to y; one group a row. Oracle:
// op_dora_scale_ref().
#include "dora.h"
#define BUFFERS DORA_SCALE_BUFFERS
#define PARAMS DORA_SCALE_PARAMS
#define LOCALS
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(dora_scale)
    const uint t = GROUP_X, step = uint(LANES) * 4u;
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 scaled = LD4_BELOW(factor, c, cols) * LD4(z, t * ldz + c);
#if BIAS
        const vec4 value = columns_below(scaled + LD4_BELOW(b, c, cols), c, cols);
#else
        const vec4 value = columns_below(scaled, c, cols);
#endif
#if ADD
        ADD4_BELOW(y, t * ldy + c, value, c, cols)
#else
        ST4(y, t * ldy + c, value);
#endif
    }
KERNEL_END
