// shaders/route.h -- which experts a token goes to, and rows grouped by expert. Source:
// src/op/route.h, which says how the index lies.
#define ROUTE_BLOCK 256 // slots that one lane counts
#define ROUTE_TILE 64   // rows of an expert that a group of a product takes

// T tokens, K experts a token, M = T K slots; slot t K + i is token t's i-th expert.
#define ROUTE_PICK_BUFFERS IN(0, float, logits)  /* (T, ld)                            */ \
                           INOUT(1, uint, index) /* out: experts of the slots          */ \
                           INOUT(2, float, route) /* out, from M: max, 1 / sum by token */
#define ROUTE_COUNT_BUFFERS INOUT(0, uint, index)
#define ROUTE_WEIGHTS_BUFFERS IN(0, float, logits)   /* (T, ld)                       */ \
                              IN(1, uint, index)     /*                               */ \
                              INOUT(2, float, route) /* out: weights of the rows, (M) */
#define ROUTE_BALANCE_BUFFERS IN(0, float, logits) /* (T, ld)                          */ \
                              IN(1, uint, index)   /*                                  */ \
                              IN(2, float, route)  /* max, 1 / sum                     */ \
                              IN(3, uint, counts)  /* (T) how often a token counts     */ \
                              INOUT(4, float, sums) /* (2 E): picked, probabilities     */
#define ROUTE_BACK_BUFFERS IN(0, float, logits) /* (T, ld)                                 */ \
                           IN(1, uint, index)   /*                                         */ \
                           IN(2, float, route)  /* weights, max, 1 / sum                   */ \
                           IN(3, float, droute) /* (M) gradients of the weights            */ \
                           IN(4, uint, counts)  /* (T) if factor is not 0                  */ \
                           IN(5, float, sums)   /* (E) picked, if factor is not 0          */ \
                           OUT(6, elem, dlogits) /* (T, ldd), padding zero                  */
#define ROUTE_PARAMS U32(n_tokens) U32(n_experts) U32(top_k) U32(ld) U32(norm) U32(n_tiles)
#define ROUTE_BACK_PARAMS ROUTE_PARAMS U32(ldd) F32(factor)

// Where the parts of the index begin; rows = M.
#define ROUTE_PLACE(rows) (rows)
#define ROUTE_IDS(rows) (2u * (rows))
#define ROUTE_STARTS(rows) (3u * (rows))
#define ROUTE_N_TILES(rows, experts) (3u * (rows) + (experts) + 1u)
#define ROUTE_TILES(rows, experts) (3u * (rows) + (experts) + 2u)
#define ROUTE_COUNTS(rows, experts, tiles) (3u * (rows) + (experts) + 2u + 2u * (tiles))
