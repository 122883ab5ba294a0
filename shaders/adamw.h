// shaders/adamw.h -- one AdamW step, on f32 weights and on masters. Source: src/op/adamw.h.
#define ADAMW_STATE IN(0, float, grad) /* (n)                 */ \
                    IN(1, float, mult) /* (1) of the gradient */ \
                    INOUT(2, float, m) /* (n)                 */ \
                    INOUT(3, float, v) /* (n)                 */
#define ADAMW_BUFFERS ADAMW_STATE INOUT(4, float, w)        /* (n) */
#define ADAMW_MASTER_BUFFERS ADAMW_STATE INOUT(4, elem, w)  /* (n) */ \
                             INOUT(5, elem, low)            /* (n) shaders/master.h */
#define ADAMW_PARAMS                                                                               \
    U32(n) F32(decay) F32(beta1) F32(one_minus_beta1) F32(beta2)                                   \
    F32(one_minus_beta2) F32(step_size) F32(inv_sqrt_bc2) F32(eps)
