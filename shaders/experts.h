// shaders/experts.h -- products of rows that are grouped by expert, and what is around them.
// Source: src/op/experts.h; `index` as src/op/route.h makes it.
#define EXPERTS_MATMUL_BUFFERS IN(0, elem, a)     /* rows [row_begin, +row_count) of M        */ \
                               IN(1, elem, b)     /* weights of experts; TN: rows, as a       */ \
                               IN(2, uint, index) /*                                          */ \
                               INOUT(3, elem, c)  /* rows, as a; TN: gradients of the weights */
// rows: M; w_rows, w_cols: of a weight; e_begin, e_count, e_stride: the experts that are bound.
#define EXPERTS_MATMUL_PARAMS                                                                      \
    U32(form) U32(rows) U32(n_experts) U32(w_rows) U32(w_cols) U32(lda) U32(ldb) U32(ldc)          \
    U32(row_begin) U32(row_count) U32(e_begin) U32(e_count) U32(e_stride)
// The variant for CPUs: rows and columns that one work-item makes at once, the block of k.
#define EXPERTS_WIDE_PARAMS EXPERTS_MATMUL_PARAMS U32(chunk) U32(width) U32(block)

#define EXPERTS_SUM_BUFFERS IN(0, elem, x)     /* rows [row_begin, +row_count) of M, stride ldx */ \
                            IN(1, uint, index) /*                                               */ \
                            INOUT(2, float, y) /* tokens [t_begin, +n_tokens), stride ldy       */
#define EXPERTS_SUM_PARAMS                                                                         \
    U32(rows) U32(top_k) U32(n_tokens) U32(t_begin) U32(cols) U32(ldx) U32(ldy) U32(row_begin)     \
    U32(row_count) U32(add)

// Parameters: ACT_PARAMS of act.h.
#define EXPERTS_ACT_BUFFERS IN(0, elem, g)  /* (M, ld) gate               */ \
                            IN(1, elem, u)  /* (M, ld) up                 */ \
                            IN(2, float, w) /* (M)                        */ \
                            OUT(3, elem, a) /* (M, ld) w * act(g) * u     */
#define EXPERTS_ACT_BACK_BUFFERS IN(0, elem, g)   /* (M, ld) gate          */ \
                                 IN(1, elem, u)   /* (M, ld) up            */ \
                                 IN(2, float, w)  /* (M)                   */ \
                                 IN(3, elem, da)  /* (M, ld) gradient of a */ \
                                 OUT(4, elem, dg) /* (M, ld)               */ \
                                 OUT(5, elem, du) /* (M, ld)               */ \
                                 OUT(6, float, dw) /* (M)                   */
