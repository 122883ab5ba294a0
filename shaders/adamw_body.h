// shaders/adamw_body.h -- the text of adamw.comp and of adamw_master.comp, which define NAME, and
// P and P_EACH: how a weight is read, and PER of them are stored. Oracle: op_adamw_ref().
KERNEL_BEGIN(NAME)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    float p1[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float g = grad[i + k] * mult[0];
        const float m1 = m[i + k] * beta1 + g * one_minus_beta1;
        const float v1 = v[i + k] * beta2 + g * g * one_minus_beta2;
        p1[k] = P(i + k) * decay - step_size * m1 / (sqrt(v1) * inv_sqrt_bc2 + eps);
        m[i + k] = m1;
        v[i + k] = v1;
    }
    P_EACH(i, p1)
KERNEL_END
