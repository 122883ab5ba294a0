// shaders/norm.h -- RMSNorm, LayerNorm and their gradients. Source: src/op/norm.h.
#define NORM_BUFFERS IN(0, elem, x)      /* (T, ldx)                               */ \
                     IN(1, elem, w)      /* (C)                                    */ \
                     IN(2, elem, b)      /* (C); w where there is no bias          */ \
                     INOUT(3, elem, y)   /* (T, ldy) f32 where added into          */ \
                     OUT(4, float, stats) /* (T) rstd, or (T, 2) rstd and mean     */
#define NORM_PARAMS                                                                                \
    U32(n_rows) U32(cols) U32(ldx) U32(ldy) F32(eps) F32(w_offset) U32(center) U32(bias) U32(add)

#define NORM_DX_BUFFERS IN(0, elem, dy)     /* (T, ldy)                      */ \
                        IN(1, elem, x)      /* (T, ldx)                      */ \
                        IN(2, elem, w)      /* (C)                           */ \
                        IN(3, float, stats) /* (T) or (T, 2)                 */ \
                        INOUT(4, elem, dx)  /* (T, lddx) f32 where added into */
#define NORM_DX_PARAMS                                                                             \
    U32(n_rows) U32(cols) U32(ldx) U32(ldy) U32(lddx) F32(w_offset) U32(center) U32(add)

#define NORM_DW_BUFFERS IN(0, elem, dy)     /* (T, ldy)                                   */ \
                        IN(1, elem, x)      /* (T, ldx)                                   */ \
                        IN(2, float, stats) /* (T) or (T, 2)                              */ \
                        OUT(3, float, part) /* (blocks, ldp): sums over blocks of 64 rows */
#define NORM_DW_PARAMS U32(n_rows) U32(cols) U32(ldx) U32(ldy) U32(ldp) U32(center)
