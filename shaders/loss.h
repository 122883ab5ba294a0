// shaders/loss.h -- one term of the preference loss: what the kernel binds, and the numbers of its types. Source: src/op/loss.h.
#ifndef LOSS_H
#define LOSS_H

// Of a margin x = phi(rho_c) - phi(rho_r), or of that divided by lengths
#define LOSS_SIGMOID 0u
#define LOSS_HINGE 1u
#define LOSS_IPO 2u
#define LOSS_EXO_PAIR 3u
#define LOSS_ROBUST 4u
#define LOSS_DISCOPOP 5u
#define LOSS_SIGMOID_NORM 6u
#define LOSS_AOT 7u
#define LOSS_AOT_UNPAIRED 8u
#define LOSS_CDPO 9u
#define LOSS_SIMPO 10u     // without the reference
#define LOSS_OF_MARGIN 11u // the first that is not
// Of each side by itself
#define LOSS_NCA_PAIR 11u
#define LOSS_BCO_PAIR 12u
#define LOSS_SPPO_HARD 13u
#define LOSS_APO_ZERO 14u
#define LOSS_APO_DOWN 15u
#define LOSS_SFT 16u
#define LOSS_ORPO 17u // without the reference

#define LOSS_REVERSE_KL 0u
#define LOSS_FORWARD_KL 1u
#define LOSS_JS 2u
#define LOSS_ALPHA 3u

#define LOSS_ORPO_MIN 1e-6f // least -log-prob a token that odds are taken of: those of certainty are infinite
#define LOSS_EXP_MAX 80.0f // exponents are cut here: e^80 is in f32's range, and is TRL's own cut of the alpha divergence

// c0, c1: constants of the type; shift: what the margin must exceed (simpo). From src/op/loss.c.
#define LOSS_BUFFERS IN(0, float, logp)       /* (2N) summed log-probs, policy, nats: chosen, rejected     */ \
                     IN(1, float, ref_logp)   /* (2N) the same, reference                                  */ \
                     IN(2, float, len)        /* (2N) completion tokens, >= 1                              */ \
                     IN(3, float, log_weight) /* (2N) log of a sequence's weight; read if weighted         */ \
                     IN(4, uint, partner)     /* (2N) pairs of the same rank; read by aot and aot_unpaired */ \
                     INOUT(5, float, loss)    /* (N) nats                                                  */ \
                     INOUT(6, float, dlogp)   /* (2N) d(grad_scale * sum loss) / d logp                    */
#define LOSS_PARAMS                                                                                \
    U32(n_pairs) U32(type) U32(divergence) U32(first) U32(weighted) F32(beta) F32(weight)          \
    F32(grad_scale) F32(alpha) F32(c0) F32(c1) F32(shift)

// Head and tail of each of S sequences, and their weighted sum.
#define LOSS_FOLD_BUFFERS IN(0, float, x)  /* (2S) */ \
                          OUT(1, float, y) /* (S)  */
#define LOSS_UNFOLD_BUFFERS IN(0, float, dy)  /* (S)  */ \
                            OUT(1, float, dx) /* (2S) */
#define LOSS_FOLD_PARAMS U32(n_seqs) F32(tail) F32(plain) // plain: read by unfold alone

#endif // LOSS_H
