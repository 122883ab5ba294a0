// shaders/adamw_body.h -- the text of adamw.comp and adamw_copy.comp (which defines COPY), two elements a lane.
// NAME is the kernel's. Oracle: op_adamw_ref().
#define PARAMS ADAMW_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(NAME)
    const uint i = GLOBAL_ID * 2u;
    if (i >= n)
        return; // no barrier follows
    const vec2 g = LD2_F32(grad, i) * grad_mult;
    const vec2 m1 = LD2_F32(m, i) * beta1 + g * one_minus_beta1;
    const vec2 v1 = LD2_F32(v, i) * beta2 + g * g * one_minus_beta2;
    const vec2 p1 = LD2_F32(p, i) * decay - step_size * m1 / (sqrt(v1) * inv_sqrt_bc2 + eps);
    ST2_F32(m, i, m1);
    ST2_F32(v, i, v1);
    ST2_F32(p, i, p1);
#ifdef COPY
    ST2(w, i, p1);
#endif
KERNEL_END
