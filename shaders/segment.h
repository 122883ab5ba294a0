// shaders/segment.h -- sums over runs of rows, and their transpose. Source: src/op/segment.h.
#define SEGMENT_SUM_BUFFERS IN(0, float, x)     /* (M, ld)                     */ \
                            IN(1, uint, starts) /* (S + 1), from starts_first  */ \
                            OUT(2, float, y)    /* (S), from y_first           */
#define SEGMENT_SUM_PARAMS U32(n_segs) U32(ld) U32(column) U32(starts_first) U32(y_first) U32(mean)

#define SEGMENT_SPREAD_BUFFERS IN(0, float, dy)    /* (S), from dy_first         */ \
                               IN(1, uint, starts) /* (S + 1), from starts_first */ \
                               OUT(2, float, dx)   /* (M)                        */
#define SEGMENT_SPREAD_PARAMS U32(n_segs) U32(starts_first) U32(dy_first) U32(mean) F32(scale)
