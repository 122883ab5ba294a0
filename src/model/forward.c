// The forward: one case a node.
#include "src/model/internal.h"

#include "src/op/act.h"
#include "src/op/add.h"
#include "src/op/cast.h"
#include "src/op/embed.h"
#include "src/op/norm.h"
#include "src/op/rope.h"
#include "src/op/rows.h"
#include "src/op/segment.h"

struct walk {
    struct md_model *m;
    struct rt_cmd *cmd;
    struct md_weights w;
    struct md_cache *cache;
    bool balance; // experts' load is counted
};

enum rt_err md_onto(const struct md_model *m, struct rt_cmd *cmd, int stream, int out)
{
    if (stream == MD_NONE || m->graph.tensors[stream].slot == m->graph.tensors[out].slot)
        return RT_OK;
    return rt_cmd_copy(cmd, md_buf(m, stream), 0, md_buf(m, out), 0,
                       (uint64_t) md_rows(m, out) * md_ld(m, out));
}

static enum rt_err embed(const struct walk *k, const struct md_node *n)
{
    enum rt_err err = RT_OK;
    const struct md_model *m = k->m;
    const struct md_param *p = md_weight_of(m, n);
    const bool positions = n->weight == MD_POSITIONS;

    RT_TRY(md_onto(m, k->cmd, n->in[0], n->out));
    RT_TRY(op_embed(k->cmd, &(struct op_embed_args){.w = md_weight_vec(m, k->w, n->weight, 0),
                                                    .ids = positions ? m->pos : m->ids,
                                                    .x = md_vec(md_buf(m, n->out)),
                                                    .n_vocab = p->rows,
                                                    .n_tokens = m->now.n_tokens,
                                                    .cols = p->cols,
                                                    .ldw = p->ld,
                                                    .ldx = md_ld(m, n->out),
                                                    .scale = positions ? 1.0f : m->arch.embed_scale,
                                                    .add = positions}));
done:
    return err;
}

static enum rt_err norm(const struct walk *k, const struct md_node *n)
{
    enum rt_err err = RT_OK;
    const struct md_model *m = k->m;

    RT_TRY(md_onto(m, k->cmd, n->in[1], n->out));
    RT_TRY(op_norm(k->cmd, &(struct op_norm_args){.kind = md_norm_kind(m),
                                                  .x = md_vec(md_buf(m, n->in[0])),
                                                  .w = md_weight_vec(m, k->w, n->weight, n->layer),
                                                  .b = md_weight_vec(m, k->w, n->bias, n->layer),
                                                  .y = md_vec(md_buf(m, n->out)),
                                                  .stats = md_vec(md_buf(m, n->aux)),
                                                  .n_rows = md_norm_rows(m, n),
                                                  .cols = m->graph.tensors[n->out].cols / n->heads,
                                                  .ldx = md_norm_ld(m, n, n->in[0]),
                                                  .ldy = md_norm_ld(m, n, n->out),
                                                  .eps = m->arch.norm_eps,
                                                  .w_offset = m->arch.family->norm_offset,
                                                  .add = n->in[1] != MD_NONE}));
done:
    return err;
}

static enum rt_err linear(const struct walk *k, const struct md_node *n)
{
    return md_linear(k->m, k->cmd, k->w, n);
}

static enum rt_err rope(const struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const uint32_t cols = m->graph.tensors[n->out].cols, ld = md_ld(m, n->out);
    const struct md_rope_table *table = md_rope_of(m, n);
    return op_rope(k->cmd, &(struct op_rope_args){.x = md_vec(md_buf(m, n->in[0])),
                                                  .cos_table = table->cos,
                                                  .sin_table = table->sin,
                                                  .pos = m->pos,
                                                  .y = md_vec(md_buf(m, n->out)),
                                                  .n_rows = m->now.n_tokens,
                                                  .n_heads = cols / m->arch.head_dim,
                                                  .head_dim = m->arch.head_dim,
                                                  .rot_dim = m->arch.rot_dim,
                                                  .n_pos = m->max_positions,
                                                  .ldx = ld,
                                                  .ldy = ld,
                                                  .pairs = m->arch.family->rope_pairs});
}

