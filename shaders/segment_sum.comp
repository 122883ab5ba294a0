// shaders/segment_sum.comp -- sum of one column over the rows of a segment, one group a segment.
// Oracle: op_segment_sum_ref().
#include "segment.h"
#define BUFFERS SEGMENT_SUM_BUFFERS
#define PARAMS SEGMENT_SUM_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"

KERNEL_BEGIN(segment_sum)
    const uint s = GROUP_X, begin = starts[starts_first + s], end = starts[starts_first + s + 1u];
    float sum = 0.0f;
    for (uint i = begin + LANE; i < end; i += uint(LANES))
        sum += x[i * ld + column];
    GROUP_SUM(red, sum)
    if (LANE == 0u)
        y[y_first + s] = mean != 0u && end > begin ? sum / float(end - begin) : sum;
KERNEL_END
