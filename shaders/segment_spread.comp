// shaders/segment_spread.comp -- each row of a segment gets the segment's number, one group a
// segment. Oracle: op_segment_spread_ref().
#include "segment.h"
#define BUFFERS SEGMENT_SPREAD_BUFFERS
#define PARAMS SEGMENT_SPREAD_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(segment_spread)
    const uint s = GROUP_X, begin = starts[starts_first + s], end = starts[starts_first + s + 1u];
    const float v = dy[dy_first + s] * scale;
    const float share = mean != 0u ? v / float(UMAX(end - begin, 1u)) : v;
    for (uint i = begin + LANE; i < end; i += uint(LANES))
        dx[i] = share;
KERNEL_END
