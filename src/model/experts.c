// Layers of experts: routing, the products of rows by expert, and the way back to tokens.
#include "src/model/internal.h"

#include <stdlib.h>

#include "src/op/experts.h"
#include "src/op/rows.h"
#include "src/op/self_check.h"

enum rt_err md_experts_make(struct md_model *m, const struct md_model_desc *desc)
{
    enum rt_err err = RT_OK;
    const uint32_t n = m->arch.experts;
    const uint64_t rows = (uint64_t) m->max_tokens * m->arch.top_k;

    if (n == 0)
        goto done;
    RT_TRY(op_self_check_experts(m->dev, m->storage));
    m->experts = calloc(n, sizeof(*m->experts));
    m->dexperts = calloc(n, sizeof(*m->dexperts));
    if (!m->experts || !m->dexperts)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of %u experts", n));
    RT_TRY(rt_buf_create(m->dev, m->storage, rows * op_stride(m->arch.hidden),
                         "activations of experts", &m->routed));
    if (!desc->balance)
        goto done;
    RT_TRY(rt_buf_create(m->dev, RT_U32, m->max_tokens, "token counts", &m->counts));
    RT_TRY(rt_buf_create(m->dev, RT_F32, 2 * (uint64_t) n, "load of experts", &m->balance_sums));
done:
    return err;
}

void md_experts_free(struct md_model *m)
{
    rt_buf_destroy(&m->routed);
    rt_buf_destroy(&m->counts);
    rt_buf_destroy(&m->balance_sums);
    free(m->experts);
    free(m->dexperts);
}

static struct op_experts routing(const struct md_model *m, int index)
{
    return (struct op_experts){md_buf(m, index), m->now.n_tokens, m->arch.experts, m->arch.top_k};
}

static struct op_route_args route_args(const struct md_model *m, const struct md_node *n)
{
    return (struct op_route_args){.logits = md_vec(md_buf(m, n->in[0])),
                                  .index = md_buf(m, n->aux),
                                  .route = md_vec(md_buf(m, n->out)),
                                  .n_tokens = m->now.n_tokens,
                                  .n_experts = m->arch.experts,
                                  .top_k = m->arch.top_k,
                                  .ld = md_ld(m, n->in[0]),
                                  .renormalise = m->arch.top_k_norm};
}

enum rt_err md_route(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n, bool balance)
{
    enum rt_err err = RT_OK;
    const struct op_route_args a = route_args(m, n);

    RT_TRY(op_route(cmd, &a));
    if (balance)
        RT_TRY(op_route_balance(cmd, &a, m->counts, m->balance_sums));
done:
    return err;
}

enum rt_err md_route_backward(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n)
{
    return op_route_backward(
        cmd, &(struct op_route_backward_args){.of = route_args(m, n),
                                              .droute = md_vec(md_grad(m, n->out)),
                                              .dlogits = md_vec(md_grad(m, n->in[0])),
                                              .ldd = md_ld(m, n->in[0]),
                                              .counts = m->counts,
                                              .sums = m->balance_sums,
                                              .factor = m->balance_factor});
}

// ---- Products ---------------------------------------------------------------------------------

// A node's product; its weights, or their gradients with OP_TN, are filled in.
static enum rt_err product(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n,
                           const struct md_flat *flat, struct op_experts_matmul_args a)
{
    const struct md_param *p = md_weight_of(m, n); // expert 0's, which the others follow

    for (uint32_t e = 0; e < m->arch.experts; e++) {
        m->experts[e] = md_mat(flat, p + e);
        m->dexperts[e] = md_mat_out(flat, p + e);
    }
    a.of = routing(m, n->in[2]);
    a.w_rows = p->rows;
    a.w_cols = p->cols;
    a.w = a.form == OP_TN ? NULL : m->experts;
    a.dw = a.form == OP_TN ? m->dexperts : NULL;
    return op_experts_matmul(cmd, &a);
}

static uint32_t ld_routed(const struct md_model *m)
{
    return op_stride(m->arch.hidden);
}

// m->routed = the rows of x (T, hidden), storage type.
static enum rt_err gather(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n,
                          const struct rt_buf *x)
{
    const uint32_t ld = ld_routed(m);
    return op_rows_gather(cmd,
                          &(struct op_rows_gather_args){.x = md_vec(x),
                                                        .ids = md_buf(m, n->in[2]),
                                                        .y = md_vec(m->routed),
                                                        .n_table = m->now.n_tokens,
                                                        .n_rows = m->now.n_tokens * m->arch.top_k,
                                                        .cols = m->arch.hidden,
                                                        .ldx = ld,
                                                        .ldy = ld,
                                                        .scale = 1.0f});
}

