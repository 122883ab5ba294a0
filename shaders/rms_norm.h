// shaders/rms_norm.h -- RMSNorm and its gradients. Source: src/op/rms_norm.h.
#define RMS_NORM_BUFFERS IN(0, float, x)     /* (T, ldx)                     */ \
                         IN(1, elem, w)      /* (C)                          */ \
                         OUT(2, elem, y)     /* (T, ldy)                     */ \
                         OUT(3, float, rstd) /* (T) 1 / sqrt(mean(x^2) + eps) */
#define RMS_NORM_PARAMS U32(n_rows) U32(cols) U32(ldx) U32(ldy) F32(eps) F32(w_offset)

#define RMS_NORM_DX_BUFFERS IN(0, elem, dy)    /* (T, ldy)              */ \
                            IN(1, float, x)    /* (T, ldx)              */ \
                            IN(2, elem, w)     /* (C)                   */ \
                            IN(3, float, rstd) /* (T)                   */ \
                            INOUT(4, float, dx) /* (T, lddx) added into */
#define RMS_NORM_DX_PARAMS U32(n_rows) U32(cols) U32(ldx) U32(ldy) U32(lddx) F32(w_offset)

#define RMS_NORM_DW_BUFFERS IN(0, elem, dy)     /* (T, ldy)                                   */ \
                            IN(1, float, x)     /* (T, ldx)                                   */ \
                            IN(2, float, rstd)  /* (T)                                        */ \
                            OUT(3, float, part) /* (blocks, ldp): sums over blocks of 64 rows */
#define RMS_NORM_DW_PARAMS U32(n_rows) U32(cols) U32(ldx) U32(ldy) U32(ldp)

#define RMS_NORM_DW_SUM_BUFFERS IN(0, float, part)  /* (blocks, ldp)  */ \
                                INOUT(1, float, dw) /* (C) added into */
#define RMS_NORM_DW_SUM_PARAMS U32(n_blocks) U32(cols) U32(ldp)