struct op_attention_args md_attention_args(const struct md_model *m, const struct md_node *n,
                                           const struct md_cache *c)
{
    const uint32_t ldq = md_ld(m, n->in[0]), ldk = md_ld(m, n->in[1]);
    struct op_attention_args a = {
        .q = {md_buf(m, n->in[0]), 0, ldq},
        .k = {md_buf(m, n->in[1]), 0, ldk},
        .v = {md_buf(m, n->in[2]), 0, ldk},
        .o = {md_buf(m, n->out), 0, ldq},
        .lse = {md_buf(m, n->aux), 0, 0},
        .index = m->attn_index,
        .info = &m->attn,
        .scratch = {m->scratch, 0, 0},
        .n_tokens = m->now.n_tokens,
        .n_keys = m->now.n_tokens,
        .n_heads = m->arch.heads,
        .n_kv_heads = m->arch.kv_heads,
        .head_dim = m->arch.head_dim,
        .scale = m->arch.attn_scale,
        .softcap = m->arch.attn_softcap,
        // Where no pass is as long as the window, there is none.
        .window = m->arch.layer[n->layer] & MD_LAYER_WINDOW && m->max_positions > m->arch.window
                      ? m->arch.window
                      : 0,
    };
    if (c) {
        a.k.buf = c->k[n->layer];
        a.v.buf = c->v[n->layer];
        a.n_keys = c->n + m->now.n_tokens;
    }
    return a;
}

static enum rt_err attention(const struct walk *k, const struct md_node *n)
{
    enum rt_err err = RT_OK;
    struct md_model *m = k->m;
    const struct md_cache *c = k->cache;
    const struct op_attention_args a = md_attention_args(m, n, c);

    if (c) {
        const uint64_t ld = md_ld(m, n->in[1]), at = c->n * ld, count = m->now.n_tokens * ld;
        RT_TRY(rt_cmd_copy(k->cmd, md_buf(m, n->in[1]), 0, c->k[n->layer], at, count));
        RT_TRY(rt_cmd_copy(k->cmd, md_buf(m, n->in[2]), 0, c->v[n->layer], at, count));
    }
    err = op_attention(k->cmd, &a);
done:
    return err;
}

static enum rt_err act(const struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const struct op_vec none = {0};
    return op_act(
        k->cmd, &(struct op_act_args){.g = md_vec(md_buf(m, n->in[0])),
                                      .u = n->in[1] == MD_NONE ? none : md_vec(md_buf(m, n->in[1])),
                                      .a = md_vec(md_buf(m, n->out)),
                                      .n_rows = m->now.n_tokens,
                                      .cols = m->graph.tensors[n->out].cols,
                                      .ld = md_ld(m, n->out),
                                      .act = m->arch.act});
}

// A whole tensor, its padding included.
static uint64_t count(const struct md_model *m, int t)
{
    return (uint64_t) md_rows(m, t) * md_ld(m, t);
}

static enum rt_err round_stream(const struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const uint64_t all = count(m, n->out);
    struct rt_buf *x = md_buf(m, n->in[0]), *y = md_buf(m, n->out);
    if (rt_buf_type(x) == rt_buf_type(y))
        return rt_cmd_copy(k->cmd, x, 0, y, 0, all);
    return op_cast(k->cmd, &(struct op_cast_args){.x = x, .y = y, .n = all});
}

static enum rt_err add(const struct walk *k, const struct md_node *n)
{
    enum rt_err err = RT_OK;
    const struct md_model *m = k->m;
    RT_TRY(md_onto(m, k->cmd, n->in[1], n->out));
    RT_TRY(op_axpy(k->cmd, &(struct op_axpy_args){.x = md_vec(md_buf(m, n->in[0])),
                                                  .y = md_vec(md_buf(m, n->out)),
                                                  .n = count(m, n->out),
                                                  .alpha = m->arch.residual_scale}));
done:
    return err;
}

static enum rt_err rows(const struct walk *k, const struct md_node *n)
{
    const struct md_model *m = k->m;
    const uint32_t ld = md_ld(m, n->out);
    return op_rows_gather(k->cmd,
                          &(struct op_rows_gather_args){.x = md_vec(md_buf(m, n->in[0])),
                                                        .ids = m->rows,
                                                        .y = md_vec(md_buf(m, n->out)),
                                                        .n_table = m->now.n_tokens,
                                                        .n_rows = m->now.n_rows,
                                                        .cols = m->graph.tensors[n->out].cols,
                                                        .ldx = ld,
                                                        .ldy = ld,
                                                        .scale = 1.0f});
}

static enum rt_err route(const struct walk *k, const struct md_node *n)
{
    return md_route(k->m, k->cmd, n, k->balance);
}

static enum rt_err expert(const struct walk *k, const struct md_node *n)
{
    return md_expert(k->m, k->cmd, k->w, n);
}

