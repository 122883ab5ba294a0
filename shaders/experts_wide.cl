// shaders/experts_wide.cl -- products of rows grouped by expert on a CPU: one work-item makes `width`
// columns of all rows of one expert, `chunk` at once; TN: of `chunk` rows of its weight's gradient.
// Oracle: op_experts_matmul_ref().
#include "experts.h"
#include "route.h"
#define BUFFERS EXPERTS_MATMUL_BUFFERS
#define PARAMS EXPERTS_WIDE_PARAMS
#include "matmul_wide.h"

#define ADD_BIAS(v, W, at) {}
#define ADD_BIAS1(v, at) {}

KERNEL_BEGIN(experts_wide)
    const uint at_e = ROUTE_STARTS(rows) + e_begin + GROUP_Z;
    const uint low = max(index[at_e], row_begin) - row_begin;
    const uint high = min(index[at_e + 1], row_begin + row_count) - row_begin;
#if FORM == 2
    const uint k = high - low, m = w_rows, n = w_cols, flags = 1u;
    const uint a_first = low * lda, b_first = low * ldb, c_first = GROUP_Z * e_stride;
    const uint from = GROUP_Y * chunk, to = min(m, from + chunk);
#else
    const uint k = FORM == 0 ? w_cols : w_rows, n = FORM == 0 ? w_rows : w_cols, flags = 0u;
    const uint a_first = 0, b_first = GROUP_Z * e_stride, c_first = 0;
    const uint from = low, to = high;
#endif
    const uint j0 = GROUP_X * width, columns = min(n - j0, width);

    if ((int)low >= (int)high) // none in this window
        return;
    for (uint i_begin = from; i_begin < to; i_begin += chunk) {
        const uint i_end = min(to, i_begin + chunk);
        WIDE_PRODUCT
    }
KERNEL_END
