// shaders/sgd.h -- one SGD step, without and with a working copy. Source: src/op/sgd.h.
#define SGD_BUFFERS IN(0, float, grad) /* (n) */ \
                    INOUT(1, float, p) /* (n) */
#define SGD_COPY_BUFFERS SGD_BUFFERS OUT(2, elem, w) /* (n) p in storage type */
#define SGD_PARAMS U32(n) F32(grad_mult) F32(weight_decay) F32(lr)
