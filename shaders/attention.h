// shaders/attention.h -- what the attention kernels bind. Source: src/op/attention.h.
// Index: 8 words a block. Query block: first query, number, key of the first query, row_begin,
// prompt_end, seg_begin, 0, 0. Key block: first key, number, first query that may see it, one past
// the last, own key of query 0 (modulo 2^32), 0, 0, 0. Behind the blocks the position of each query
// in its sequence, from 0 on; those of no segment are 0.
#define ATTENTION_Q_BLOCK 64 // most queries of a query block
#define ATTENTION_K_BLOCK 64 // most keys of a key block
#define ATTENTION_WORDS 8    // words of a block

#define ATTENTION_BUFFERS IN(0, elem, q)     /* (T, ldq) [t][h * D + d]  */ \
                          IN(1, elem, k)     /* (Tk, ldk) [t][g * D + d] */ \
                          IN(2, elem, v)     /* (Tk, ldv) */                \
                          IN(3, uint, index) /* blocks, as above */         \
                          OUT(4, elem, o)    /* (T, ldo)  */                \
                          OUT(5, float, lse) /* (H, T) nats */

#define ATTENTION_DELTA_BUFFERS IN(0, elem, o)       /* (T, ldo)  */ \
                                IN(1, elem, d_o)     /* (T, lddo) */ \
                                OUT(2, float, delta) /* (H, T) rowsum(d_o * o) */

#define ATTENTION_DQ_BUFFERS IN(0, elem, q)      /* (T, ldq)  */  \
                             IN(1, elem, k)      /* (Tk, ldk) */  \
                             IN(2, elem, v)      /* (Tk, ldv) */  \
                             IN(3, uint, index)                   \
                             IN(4, elem, d_o)    /* (T, lddo) */  \
                             IN(5, float, lse)   /* (H, T) */     \
                             IN(6, float, delta) /* (H, T) */     \
                             OUT(7, elem, dq)    /* (T, lddq) */

#define ATTENTION_DKV_BUFFERS IN(0, elem, q)      /* (T, ldq)   */ \
                              IN(1, elem, k)      /* (Tk, ldk)  */ \
                              IN(2, elem, v)      /* (Tk, ldv)  */ \
                              IN(3, uint, index)                   \
                              IN(4, elem, d_o)    /* (T, lddo)  */ \
                              IN(5, float, lse)   /* (H, T) */     \
                              IN(6, float, delta) /* (H, T) */     \
                              OUT(7, elem, dk)    /* (Tk, lddk) */ \
                              OUT(8, elem, dv)    /* (Tk, lddv) */

// One list for all of them; a kernel ignores what it does not need. blocks_at: word of the index
// where its blocks start; n_blocks: how many; positions_at: word where the positions start. (D is
// compiled in, and so is whether there are a WINDOW and a SOFTCAP.)
#define ATTENTION_PARAMS U32(blocks_at) U32(n_blocks) U32(n_tokens) U32(n_heads) U32(n_kv_heads) \
                         U32(head_dim) U32(ldq) U32(ldk) U32(ldv) U32(ldo) U32(lddo) U32(lddq)   \
                         U32(lddk) U32(lddv) F32(scale) U32(positions_at) U32(window)            \
                         F32(softcap)
