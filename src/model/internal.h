// src/model/internal.h -- what forward.c, backward.c and model.c share.
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

#include "src/model/model.h"
#include "src/op/matmul.h"

// The buffer of tensor t, or of its gradient; streams share one gradient.
static inline struct rt_buf *md_buf(const struct md_model *m, int t)
{
    return m->slots[m->graph.tensors[t].slot];
}

static inline struct rt_buf *md_grad(const struct md_model *m, int t)
{
    const int g = m->graph.tensors[t].grad;
    return m->slots[g == MD_NONE ? m->graph.stream_grad : g];
}

static inline uint32_t md_ld(const struct md_model *m, int t)
{
    return op_stride(m->graph.tensors[t].cols);
}

// Rows of the loaded pass that tensor t has.
static inline uint32_t md_rows(const struct md_model *m, int t)
{
    return m->graph.tensors[t].scored ? m->now.n_rows : m->now.n_tokens;
}

static inline struct op_vec md_vec(const struct rt_buf *buf)
{
    return (struct op_vec){buf, 0};
}

static inline struct op_vec md_weight_vec(const struct md_flat *w, const struct md_param *p)
{
    return (struct op_vec){w->chunk[p->chunk], p->first};
}

static inline struct op_mat md_weight_mat(const struct md_flat *w, const struct md_param *p)
{
    return (struct op_mat){w->chunk[p->chunk], p->first, p->ld};
}

static inline const struct md_param *md_weight_of(const struct md_model *m, const struct md_node *n)
{
    return md_params_get(&m->params, n->weight, n->layer);
}

// The arguments of a layer's attention, forward and backward alike; with a cache its keys and
// values.
struct op_attention_args md_attention_args(const struct md_model *m, const struct md_node *n,
                                           const struct md_cache *c);

#endif // MODEL_INTERNAL_H