// y (T, hidden) = the sums of m->routed over the rows of tokens (+ y).
static enum rt_err sum(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n,
                       struct rt_buf *y, bool add)
{
    const uint32_t ld = ld_routed(m);
    return op_experts_sum(cmd, &(struct op_experts_sum_args){.of = routing(m, n->in[2]),
                                                             .x = md_vec(m->routed),
                                                             .y = md_vec(y),
                                                             .cols = m->arch.hidden,
                                                             .ldx = ld,
                                                             .ldy = ld,
                                                             .add = add});
}

enum rt_err md_expert(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                      const struct md_node *n)
{
    enum rt_err err = RT_OK;

    RT_TRY(gather(m, cmd, n, md_buf(m, n->in[0])));
    RT_TRY(product(m, cmd, n, w.base,
                   (struct op_experts_matmul_args){.form = OP_NT,
                                                   .a = {m->routed, 0, ld_routed(m)},
                                                   .c = {md_buf(m, n->out), 0, md_ld(m, n->out)}}));
done:
    return err;
}

// dW += dy^T x, then dx += the sums of dy W.
enum rt_err md_expert_backward(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                               const struct md_node *n, struct md_flat *grads)
{
    enum rt_err err = RT_OK;
    const struct op_mat dy = {md_grad(m, n->out), 0, md_ld(m, n->out)};

    if (n->trains) {
        RT_TRY(gather(m, cmd, n, md_buf(m, n->in[0])));
        RT_TRY(product(m, cmd, n, grads,
                       (struct op_experts_matmul_args){
                           .form = OP_TN, .a = dy, .b = {m->routed, 0, ld_routed(m)}}));
    }
    if (!m->graph.tensors[n->in[0]].moves)
        goto done;
    RT_TRY(product(m, cmd, n, w.base,
                   (struct op_experts_matmul_args){
                       .form = OP_NN, .a = dy, .c = {m->routed, 0, ld_routed(m)}}));
    RT_TRY(sum(m, cmd, n, md_grad(m, n->in[0]), n->sums));
done:
    return err;
}

enum rt_err md_expert_down(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                           const struct md_node *n)
{
    enum rt_err err = RT_OK;

    RT_TRY(md_onto(m, cmd, n->in[1], n->out));
    RT_TRY(
        product(m, cmd, n, w.base,
                (struct op_experts_matmul_args){.form = OP_NT,
                                                .a = {md_buf(m, n->in[0]), 0, md_ld(m, n->in[0])},
                                                .c = {m->routed, 0, ld_routed(m)}}));
    RT_TRY(sum(m, cmd, n, md_buf(m, n->out), true));
done:
    return err;
}

enum rt_err md_expert_down_backward(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                    const struct md_node *n, struct op_mat dy,
                                    struct md_flat *grads)
{
    enum rt_err err = RT_OK;
    const int x = n->in[0];
    const struct op_mat rows = {m->routed, 0, ld_routed(m)};

    RT_TRY(gather(m, cmd, n, dy.buf));
    if (n->trains)
        RT_TRY(product(m, cmd, n, grads,
                       (struct op_experts_matmul_args){
                           .form = OP_TN, .a = rows, .b = {md_buf(m, x), 0, md_ld(m, x)}}));
    if (m->graph.tensors[x].moves)
        RT_TRY(product(m, cmd, n, w.base,
                       (struct op_experts_matmul_args){
                           .form = OP_NN, .a = rows, .c = {md_grad(m, x), 0, md_ld(m, x)}}));
done:
    return err;
}

// ---- Activation -------------------------------------------------------------------------------

enum rt_err md_expert_act(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n)
{
    return op_experts_act(cmd, &(struct op_experts_act_args){.g = md_vec(md_buf(m, n->in[0])),
                                                             .u = md_vec(md_buf(m, n->in[1])),
                                                             .w = md_vec(md_buf(m, n->in[2])),
                                                             .a = md_vec(md_buf(m, n->out)),
                                                             .n_rows = md_rows(m, n->out),
                                                             .cols = m->arch.expert_ffn,
                                                             .ld = md_ld(m, n->out),
                                                             .act = m->arch.act});
}

enum rt_err md_expert_act_backward(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n)
{
    return op_experts_act_backward(
        cmd, &(struct op_experts_act_backward_args){.g = md_vec(md_buf(m, n->in[0])),
                                                    .u = md_vec(md_buf(m, n->in[1])),
                                                    .w = md_vec(md_buf(m, n->in[2])),
                                                    .da = md_vec(md_grad(m, n->out)),
                                                    .dg = md_vec(md_grad(m, n->in[0])),
                                                    .du = md_vec(md_grad(m, n->in[1])),
                                                    .dw = md_vec(md_grad(m, n->in[2])),
                                                    .n_rows = md_rows(m, n->out),
                                                    .cols = m->arch.expert_ffn,
                                                    .ld = md_ld(m, n->out),
                                                    .act = m->arch.act});
}
