// shaders/add.h -- y += alpha * x. Source: src/op/add.h.
#define ADD_BUFFERS IN(0, elem, x)     /* (n) */ \
                    INOUT(1, float, y) /* (n) */
#define ADD_PARAMS U32(n) F32(alpha)
