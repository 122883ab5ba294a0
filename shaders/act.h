// shaders/act.h -- activations, plain and gated, and their gradients. Source: src/op/act.h.
#define ACT_BUFFERS IN(0, elem, g)  /* (T, ld)        */ \
                    OUT(1, elem, a) /* (T, ld) act(g) */
#define ACT_GATE_BUFFERS IN(0, elem, g)  /* (T, ld) gate       */ \
                         IN(1, elem, u)  /* (T, ld) up         */ \
                         OUT(2, elem, a) /* (T, ld) act(g) * u */
#define ACT_PARAMS U32(n_rows) U32(cols) U32(ld) U32(act_kind)

#define ACT_BACK_BUFFERS IN(0, elem, g)   /* (T, ld)               */ \
                         IN(1, elem, da)  /* (T, ld) gradient of a */ \
                         OUT(2, elem, dg) /* (T, ld)               */
#define ACT_GATE_BACK_BUFFERS IN(0, elem, g)   /* (T, ld) gate          */ \
                              IN(1, elem, u)   /* (T, ld) up            */ \
                              IN(2, elem, da)  /* (T, ld) gradient of a */ \
                              OUT(3, elem, dg) /* (T, ld)               */ \
                              OUT(4, elem, du) /* (T, ld)               */
