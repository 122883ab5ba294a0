// shaders/colsum_add.comp -- y += the blocks' sums, in order, one column a lane. Oracle:
// op_colsum_add_ref().
#include "colsum.h"
#define BUFFERS COLSUM_ADD_BUFFERS
#define PARAMS COLSUM_ADD_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(colsum_add)
    const uint c = GLOBAL_ID;
    if (c >= cols)
        return; // no barrier follows
    float sum = y[y_first + c];
    for (uint b = 0u; b < n_blocks; b++)
        sum += part[b * ldp + c];
    y[y_first + c] = sum;
KERNEL_END
