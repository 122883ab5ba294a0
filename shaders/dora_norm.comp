// shaders/dora_norm.comp -- norms of the rows of w + scale * d, and magnitude over them; one group
// a row. Oracle: op_dora_norm_ref().
#include "dora.h"
#define BUFFERS DORA_NORM_BUFFERS
#define PARAMS DORA_NORM_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"
#include "columns.h"

KERNEL_BEGIN(dora_norm)
    const uint t = GROUP_X, step = uint(LANES) * 4u;
    float sum = 0.0f;
    for (uint c = LANE * 4u; c < cols; c += step) {
        const vec4 v = columns_below(LD4(w, t * ldw + c) + scale * LD4(d, t * ldd + c), c, cols);
        sum += dot(v, v);
    }
    GROUP_SUM(red, sum)
    if (LANE == 0u) {
        // A quotient of equals need not be 1 on every device.
        const float root = sqrt(sum), m = magnitude[t];
        norm[t] = root;
        factor[t] = m == root ? 1.0f : m / root;
    }
KERNEL_END
