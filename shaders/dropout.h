// shaders/dropout.h -- leave elements out at random. Source: src/op/dropout.h.
#define DROPOUT_BUFFERS IN(0, elem, x)    /* (n) */ \
                        INOUT(1, elem, y) /* (n) */
#define DROPOUT_PARAMS U32(n) U32(first) U32(key_lo) U32(key_hi) U32(limit) F32(scale) U32(add)
