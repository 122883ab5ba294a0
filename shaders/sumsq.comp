// shaders/sumsq.comp -- part = sum of squares over a block, one group a block. Oracle: op_sumsq_ref().
#include "sumsq.h"
#define BUFFERS SUMSQ_BUFFERS
#define PARAMS SUMSQ_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"

KERNEL_BEGIN(sumsq)
    const uint begin = GROUP_X * SUMSQ_BLOCK, end = UMIN(begin + SUMSQ_BLOCK, n);
    float sum = 0.0f;
    for (uint i = begin + LANE; i < end; i += uint(LANES))
        sum += x[i] * x[i];
    GROUP_SUM(red, sum)
    if (LANE == 0u)
        part[part_first + GROUP_X] = sum;
KERNEL_END
