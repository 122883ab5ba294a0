// shaders/lerp.h -- y = keep * y + take * x, of f32 vectors and of masters. Source: src/op/lerp.h.
#define LERP_BUFFERS IN(0, float, x)    /* (n) */ \
                     INOUT(1, float, y) /* (n) */
#define LERP_MASTER_BUFFERS IN(0, elem, x)        /* (n) */ \
                            IN(1, elem, x_low)    /* (n) shaders/master.h */ \
                            INOUT(2, elem, y)     /* (n) */ \
                            INOUT(3, elem, y_low) /* (n) */
#define LERP_PARAMS U32(n) F32(keep) F32(take)
