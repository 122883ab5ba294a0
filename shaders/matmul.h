// shaders/matmul.h -- what every variant of the product binds. Source: src/op/matmul.h.
// Elements begin at *_first of their bindings. form: 0 NT, 1 NN, 2 TN. flags: 1 accumulate, 2 bias.
// The tile variant sums k_part of k (a multiple of 16, or all of it) in each group along z, into C's
// of their own, c_part elements apart; matmul_round adds them up.
#define MATMUL_BUFFERS IN(0, elem, a)    /* (m,k), TN: (k,m) */  \
                       IN(1, elem, b)    /* (k,n), NT: (n,k) */  \
                       IN(2, elem, bias) /* (n), if flags & 2 */ \
                       INOUT(3, elem, c) /* (m,n) */
#define MATMUL_PARAMS U32(form) U32(flags) U32(m) U32(n) U32(k) U32(lda) U32(ldb) U32(ldc) \
                      U32(a_first) U32(b_first) U32(bias_first) U32(c_first) U32(k_part) U32(c_part)
// Of an f32 sum that was made in slices or parts of k: c = x[0] + x[1] + ... + bias (+ c).
#define MATMUL_ROUND_BUFFERS IN(0, float, x)   /* (parts,m,n), stride ldx, x_part apart */ \
                             IN(1, elem, bias) /* (n), if flags & 2 */ \
                             INOUT(2, elem, c) /* (m,n) */
#define MATMUL_ROUND_PARAMS U32(flags) U32(m) U32(n) U32(ldx) U32(ldc) U32(x_first) \
                            U32(bias_first) U32(c_first) U32(parts) U32(x_part)
// The wide variant: rows and columns of C that one work-item makes, the block of k it sums at once.
#define MATMUL_WIDE_PARAMS MATMUL_PARAMS U32(chunk) U32(width) U32(block)
