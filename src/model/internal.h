// src/model/internal.h -- what forward.c, backward.c and model.c share.
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

#include "src/format/safetensors.h"
#include "src/model/model.h"
#include "src/model/family.h"
#include "src/op/matmul.h"
#include "src/op/norm.h"

// The file's tensor of a weight, of the right shape; `folder` is its name in messages. Errors:
// RT_E_NOT_FOUND, RT_E_SHAPE (named).
RT_NODISCARD enum rt_err md_tensor_find(const struct fmt_st *st, const struct md_param *p,
                                        const char *folder, const struct fmt_tensor **out);

// y (cols, rows) = x (rows, cols) transposed; no overlap.
void md_transpose(const float *x, uint32_t rows, uint32_t cols, float *y);

// x rounded to a 16-bit type, to nearest even; RT_F32 leaves it.
void md_round_to(float *x, uint64_t n, enum rt_type type);

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

// The gradient of what the head reads: f32.
static inline struct op_mat_out md_last_grad(const struct md_model *m)
{
    return (struct op_mat_out){md_grad(m, m->graph.last), 0, md_ld(m, m->graph.last)};
}

// Rows of the loaded pass that tensor t has.
static inline uint32_t md_rows(const struct md_model *m, int t)
{
    const struct md_tensor *x = &m->graph.tensors[t];
    return x->scored ? m->now.n_rows : x->times * m->now.n_tokens;
}

static inline struct op_vec md_vec(const struct rt_buf *buf)
{
    return (struct op_vec){buf, 0};
}

// A tensor of a list in flat buffers of its layout.
static inline struct op_mat md_mat(const struct md_flat *flat, const struct md_param *p)
{
    return (struct op_mat){flat->chunk[p->chunk], p->first, p->ld};
}

static inline struct op_mat_out md_mat_out(const struct md_flat *flat, const struct md_param *p)
{
    return (struct op_mat_out){flat->chunk[p->chunk], p->first, p->ld};
}

static inline const struct md_param *md_weight_of(const struct md_model *m, const struct md_node *n)
{
    return md_params_get(&m->params, n->weight, n->layer);
}

// The weight that a forward with `w` uses: the base's, or its trained copy in the adapter.
static inline struct op_mat md_weight_mat(const struct md_model *m, struct md_weights w,
                                          enum md_weight weight, uint32_t layer)
{
    const int full = w.adapter ? md_adapter_of(&m->adapter, weight, layer).full : -1;
    return full >= 0 ? md_mat(w.adapter, &m->adapter.params.all[full])
                     : md_mat(w.base, md_params_get(&m->params, weight, layer));
}

// Of a node, its weight or its bias; MD_WEIGHT_COUNT: buf is NULL.
static inline struct op_vec md_weight_vec(const struct md_model *m, struct md_weights w,
                                          enum md_weight weight, uint32_t layer)
{
    const struct op_mat none = {0},
                        x = weight == MD_WEIGHT_COUNT ? none : md_weight_mat(m, w, weight, layer);
    return (struct op_vec){x.buf, x.first};
}

// Where the gradient of a weight goes; buf NULL: it is frozen.
static inline struct op_mat_out md_dweight(const struct md_model *m, const struct md_flat *grads,
                                           enum md_weight weight, uint32_t layer)
{
    const int full = md_adapter_of(&m->adapter, weight, layer).full;
    if (!md_adapter_any(&m->adapter))
        return md_mat_out(grads, md_params_get(&m->params, weight, layer));
    return full >= 0 ? md_mat_out(grads, &m->adapter.params.all[full]) : (struct op_mat_out){0};
}

static inline struct op_vec md_dweight_vec(const struct md_model *m, const struct md_flat *grads,
                                           enum md_weight weight, uint32_t layer)
{
    const struct op_mat_out none = {0}, x = weight == MD_WEIGHT_COUNT
                                                ? none
                                                : md_dweight(m, grads, weight, layer);
    return (struct op_vec){x.buf, x.first};
}

// A norm of heads is one of so many times the rows, each as long as a head.
static inline uint32_t md_norm_rows(const struct md_model *m, const struct md_node *n)
{
    return md_rows(m, n->out) * n->heads;
}

static inline uint32_t md_norm_ld(const struct md_model *m, const struct md_node *n, int t)
{
    return n->heads > 1 ? m->graph.tensors[t].cols / n->heads : md_ld(m, t);
}

static inline enum op_norm_kind md_norm_kind(const struct md_model *m)
{
    return m->arch.family->layer_norm ? OP_NORM_LAYER : OP_NORM_RMS;
}

