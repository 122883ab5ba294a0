// shaders/sgd_body.h -- the text of sgd.comp and of sgd_master.comp; P and P_EACH as in
// adamw_body.h. Oracle: op_sgd_ref().
KERNEL_BEGIN(NAME)
    const uint i = GLOBAL_ID * uint(PER);
    if (BEYOND(i, n))
        return; // no barrier follows
    float p1[PER];
    for (uint k = 0u; k < uint(PER); k++) {
        const float p0 = P(i + k);
        p1[k] = p0 - lr * (grad[i + k] * mult[0] + weight_decay * p0);
    }
    P_EACH(i, p1)
KERNEL_END
