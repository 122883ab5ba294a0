// shaders/rows.h -- gather rows of a table, and add rows into a table. Source: src/op/rows.h.
#define ROWS_GATHER_BUFFERS IN(0, elem, x)   /* table rows [row_begin, +row_count), stride ldx */ \
                            IN(1, uint, ids) /* (M) row of the table for each row of y        */ \
                            INOUT(2, elem, y) /* (M, ldy); f32 where added into                   */
#define ROWS_GATHER_PARAMS                                                                         \
    U32(n_rows) U32(cols) U32(ldx) U32(ldy) U32(row_begin) U32(row_count) F32(scale) U32(add)

#define ROWS_SCATTER_BUFFERS IN(0, elem, dy)    /* rows [src_begin, +src_count) of M, ldy */ \
                             IN(1, uint, index) /* (3M + 1) of op_scatter_index()         */ \
                             INOUT(2, float, dx) /* table rows [row_begin, +row_count), ldx */
#define ROWS_SCATTER_PARAMS                                                                        \
    U32(n_src) U32(n_unique) U32(cols) U32(ldx) U32(ldy) U32(row_begin) U32(row_count)             \
    U32(src_begin) U32(src_count) F32(scale)