// The tables of a ROPE node.
static inline const struct md_rope_table *md_rope_of(const struct md_model *m,
                                                     const struct md_node *n)
{
    if (m->arch.layer[n->layer] & MD_LAYER_LOCAL_ROPE)
        return &m->rope[MD_ROPE_LOCAL];
    return &m->rope[m->now_long ? MD_ROPE_LONG : MD_ROPE_MAIN];
}

// Fetch the stream that the node adds to into its output, where it is not there already.
RT_NODISCARD enum rt_err md_onto(const struct md_model *m, struct rt_cmd *cmd, int stream, int out);

// One node of the loaded pass, forward, without a cache.
RT_NODISCARD enum rt_err md_forward_node(struct md_model *m, struct rt_cmd *cmd,
                                         struct md_weights w, const struct md_node *n);

// A linear node, forward: out = x W^T (+ stream), with the adapter's share where it has one.
RT_NODISCARD enum rt_err md_linear(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                   const struct md_node *n);

// Its backward from dy, the gradient of out as a matmul operand: gradients of what is trained, and
// of x where that moves (added to what is there if n->sums).
RT_NODISCARD enum rt_err md_linear_backward(struct md_model *m, struct rt_cmd *cmd,
                                            struct md_weights w, const struct md_node *n,
                                            struct op_mat dy, struct md_flat *grads);

// The arguments of a layer's attention, forward and backward alike; with a cache its keys and
// values.
struct op_attention_args md_attention_args(const struct md_model *m, const struct md_node *n,
                                           const struct md_cache *c);

// ---- Experts (src/model/experts.c) ------------------------------------------------------------

// Buffers for a pass's rows at experts, and the sums of the load-balancing loss.
RT_NODISCARD enum rt_err md_experts_make(struct md_model *m, const struct md_model_desc *desc);
void md_experts_free(struct md_model *m);

// The nodes ROUTE, EXPERT, EXPERT_ACT and EXPERT_DOWN, forward and backward. `balance`: the layer's
// part of the load-balancing loss is added to m->balance_sums. dy: the gradient of the stream, as a
// matmul operand.
RT_NODISCARD enum rt_err md_route(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n,
                                  bool balance);
RT_NODISCARD enum rt_err md_expert(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                   const struct md_node *n);
RT_NODISCARD enum rt_err md_expert_act(struct md_model *m, struct rt_cmd *cmd,
                                       const struct md_node *n);
RT_NODISCARD enum rt_err md_expert_down(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                        const struct md_node *n);
RT_NODISCARD enum rt_err md_route_backward(struct md_model *m, struct rt_cmd *cmd,
                                           const struct md_node *n);
RT_NODISCARD enum rt_err md_expert_backward(struct md_model *m, struct rt_cmd *cmd,
                                            struct md_weights w, const struct md_node *n,
                                            struct md_flat *grads);
RT_NODISCARD enum rt_err md_expert_act_backward(struct md_model *m, struct rt_cmd *cmd,
                                                const struct md_node *n);
RT_NODISCARD enum rt_err md_expert_down_backward(struct md_model *m, struct rt_cmd *cmd,
                                                 struct md_weights w, const struct md_node *n,
                                                 struct op_mat dy, struct md_flat *grads);

// ---- DoRA (src/model/dora.c) ------------------------------------------------------------------

enum { MD_DORA_ROWS = 1024 }; // rows of B A at once

// RT_E_UNSUPPORTED where a linear with DoRA is only rows of a weight, or dropout is on too.
RT_NODISCARD enum rt_err md_dora_check(const struct md_model *m);

// Magnitudes of a new adapter: the norms of the weights' rows. Runs and waits.
RT_NODISCARD enum rt_err md_dora_init(struct md_model *m);

// Record m->dora_factor and m->dora_norm of an adapted linear.
RT_NODISCARD enum rt_err md_dora_norms(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                       const struct md_node *n);

// Record out = factor * (m->adapter_sum) + bias (+ stream).
RT_NODISCARD enum rt_err md_dora_scale(struct md_model *m, struct rt_cmd *cmd,
                                       const struct md_node *n, struct op_vec bias);

// Record the gradient of the magnitude from dy and the products in m->adapter_sum (overwritten);
// *dz is the gradient of the products.
RT_NODISCARD enum rt_err md_dora_backward(struct md_model *m, struct rt_cmd *cmd,
                                          const struct md_node *n, struct op_mat dy,
                                          struct md_flat *grads, struct op_mat *dz);

#endif // MODEL_INTERNAL_H
