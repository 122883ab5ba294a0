// shaders/sgd.h -- one SGD step, without and with a working copy. Source: src/op/sgd.h.
#define SGD_STATE IN(0, float, grad) /* (n) */ \
                  INOUT(1, float, p) /* (n) */
#define SGD_BUFFERS SGD_STATE IN(2, float, mult)     /* (1) of the gradient   */
#define SGD_COPY_BUFFERS SGD_STATE OUT(2, elem, w)   /* (n) p in storage type */ \
                         IN(3, float, mult)          /* (1) of the gradient   */
#define SGD_PARAMS U32(n) F32(weight_decay) F32(lr)
