// shaders/probe.comp -- y = y * FACTOR + (lane number) + salt: a lane that ran twice, not at all,
// elsewhere or out of order shows. For the tests of the runtime (tests/runtime/contract.c).
#include "probe.h"
#define BUFFERS PROBE_BUFFERS
#define PARAMS PROBE_PARAMS
#define LOCALS
#include "kernel.h"
#ifndef FACTOR
#define FACTOR 3
#endif

KERNEL_BEGIN(probe)
    const uint group = (GROUP_Z * ny + GROUP_Y) * nx + GROUP_X;
    const uint i = group * uint(LANES) + LANE_Y * uint(GROUP) + LANE_X;
    y[i] = y[i] * uint(FACTOR) + i + salt;
KERNEL_END
