// DoRA on top of an adapted linear: y = factor * (W x + scale * B A x) + bias, factor = magnitude /
// |row of W + scale * B A|. Nothing of it is kept for the backward: norms and products are made
// again.
#include "src/model/internal.h"

#include "src/base/arith.h"
#include "src/op/colsum.h"
#include "src/op/dora.h"

static const struct md_param *part(const struct md_model *m, int at)
{
    return &m->adapter.params.all[at];
}

static struct op_vec vec_of(const struct md_flat *flat, const struct md_param *p)
{
    return (struct op_vec){flat->chunk[p->chunk], p->first};
}

enum rt_err md_dora_check(const struct md_model *m)
{
    enum rt_err err = RT_OK;

    if (m->adapter_dx)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "use_dora with lora_dropout and disable_dropout false is "
                                         "not supported"));
    for (int i = 0; i < m->graph.n_nodes; i++) {
        const struct md_node *n = &m->graph.nodes[i];
        if (n->adapted && m->graph.tensors[n->out].cols != md_weight_of(m, n)->rows)
            RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                           "use_dora: %s is the weight of several linears in one: not supported",
                           md_weight_of(m, n)->name));
    }
done:
    return err;
}

// Norms and factors of one weight in slices of rows. Until magnitudes are known, `magnitude` is
// anything.
static enum rt_err norms(struct md_model *m, struct rt_cmd *cmd, struct op_mat w,
                         const struct md_flat *adapter, struct md_adapted at,
                         struct op_vec magnitude)
{
    enum rt_err err = RT_OK;
    const struct md_param *a = part(m, at.a), *b = part(m, at.b);
    const uint32_t ldd = op_stride(a->cols);

    for (uint32_t row = 0; row < b->rows; row += MD_DORA_ROWS) {
        const uint32_t k = u32_min(MD_DORA_ROWS, b->rows - row);
        struct op_mat left = md_mat(adapter, b);
        left.first += (uint64_t) row * left.ld;
        RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = OP_NN,
                                                       .m = k,
                                                       .n = a->cols,
                                                       .k = m->adapter.rank,
                                                       .a = left,
                                                       .b = md_mat(adapter, a),
                                                       .c = {m->dora_d, 0, ldd},
                                                       .scratch = m->scratch}));
        RT_TRY(op_dora_norm(
            cmd, &(struct op_dora_norm_args){.w = {w.buf, w.first + (uint64_t) row * w.ld},
                                             .d = {m->dora_d, 0},
                                             .magnitude = {magnitude.buf, magnitude.first + row},
                                             .factor = {m->dora_factor, row},
                                             .norm = {m->dora_norm, row},
                                             .n_rows = k,
                                             .cols = a->cols,
                                             .ldw = w.ld,
                                             .ldd = ldd,
                                             .scale = m->adapter.scale}));
    }
done:
    return err;
}

enum rt_err md_dora_init(struct md_model *m)
{
    enum rt_err err = RT_OK;
    const struct md_flat *to = &m->adapter_work;
    struct rt_cmd *cmd = NULL;

    RT_TRY(rt_cmd_create(m->dev, &cmd));
    for (int i = 0; i < m->graph.n_nodes; i++) {
        const struct md_node *n = &m->graph.nodes[i];
        if (!n->adapted)
            continue;
        const struct md_adapted at = md_adapter_of(&m->adapter, n->weight, n->layer);
        const struct md_param *p = part(m, at.magnitude);
        // B is zero, as it is in every new adapter.
        RT_TRY(norms(m, cmd, md_mat(&m->work, md_weight_of(m, n)), to, at, vec_of(to, p)));
        RT_TRY(rt_cmd_copy(cmd, m->dora_norm, 0, to->chunk[p->chunk], p->first, p->cols));
    }
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

enum rt_err md_dora_norms(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                          const struct md_node *n)
{
    const struct md_adapted at = md_adapter_of(&m->adapter, n->weight, n->layer);
    return norms(m, cmd, md_weight_mat(m, w, n->weight, n->layer), w.adapter, at,
                 vec_of(w.adapter, part(m, at.magnitude)));
}

enum rt_err md_dora_scale(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n,
                          struct op_vec bias)
{
    return op_dora_scale(cmd, &(struct op_dora_scale_args){.z = md_vec(m->adapter_sum),
                                                           .factor = md_vec(m->dora_factor),
                                                           .b = bias,
                                                           .y = md_vec(md_buf(m, n->out)),
                                                           .n_rows = md_rows(m, n->out),
                                                           .cols = m->graph.tensors[n->out].cols,
                                                           .ldz = md_ld(m, n->out),
                                                           .ldy = md_ld(m, n->out),
                                                           .add = n->in[1] != MD_NONE});
}

enum rt_err md_dora_backward(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n,
                             struct op_mat dy, struct md_flat *grads, struct op_mat *dz)
{
    enum rt_err err = RT_OK;
    const struct md_adapted at = md_adapter_of(&m->adapter, n->weight, n->layer);
    const uint32_t rows = md_rows(m, n->out), cols = m->graph.tensors[n->out].cols;

    *dz = (struct op_mat){m->dora_dz, 0, dy.ld};
    RT_TRY(op_dora_back(cmd, &(struct op_dora_back_args){.dy = {dy.buf, dy.first},
                                                         .factor = md_vec(m->dora_factor),
                                                         .norm = md_vec(m->dora_norm),
                                                         .z = md_vec(m->adapter_sum),
                                                         .dz = md_vec(m->dora_dz),
                                                         .n_rows = rows,
                                                         .cols = cols,
                                                         .ldy = dy.ld,
                                                         .ldz = md_ld(m, n->out)}));
    RT_TRY(op_colsum(cmd, &(struct op_colsum_args){.x = md_vec(m->adapter_sum),
                                                   .y = vec_of(grads, part(m, at.magnitude)),
                                                   .scratch = m->scratch,
                                                   .n_rows = rows,
                                                   .cols = cols,
                                                   .ld = md_ld(m, n->out)}));
done:
    return err;
}
