// shaders/logprob.h -- statistics of rows of logits, chunk by chunk, and their gradient. Source:
// src/op/logprob.h. Columns of the running state of a row (8 floats); "others" are all columns but
// the target.
#define ST_MAX 0u     // maximum over the others
#define ST_SUM 1u     // sum over the others of exp(l - max)
#define ST_DOT 2u     // sum over the others of exp(l - max) * (l - max)
#define ST_MAX_LOW 3u // maximum over the others before the target
#define ST_TARGET 4u  // the target's logit
#define ST_TOTAL 5u   // sum of all logits
#define ST_SHRINK 6u  // exp(the maximum before this chunk - max): what older sums were multiplied by
#define ST_USED 7u
#define ST_SQUARES 7u // if asked for: sum over the others of exp(2 (l - max))

// exp(l - max) is times this in S, so that f16, whose numbers below 2^-14 lose bits and end at
// 2^-24, has small ones too; max itself is 2^15, half of where f16 ends.
#define SWEEP_ONE 32768.0f

#define LOGPROB_STATS_BUFFERS IN(0, float, logits)  /* (M, ld) columns [v_begin, +v_count) */ \
                              IN(1, uint, target)   /* (M)                                */ \
                              INOUT(2, float, state) /* (M, 8)                            */
#define LOGPROB_STATS_PARAMS U32(n_rows) U32(ld) U32(v_begin) U32(v_count)

#define LOGPROB_FINISH_BUFFERS IN(0, float, state) /* (M, 8)                 */ \
                               OUT(1, float, result) /* (M, 8) enum op_logprob */
#define LOGPROB_FINISH_PARAMS U32(n_rows) U32(n_vocab)

#define LOGPROB_SQUARES_FINISH_BUFFERS IN(0, float, state)    /* (M, 8)                 */ \
                                       INOUT(1, float, result) /* (M, 8) enum op_logprob */

#define LOGPROB_GRAD_BUFFERS IN(0, float, logits)  /* (M, ld) columns [v_begin, +v_count)  */ \
                             IN(1, uint, target)   /* (M)                                 */ \
                             IN(2, float, result)  /* (M, 8) of the forward                */ \
                             IN(3, float, coef)    /* (M) dL / dlogp                       */ \
                             OUT(4, elem, dlogits) /* (M, ld); op_stride(v_count) columns    */
#define LOGPROB_GRAD_PARAMS                                                                        \
    U32(n_rows) U32(ld) U32(v_begin) U32(v_count) F32(logit_scale) F32(softcap)

#define LOGPROB_SWEEP_BUFFERS IN(0, float, logits) /* (M, ld) columns [v_begin, +v_count)   */ \
                              IN(1, uint, target)  /* (M)                                  */ \
                              IN(2, float, state)  /* (M, 8) after the chunk's statistics  */ \
                              OUT(3, elem, dlogits) /* (M, ld); op_stride(v_count) columns   */
#define LOGPROB_SWEEP_PARAMS U32(n_rows) U32(ld) U32(v_begin) U32(v_count) F32(softcap)

#define LOGPROB_DH_BUFFERS IN(0, elem, w)        /* rows [row_begin, +row_count), stride ldw   */ \
                           IN(1, uint, target)   /* (M)                                       */ \
                           IN(2, float, state)   /* (M, 8) after the last chunk               */ \
                           IN(3, float, result)  /* (M, 8) of logprob_finish                  */ \
                           INOUT(4, float, dh)   /* (M, ldh)                                  */
#define LOGPROB_DH_PARAMS                                                                          \
    U32(n_rows) U32(cols) U32(ldw) U32(ldh) U32(row_begin) U32(row_count) F32(logit_scale)         \
    F32(softcap)

#define LOGPROB_SCALE_BUFFERS IN(0, float, factor) /* (M, ldf), of a row that at column `at` */ \
                              INOUT(1, float, dh)  /* (M, ldh)                                */
#define LOGPROB_SCALE_PARAMS U32(n_rows) U32(cols) U32(ldh) U32(ldf) U32(at)

#define LOGPROB_CAP_BUFFERS INOUT(0, float, logits) /* (M, ld) columns [0, v_count) */
#define LOGPROB_CAP_PARAMS U32(n_rows) U32(ld) U32(v_count) F32(logit_scale) F32(softcap)
