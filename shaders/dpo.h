// shaders/dpo.h -- what the kernel binds. Source: src/op/dpo.h.
#define DPO_BUFFERS IN(0, float, logp)     /* (2N) summed answer log-prob, policy, nats */ \
                    IN(1, float, ref_logp) /* (2N) the same, reference                  */ \
                    OUT(2, float, loss)    /* (N)  nats                                 */ \
                    OUT(3, float, dlogp)   /* (2N) d(grad_scale * sum loss) / d logp    */
#define DPO_PARAMS U32(n_pairs) F32(beta) F32(grad_scale)
