// shaders/matmul_round.comp -- C = X + bias in C's type, two elements a lane.
// Oracle: op_matmul_round_ref().
#include "matmul.h"
#define BUFFERS MATMUL_ROUND_BUFFERS
#define PARAMS MATMUL_ROUND_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(matmul_round)
    const uint words = (n + 1u) / 2u, i = GLOBAL_ID / words, j = GLOBAL_ID % words * 2u;
    if (i >= m)
        return; // no barrier follows
    const uint at = x_first + i * ldx + j;
    vec2 v = vec2(x[at], j + 1u < n ? x[at + 1u] : 0.0f);
    if ((flags & 2u) != 0u) {
        v.x += LD(bias, bias_first + j);
        v.y += j + 1u < n ? LD(bias, bias_first + j + 1u) : 0.0f;
    }
    ST2(c, c_first + i * ldc + j, v);
KERNEL_END
