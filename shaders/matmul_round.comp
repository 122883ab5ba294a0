// shaders/matmul_round.comp -- C = sum of parts of X + bias (+ C), two elements a lane.
// Oracle: op_matmul_round_ref().
#include "matmul.h"
#define BUFFERS MATMUL_ROUND_BUFFERS
#define PARAMS MATMUL_ROUND_PARAMS
#define LOCALS
#include "kernel.h"

#define PUT2_F32(i, v)                                                                             \
    {                                                                                              \
        c[i] = (v).x;                                                                              \
        if (j + 1u < n)                                                                            \
            c[(i) + 1u] = (v).y;                                                                   \
    }
#define PUT2_F16(i, v) ST2(c, i, v);
#define PUT2_BF16(i, v) ST2(c, i, v);

KERNEL_BEGIN(matmul_round)
    const uint words = (n + 1u) / 2u, i = GLOBAL_ID / words, j = GLOBAL_ID % words * 2u;
    if (i >= m)
        return; // no barrier follows
    const uint at = c_first + i * ldc + j;
    vec2 v = vec2(0.0f, 0.0f);
    for (uint p = 0u; p < parts; p++) {
        const uint from = x_first + p * x_part + i * ldx + j;
        v.x += x[from];
        v.y += j + 1u < n ? x[from + 1u] : 0.0f;
    }
    if ((flags & 2u) != 0u) {
        v.x += LD(bias, bias_first + j);
        v.y += j + 1u < n ? LD(bias, bias_first + j + 1u) : 0.0f;
    }
    if ((flags & 1u) != 0u) {
        v.x += LD(c, at);
        v.y += j + 1u < n ? LD(c, at + 1u) : 0.0f;
    }
    BY_TYPE(PUT2_, TYPE_c)(at, v)
KERNEL_END
