// shaders/rope.h -- rotary position embedding. Source: src/op/rope.h.
#define ROPE_BUFFERS IN(0, elem, x)         /* (T, ldx) heads of D          */ \
                     IN(1, float, cos_table) /* (P, R/2)                    */ \
                     IN(2, float, sin_table) /* (P, R/2)                    */ \
                     IN(3, uint, pos)       /* (T) row of the tables       */ \
                     OUT(4, elem, y)        /* (T, ldy)                    */
#define ROPE_PARAMS                                                                                \
    U32(n_rows) U32(n_heads) U32(head_dim) U32(rot_dim) U32(ldx) U32(ldy) F32(sign) \
    U32(pairs)
