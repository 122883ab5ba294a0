// shaders/sumsq.comp -- part = sum of squares over a block, one group a block, sixteen numbers a
// lane at once. Oracle: op_sumsq_ref().
#include "sumsq.h"
#define BUFFERS SUMSQ_BUFFERS
#define PARAMS SUMSQ_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"

KERNEL_BEGIN(sumsq)
    const uint begin = GROUP_X * SUMSQ_BLOCK, end = UMIN(begin + SUMSQ_BLOCK, n);
    const uint step = uint(LANES) * 4u, whole = begin + (end - begin) / (4u * step) * (4u * step);
    vec4 s0 = vec4(0.0f, 0.0f, 0.0f, 0.0f), s1 = s0, s2 = s0, s3 = s0;
    for (uint i = begin + LANE * 4u; i < whole; i += 4u * step) {
        const vec4 a = LD4_F32(x, i), b = LD4_F32(x, i + step);
        const vec4 c = LD4_F32(x, i + 2u * step), d = LD4_F32(x, i + 3u * step);
        s0 += a * a;
        s1 += b * b;
        s2 += c * c;
        s3 += d * d;
    }
    const vec4 all = (s0 + s1) + (s2 + s3);
    float sum = (all.x + all.y) + (all.z + all.w);
    for (uint i = whole + LANE; i < end; i += uint(LANES))
        sum += x[i] * x[i];
    GROUP_SUM(red, sum)
    if (LANE == 0u)
        part[part_first + GROUP_X] = sum;
KERNEL_END
