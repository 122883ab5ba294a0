// The backward: one case a node, in reverse; what the forward dropped of a layer is made again
// before the layer's own. Nodes below the lowest that is trained have none. A
// gradient of several readers is summed in f32.
#include "src/model/internal.h"

#include <math.h>

#include "src/op/cast.h"
#include "src/op/act.h"
#include "src/op/add.h"
#include "src/op/embed.h"
#include "src/op/norm.h"
#include "src/op/rope.h"
#include "src/op/rows.h"
#include "src/op/segment.h"

struct walk {
    struct md_model *m;
    struct rt_cmd *cmd;
    struct md_weights w;
    struct md_flat *grads;
    bool dy_fresh; // m->dy holds the stream's gradient as it is now
};

static enum rt_err embed(struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const struct md_param *p = md_weight_of(m, n);
    const bool positions = n->weight == MD_POSITIONS;
    const struct op_vec dw = md_dweight_vec(m, k->grads, n->weight, 0);
    if (!dw.buf)
        return RT_OK;
    return op_embed_backward(k->cmd, &(struct op_embed_backward_args){
                                         .dx = md_vec(md_grad(m, n->out)),
                                         .index = positions ? m->pos_index : m->embed_index,
                                         .dw = dw,
                                         .n_vocab = p->rows,
                                         .n_tokens = m->now.n_tokens,
                                         .n_unique = positions ? m->n_pos_ids : m->n_embed_ids,
                                         .cols = p->cols,
                                         .ldw = p->ld,
                                         .ldx = md_ld(m, n->out),
                                         .scale = positions ? 1.0f : m->arch.embed_scale});
}

// Before a sublayer the input is a stream, whose gradient is added to; behind one, and of q and k,
// it is a sublayer's own.
static enum rt_err norm(struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const bool stream = m->graph.tensors[n->in[0]].kind == MD_STREAM;

    k->dy_fresh = k->dy_fresh && !stream;
    return op_norm_backward(k->cmd, &(struct op_norm_backward_args){
                                        .kind = md_norm_kind(m),
                                        .dy = md_vec(md_grad(m, n->out)),
                                        .x = md_vec(md_buf(m, n->in[0])),
                                        .w = md_weight_vec(m, k->w, n->weight, n->layer),
                                        .stats = md_vec(md_buf(m, n->aux)),
                                        .dx = md_vec(md_grad(m, n->in[0])),
                                        .dw = md_dweight_vec(m, k->grads, n->weight, n->layer),
                                        .db = md_dweight_vec(m, k->grads, n->bias, n->layer),
                                        .scratch = m->scratch,
                                        .n_rows = md_norm_rows(m, n),
                                        .cols = m->graph.tensors[n->out].cols / n->heads,
                                        .ldx = md_norm_ld(m, n, n->in[0]),
                                        .ldy = md_norm_ld(m, n, n->out),
                                        .lddx = md_norm_ld(m, n, n->in[0]),
                                        .w_offset = m->arch.family->norm_offset,
                                        .add = stream});
}

// The gradient of a linear's output as a matmul operand: the stream's is rounded to the storage
// type first.
static enum rt_err operand(struct walk *k, const struct md_node *n, struct op_mat *out)
{
    enum rt_err err = RT_OK;
    struct md_model *m = k->m;
    struct rt_buf *dy = md_grad(m, n->out);

    if (m->graph.tensors[n->out].kind == MD_STREAM && m->dy) {
        if (!k->dy_fresh)
            RT_TRY(op_cast(
                k->cmd,
                &(struct op_cast_args){
                    .x = dy, .y = m->dy, .n = (uint64_t) md_rows(m, n->out) * md_ld(m, n->out)}));
        k->dy_fresh = true;
        dy = m->dy;
    }
    *out = (struct op_mat){dy, 0, md_ld(m, n->out)};
done:
    return err;
}

static enum rt_err linear(struct walk *k, const struct md_node *n)
{
    enum rt_err err = RT_OK;
    struct md_model *m = k->m;
    struct op_mat dy;

    RT_TRY(operand(k, n, &dy));
    RT_TRY(md_linear_backward(m, k->cmd, k->w, n, dy, k->grads));
done:
    return err;
}

