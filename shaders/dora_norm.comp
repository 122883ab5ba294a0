// shaders/dora_norm.comp -- norms of the rows of w + scale * d, and magnitude over them; one group
// a row. Oracle: op_dora_norm_ref().
#include "dora.h"
#define BUFFERS DORA_NORM_BUFFERS
#define PARAMS DORA_NORM_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(dora_norm)
    const uint t = GROUP_X, step = uint(LANES) * ROW_WIDTH;
    rvec sums = RVEC(0.0f);
    for (uint c = LANE * ROW_WIDTH; c < cols; c += step) {
        const rvec v = LDR(w, t * ldw + c) + scale * LDR(d, t * ldd + c);
        const rvec own = row_columns_below(v, c, cols);
        sums += own * own;
    }
    float sum = ROW_SUM(sums);
    GROUP_SUM(red, sum)
    if (LANE == 0u) {
        // A quotient of equals need not be 1 on every device.
        const float root = sqrt(sum), m = magnitude[t];
        norm[t] = root;
        factor[t] = m == root ? 1.0f : m / root;
    }
KERNEL_END
