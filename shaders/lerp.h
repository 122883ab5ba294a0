// shaders/lerp.h -- y = keep * y + take * x. Source: src/op/lerp.h.
#define LERP_BUFFERS IN(0, float, x)    /* (n) */ \
                     INOUT(1, float, y) /* (n) */
#define LERP_PARAMS U32(n) F32(keep) F32(take)