static enum rt_err rope(struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const uint32_t cols = m->graph.tensors[n->out].cols, ld = md_ld(m, n->out);
    const struct md_rope_table *table = md_rope_of(m, n);
    return op_rope(k->cmd, &(struct op_rope_args){.x = md_vec(md_grad(m, n->out)),
                                                  .cos_table = table->cos,
                                                  .sin_table = table->sin,
                                                  .pos = m->pos,
                                                  .y = md_vec(md_grad(m, n->in[0])),
                                                  .n_rows = m->now.n_tokens,
                                                  .n_heads = cols / m->arch.head_dim,
                                                  .head_dim = m->arch.head_dim,
                                                  .rot_dim = m->arch.rot_dim,
                                                  .n_pos = m->max_positions,
                                                  .ldx = ld,
                                                  .ldy = ld,
                                                  .inverse = true,
                                                  .pairs = m->arch.family->rope_pairs});
}

static enum rt_err attention(struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    struct op_attention_args a = md_attention_args(m, n, NULL);
    a.d_o = (struct op_attention_view){md_grad(m, n->out), 0, a.o.ld};
    a.delta = (struct op_attention_view){m->delta, 0, 0};
    a.dq = (struct op_attention_view){md_grad(m, n->in[0]), 0, a.q.ld};
    a.dk = (struct op_attention_view){md_grad(m, n->in[1]), 0, a.k.ld};
    a.dv = (struct op_attention_view){md_grad(m, n->in[2]), 0, a.v.ld};
    return op_attention_backward(k->cmd, &a);
}

static enum rt_err act(struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const bool gated = n->in[1] != MD_NONE;
    const struct op_vec none = {0};
    return op_act_backward(
        k->cmd, &(struct op_act_backward_args){.g = md_vec(md_buf(m, n->in[0])),
                                               .u = gated ? md_vec(md_buf(m, n->in[1])) : none,
                                               .da = md_vec(md_grad(m, n->out)),
                                               .dg = md_vec(md_grad(m, n->in[0])),
                                               .du = gated ? md_vec(md_grad(m, n->in[1])) : none,
                                               .n_rows = m->now.n_tokens,
                                               .cols = m->graph.tensors[n->out].cols,
                                               .ld = md_ld(m, n->out),
                                               .act = m->arch.act});
}

static enum rt_err round_stream(struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    k->dy_fresh = false;
    return op_axpy(k->cmd,
                   &(struct op_axpy_args){.x = md_vec(md_grad(m, n->out)),
                                          .y = md_vec(md_grad(m, n->in[0])),
                                          .n = (uint64_t) md_rows(m, n->out) * md_ld(m, n->out),
                                          .alpha = 1.0f});
}

static enum rt_err add(struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    return op_cast(k->cmd,
                   &(struct op_cast_args){.x = md_grad(m, n->out),
                                          .y = md_grad(m, n->in[0]),
                                          .n = (uint64_t) md_rows(m, n->out) * md_ld(m, n->out),
                                          .scale = m->arch.residual_scale});
}

static enum rt_err rows(struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const uint32_t ld = md_ld(m, n->out);
    return op_rows_scatter_add(k->cmd,
                               &(struct op_rows_scatter_args){.dy = md_vec(md_grad(m, n->out)),
                                                              .index = m->rows_index,
                                                              .dx = md_vec(md_grad(m, n->in[0])),
                                                              .n_table = m->now.n_tokens,
                                                              .n_rows = m->now.n_rows,
                                                              .n_unique = m->n_row_ids,
                                                              .cols = m->graph.tensors[n->out].cols,
                                                              .ldx = ld,
                                                              .ldy = ld,
                                                              .scale = 1.0f});
}

static enum rt_err head(struct walk *k, const struct rt_buf *dlogp)
{
    enum rt_err err = RT_OK;
    struct md_model *m = k->m;
    const struct md_param *p = md_params_get(&m->params, MD_HEAD, 0);
    const uint32_t ld = md_ld(m, m->graph.last);

