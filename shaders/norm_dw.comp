// shaders/norm_dw.comp -- part[block] = sum over 64 rows of dy * (x - mean) * rstd, four columns a
// lane. Oracle: op_norm_dw_ref().
#include "norm.h"
#include "norm_kind.h"
#define BUFFERS NORM_DW_BUFFERS
#define PARAMS NORM_DW_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(norm_dw)
    const uint c = GLOBAL_ID * 4u, first = GROUP_Y * 64u;
    if (c >= cols)
        return; // no barrier follows
    const uint end = UMIN(first + 64u, n_rows);
    vec4 sum = vec4(0.0f, 0.0f, 0.0f, 0.0f);
    for (uint t = first; t < end; t++)
#if CENTER
        sum += LD4(dy, t * ldy + c) * (LD4(x, t * ldx + c) - stats[t * 2u + 1u]) * stats[t * 2u];
#else
        sum += LD4(dy, t * ldy + c) * LD4(x, t * ldx + c) * stats[t];
#endif
    ST4_F32(part, GROUP_Y * ldp + c, sum); // what it writes beyond cols nobody reads
KERNEL_END
