// shaders/rms_norm_dw_sum.comp -- dw += the blocks' sums, in order, one column a lane. Oracle:
// op_rms_norm_dw_sum_ref().
#include "rms_norm.h"
#define BUFFERS RMS_NORM_DW_SUM_BUFFERS
#define PARAMS RMS_NORM_DW_SUM_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(rms_norm_dw_sum)
    const uint c = GLOBAL_ID;
    if (c >= cols)
        return; // no barrier follows
    float sum = dw[c];
    for (uint b = 0u; b < n_blocks; b++)
        sum += part[b * ldp + c];
    dw[c] = sum;
KERNEL_END
