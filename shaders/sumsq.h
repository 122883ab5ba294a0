// shaders/sumsq.h -- sums of squares over blocks. Source: src/op/sumsq.h.
#define SUMSQ_BLOCK 16384u
#define SUMSQ_BUFFERS IN(0, float, x)    /* (n)                                    */ \
                      OUT(1, float, part) /* one number a block, from part_first on */
#define SUMSQ_PARAMS U32(n) U32(part_first)
