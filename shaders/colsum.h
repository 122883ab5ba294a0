// shaders/colsum.h -- sums over the rows of a matrix. Source: src/op/colsum.h.
#define COLSUM_BUFFERS IN(0, elem, x)      /* (T, ld)                                    */ \
                       OUT(1, float, part) /* (blocks, ldp): sums over blocks of 64 rows */
#define COLSUM_PARAMS U32(n_rows) U32(cols) U32(ld) U32(ldp)

#define COLSUM_ADD_BUFFERS IN(0, float, part) /* (blocks, ldp)                */ \
                           INOUT(1, float, y) /* (C) from y_first on, added into */
#define COLSUM_ADD_PARAMS U32(n_blocks) U32(cols) U32(ldp) U32(y_first)
