// shaders/adamw_body.h -- the text of adamw.comp and of adamw_copy.comp, which defines COPY. NAME
// is the kernel's. Oracle: op_adamw_ref().
#define PARAMS ADAMW_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(NAME)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    float p1[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float g = grad[i + k] * mult[0];
        const float m1 = m[i + k] * beta1 + g * one_minus_beta1;
        const float v1 = v[i + k] * beta2 + g * g * one_minus_beta2;
        p1[k] = p[i + k] * decay - step_size * m1 / (sqrt(v1) * inv_sqrt_bc2 + eps);
        m[i + k] = m1;
        v[i + k] = v1;
        p[i + k] = p1[k];
    }
#ifdef COPY
    ST_EACH(w, i, p1);
#endif
KERNEL_END
