// shaders/dora.h -- DoRA: norms of rows, outputs times a factor, and its gradient. Source:
// src/op/dora.h.
#define DORA_NORM_BUFFERS IN(0, elem, w)         /* (R, ldw)             */ \
                          IN(1, elem, d)         /* (R, ldd) B A         */ \
                          IN(2, float, magnitude) /* (R)                 */ \
                          OUT(3, float, factor)  /* (R)                  */ \
                          OUT(4, float, norm)    /* (R)                  */
#define DORA_NORM_PARAMS U32(n_rows) U32(cols) U32(ldw) U32(ldd) F32(scale)

#define DORA_SCALE_BUFFERS IN(0, elem, z)      /* (T, ldz)                          */ \
                           IN(1, elem, factor) /* (C)                               */ \
                           IN(2, elem, b)       /* (C); factor where there is no bias */ \
                           INOUT(3, elem, y)    /* (T, ldy) f32 where added into     */
#define DORA_SCALE_PARAMS U32(n_rows) U32(cols) U32(ldz) U32(ldy) U32(bias) U32(add)

#define DORA_BACK_BUFFERS IN(0, elem, dy)      /* (T, ldy)                            */ \
                          IN(1, elem, factor) /* (C)                                 */ \
                          IN(2, elem, norm)   /* (C)                                 */ \
                          INOUT(3, elem, z)   /* (T, ldz) in: z; out: dy * z / norm  */ \
                          OUT(4, elem, dz)     /* (T, ldy)                            */
#define DORA_BACK_PARAMS U32(n_rows) U32(cols) U32(ldy) U32(ldz)
