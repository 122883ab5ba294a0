// shaders/adamw.h -- one AdamW step, without and with a working copy. Source: src/op/adamw.h.
#define ADAMW_STATE IN(0, float, grad)  /* (n) */ \
                    INOUT(1, float, p)  /* (n) */ \
                    INOUT(2, float, m)  /* (n) */ \
                    INOUT(3, float, v)  /* (n) */
#define ADAMW_BUFFERS ADAMW_STATE IN(4, float, mult)     /* (1) of the gradient   */
#define ADAMW_COPY_BUFFERS ADAMW_STATE OUT(4, elem, w)   /* (n) p in storage type */ \
                           IN(5, float, mult)            /* (1) of the gradient   */
#define ADAMW_PARAMS                                                                               \
    U32(n) F32(decay) F32(beta1) F32(one_minus_beta1) F32(beta2)                    \
    F32(one_minus_beta2) F32(step_size) F32(inv_sqrt_bc2) F32(eps)
