// shaders/sgd_body.h -- the text of sgd.comp and of sgd_copy.comp, which defines COPY. NAME is the
// kernel's. Oracle: op_sgd_ref().
#define PARAMS SGD_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(NAME)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    float p1[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float p0 = p[i + k];
        p1[k] = p0 - lr * (grad[i + k] * mult[0] + weight_decay * p0);
        p[i + k] = p1[k];
    }
#ifdef COPY
    ST_EACH(w, i, p1);
#endif
KERNEL_END