static enum rt_err expert_act(const struct walk *k, const struct md_node *n)
{
    return md_expert_act(k->m, k->cmd, n);
}

static enum rt_err expert_down(const struct walk *k, const struct md_node *n)
{
    return md_expert_down(k->m, k->cmd, k->w, n);
}

static enum rt_err run_node(const struct walk *k, const struct md_node *n)
{
    static enum rt_err (*const FORWARD[])(const struct walk *, const struct md_node *) = {
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
    return md_rows(k->m, n->out) > 0 ? FORWARD[n->op](k, n) : RT_OK;
}

enum rt_err md_forward_node(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                            const struct md_node *n)
{
    const struct walk k = {m, cmd, w, NULL, false};
    return run_node(&k, n);
}

enum rt_err md_forward(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                       struct md_cache *cache)
{
    enum rt_err err = RT_OK;
    const struct walk k = {m, cmd, w, cache, m->balance};

    RT_REQUIRE(m->now.n_tokens >= 1, RT_E_ARG);
    RT_REQUIRE(!cache || m->now.n_tokens <= cache->capacity - cache->n, RT_E_ARG);
    for (int i = 0; i < m->graph.n_nodes; i++)
        RT_TRY(run_node(&k, &m->graph.nodes[i]));
    if (cache)
        cache->n += m->now.n_tokens;
done:
    return err;
}

enum rt_err md_score(struct md_model *m, struct rt_cmd *cmd, struct md_weights w)
{
    enum rt_err err = RT_OK;
    const struct md_param *head = md_params_get(&m->params, MD_HEAD, 0);
    const struct op_mat_out none = {0};

    m->swept = m->prepare && md_head_frozen(m);
    m->kept = m->prepare && m->may_keep;
    if (m->now.n_rows == 0)
        goto done;
    RT_TRY(op_logprob(
        cmd, &(struct op_logprob_args){.h = {md_buf(m, m->graph.last), 0, md_ld(m, m->graph.last)},
                                       .w = md_weight_mat(m, w, MD_HEAD, 0),
                                       .targets = m->targets,
                                       .result = m->scored,
                                       .n_rows = m->now.n_rows,
                                       .cols = head->cols,
                                       .n_vocab = head->rows,
                                       .logit_scale = m->arch.logit_scale,
                                       .softcap = m->arch.logit_softcap,
                                       .squares = m->squares,
                                       .keep = m->kept,
                                       .dh = m->swept ? md_last_grad(m) : none,
                                       .chunks = m->chunks,
                                       .scratch = m->head}));
    RT_TRY(op_segment_sum(cmd, &(struct op_segment_sum_args){.x = m->scored,
                                                             .starts = m->seq_starts,
                                                             .y = m->seq_logp,
                                                             .n_rows = m->now.n_rows,
                                                             .n_segs = m->now.n_seqs,
                                                             .ld = OP_LOGPROB_COLUMNS,
                                                             .column = OP_LOGPROB_LOGP}));
done:
    return err;
}

enum rt_err md_logits(struct md_model *m, struct md_weights w, uint32_t row, float *out)
{
    enum rt_err err = RT_OK;
    const struct md_param *head = md_params_get(&m->params, MD_HEAD, 0);
    const uint32_t ld = md_ld(m, m->graph.last), step = m->chunks.vocab;
    struct rt_cmd *cmd = NULL;

    RT_REQUIRE(row < m->now.n_rows, RT_E_ARG);
    for (uint32_t v = 0; v < head->rows; v += step) {
        const uint32_t n = head->rows - v < step ? head->rows - v : step;
        struct op_mat b = md_weight_mat(m, w, MD_HEAD, 0);
        b.first += (uint64_t) v * b.ld;
        RT_TRY(rt_cmd_create(m->dev, &cmd));
        RT_TRY(op_matmul(
            cmd, &(struct op_matmul_args){.form = OP_NT,
                                          .m = 1,
                                          .n = n,
                                          .k = head->cols,
                                          .a = {md_buf(m, m->graph.last), (uint64_t) row * ld, ld},
                                          .b = b,
                                          .c = {m->head.logits, 0, op_stride(n)},
                                          .scratch = m->scratch}));
        RT_TRY(op_logprob_cap(cmd, m->head.logits, 1, op_stride(n), n, m->arch.logit_scale,
                              m->arch.logit_softcap));
        RT_TRY(rt_cmd_wait(&cmd));
        RT_TRY(rt_buf_read(m->head.logits, 0, n, RT_F32, out + v));
    }
done:
    rt_cmd_destroy(&cmd);
    return err;
}