    RT_TRY(op_segment_spread(k->cmd, &(struct op_segment_spread_args){.dy = dlogp,
                                                                      .starts = m->seq_starts,
                                                                      .dx = m->row_coef,
                                                                      .n_rows = m->now.n_rows,
                                                                      .n_segs = m->now.n_seqs,
                                                                      .scale = 1.0f}));
    if (m->swept) {
        RT_TRY(op_logprob_scale(k->cmd, md_last_grad(m), m->row_coef, m->now.n_rows, p->cols));
        goto done;
    }
    RT_TRY(rt_cmd_zero(k->cmd, md_grad(m, m->graph.last), 0, (uint64_t) m->now.n_rows * ld));
    RT_TRY(op_logprob_backward(
        k->cmd, &(struct op_logprob_backward_args){.h = {md_buf(m, m->graph.last), 0, ld},
                                                   .w = md_weight_mat(m, k->w, MD_HEAD, 0),
                                                   .targets = m->targets,
                                                   .result = m->scored,
                                                   .coef = m->row_coef,
                                                   .dh = md_last_grad(m),
                                                   .dw = md_dweight(m, k->grads, MD_HEAD, 0),
                                                   .n_rows = m->now.n_rows,
                                                   .cols = p->cols,
                                                   .n_vocab = p->rows,
                                                   .logit_scale = m->arch.logit_scale,
                                                   .softcap = m->arch.logit_softcap,
                                                   .chunks = m->chunks,
                                                   .scratch = m->head,
                                                   .kept = m->kept}));
done:
    return err;
}

static enum rt_err route(struct walk *k, const struct md_node *n)
{
    return md_route_backward(k->m, k->cmd, n);
}

static enum rt_err expert(struct walk *k, const struct md_node *n)
{
    return md_expert_backward(k->m, k->cmd, k->w, n, k->grads);
}

static enum rt_err expert_act(struct walk *k, const struct md_node *n)
{
    return md_expert_act_backward(k->m, k->cmd, n);
}

static enum rt_err expert_down(struct walk *k, const struct md_node *n)
{
    enum rt_err err = RT_OK;
    struct op_mat dy;

    RT_TRY(operand(k, n, &dy));
    RT_TRY(md_expert_down_backward(k->m, k->cmd, k->w, n, dy, k->grads));
done:
    return err;
}

enum rt_err md_backward(struct md_model *m, struct rt_cmd *cmd, const struct rt_buf *dlogp,
                        struct md_flat *grads)
{
    static enum rt_err (*const BACKWARD[])(struct walk *, const struct md_node *) = {
        [MD_OP_EMBED] = embed,
        [MD_OP_NORM] = norm,
        [MD_OP_LINEAR] = linear,
        [MD_OP_ROPE] = rope,
        [MD_OP_ATTENTION] = attention,
        [MD_OP_ACT] = act,
        [MD_OP_ROWS] = rows,
        [MD_OP_ROUND] = round_stream,
        [MD_OP_ADD] = add,
        [MD_OP_ROUTE] = route,
        [MD_OP_EXPERT] = expert,
        [MD_OP_EXPERT_ACT] = expert_act,
        [MD_OP_EXPERT_DOWN] = expert_down,
    };
    enum rt_err err = RT_OK;
    struct walk k = {m, cmd, md_policy(m), grads, false};
    const int scored = m->graph.nodes[m->graph.n_nodes - 1].in[0]; // the final norm's input

    RT_REQUIRE(m->graph.stream_grad != MD_NONE, RT_E_ARG);
    if (m->now.n_rows == 0 && !(fabs(m->balance_factor) > 0.0))
        goto done;
    if (m->now.n_rows > 0) {
        RT_TRY(head(&k, dlogp));
        RT_TRY(
            rt_cmd_zero(cmd, md_grad(m, scored), 0, (uint64_t) m->now.n_rows * md_ld(m, scored)));
    }
    RT_TRY(rt_cmd_zero(cmd, m->slots[m->graph.stream_grad], 0,
                       (uint64_t) m->now.n_tokens * md_ld(m, 0)));
    for (int i = m->graph.n_nodes - 1; i >= 0; i--) {
        const struct md_node *n = &m->graph.nodes[i];
        for (int j = n->again; j != MD_NONE && j <= i; j++)
            if (m->graph.nodes[j].dropped)
                RT_TRY(md_forward_node(m, cmd, k.w, &m->graph.nodes[j]));
        if (n->back && md_rows(m, n->out) > 0)
            RT_TRY(BACKWARD[n->op](&k, n));
    }
done:
    return err;
}
