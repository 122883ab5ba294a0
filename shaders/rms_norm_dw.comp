// shaders/rms_norm_dw.comp -- part[block] = sum over 64 rows of dy * x * rstd, two columns a lane.
// Oracle: op_rms_norm_dw_ref().
#include "rms_norm.h"
#define BUFFERS RMS_NORM_DW_BUFFERS
#define PARAMS RMS_NORM_DW_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(rms_norm_dw)
    const uint c = GLOBAL_ID * 2u, first = GROUP_Y * 64u;
    if (c >= cols)
        return; // no barrier follows
    const uint end = UMIN(first + 64u, n_rows);
    vec2 sum = vec2(0.0f, 0.0f);
    for (uint t = first; t < end; t++)
        sum += LD2(dy, t * ldy + c) * LD2_F32(x, t * ldx + c) * rstd[t];
    ST2_F32(part, GROUP_Y * ldp + c, sum);
KERNEL_END
