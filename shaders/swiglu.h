// shaders/swiglu.h -- gated activation and its gradient. Source: src/op/swiglu.h.
#define SWIGLU_BUFFERS IN(0, elem, g)  /* (T, ld) gate           */ \
                       IN(1, elem, u)  /* (T, ld) up             */ \
                       OUT(2, elem, a) /* (T, ld) act(g) * u     */
#define SWIGLU_PARAMS U32(n_rows) U32(cols) U32(ld)

#define SWIGLU_BACK_BUFFERS IN(0, elem, g)   /* (T, ld) gate            */ \
                            IN(1, elem, u)   /* (T, ld) up              */ \
                            IN(2, elem, da)  /* (T, ld) gradient of a   */ \
                            OUT(3, elem, dg) /* (T, ld)                 */ \
                            OUT(4, elem, du) /* (T, ld)                 */
