// shaders/sgd.h -- one SGD step, on f32 weights and on masters. Source: src/op/sgd.h.
#define SGD_STATE IN(0, float, grad) /* (n)                 */ \
                  IN(1, float, mult) /* (1) of the gradient */
#define SGD_BUFFERS SGD_STATE INOUT(2, float, w)        /* (n) */
#define SGD_MASTER_BUFFERS SGD_STATE INOUT(2, elem, w)  /* (n) */ \
                           INOUT(3, elem, low)          /* (n) shaders/master.h */
#define SGD_PARAMS U32(n) F32(weight_decay) F32(lr)
