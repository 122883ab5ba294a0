// shaders/matmul_wide.cl -- C = A B on a CPU: one work-item makes `chunk` rows x `width` columns of
// C. Oracle: op_matmul_ref().
#include "matmul.h"
#define BUFFERS MATMUL_BUFFERS
#define PARAMS MATMUL_WIDE_PARAMS
#include "matmul_wide.h"

#define ADD_BIAS(v, W, at)                                                                         \
    {                                                                                              \
        if ((flags & 2u) != 0)                                                                     \
            v += LDW(W, bias, bias_first + at);                                                    \
    }
#define ADD_BIAS1(v, at)                                                                           \
    {                                                                                              \
        if ((flags & 2u) != 0)                                                                     \
            v += LD(bias, bias_first + at);                                                        \
    }

KERNEL_BEGIN(matmul_wide)
    const uint j0 = GROUP_X * width, columns = min(n - j0, width);
    const uint i_begin = GROUP_Y * chunk, i_end = min(m, i_begin + chunk);

    WIDE_PRODUCT
KERNEL_END
