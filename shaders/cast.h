// shaders/cast.h -- copy between storage types, times a number. Source: src/op/cast.h.
#define CAST_BUFFERS IN(0, elem, x)  /* (n) */ \
                     OUT(1, elem, y) /* (n) */
#define CAST_PARAMS U32(n) F32(scale)
