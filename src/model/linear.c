// Linear nodes, with and without an adapter. A 16-bit result of two products is summed in f32 and
// rounded once, so that an adapter whose B is zero changes no bit.
#include "src/model/internal.h"

#include <string.h>

#include "src/base/rng.h"
#include "src/op/cast.h"
#include "src/op/colsum.h"
#include "src/op/dropout.h"

// The adapter's tensors of a node.
struct lora {
    const struct md_param *a, *b;
    uint32_t ldt; // stride of scale * A x
};

// The node's rows of a matrix that is its weight, or has as many rows.
static struct op_mat rows_of(const struct md_node *n, struct op_mat x)
{
    x.first += (uint64_t) n->row * x.ld;
    return x;
}

static struct op_mat_out out_rows_of(const struct md_node *n, struct op_mat_out x)
{
    x.first += (uint64_t) n->row * x.ld;
    return x;
}

static struct lora lora_of(const struct md_model *m, const struct md_node *n)
{
    const struct md_adapted at = md_adapter_of(&m->adapter, n->weight, n->layer);
    const struct md_param *all = m->adapter.params.all;
    return (struct lora){&all[at.a], &all[at.b], op_stride(m->adapter.rank)};
}

// Round (rows, ld) of the f32 sum to y, times scale (0 = 1).
static enum rt_err round_sum(const struct md_model *m, struct rt_cmd *cmd, uint32_t rows,
                             uint32_t ld, float scale, struct rt_buf *y)
{
    return op_cast(cmd,
                   &(struct op_cast_args){
                       .x = m->adapter_sum, .y = y, .n = (uint64_t) rows * ld, .scale = scale});
}

// y = dropout of x (+ y), with the adapter's mask.
static enum rt_err drop(const struct md_model *m, struct rt_cmd *cmd, const struct md_node *n,
                        const struct rt_buf *x, struct rt_buf *y, bool add)
{
    // By the adapter, which linears that are rows of one weight share.
    const int adapter = md_adapter_of(&m->adapter, n->weight, n->layer).a;
    return op_dropout(
        cmd, &(struct op_dropout_args){.x = x,
                                       .y = y,
                                       .n = (uint64_t) md_rows(m, n->out) * md_ld(m, n->in[0]),
                                       .p = m->drop.p,
                                       .key = rng_mix(m->drop.key, (uint64_t) adapter),
                                       .add = add});
}

// The adapter's input: the linear's, with dropout where that is on.
static enum rt_err adapter_input(struct md_model *m, struct rt_cmd *cmd, const struct md_node *n,
                                 struct op_mat *out)
{
    enum rt_err err = RT_OK;

    *out = (struct op_mat){md_buf(m, n->in[0]), 0, md_ld(m, n->in[0])};
    if (m->drop.p > 0.0) {
        RT_TRY(drop(m, cmd, n, out->buf, m->adapter_x, false));
        out->buf = m->adapter_x;
    }
done:
    return err;
}

// t = scale * A x, (rows, rank).
static enum rt_err down(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                        const struct md_node *n, const struct lora *l)
{
    enum rt_err err = RT_OK;
    const uint32_t rows = md_rows(m, n->out);
    struct op_mat x;

    RT_TRY(adapter_input(m, cmd, n, &x));
    RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = OP_NT,
                                                   .m = rows,
                                                   .n = m->adapter.rank,
                                                   .k = l->a->cols,
                                                   .a = x,
                                                   .b = md_mat(w.adapter, l->a),
                                                   .c = {m->adapter_sum, 0, l->ldt},
                                                   .scratch = m->scratch}));
    RT_TRY(round_sum(m, cmd, rows, l->ldt, m->adapter.scale, md_buf(m, n->aux)));
done:
    return err;
}

// c += B t.
static enum rt_err up(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                      const struct md_node *n, const struct lora *l, struct op_mat_out c)
{
    return op_matmul(cmd, &(struct op_matmul_args){.form = OP_NT,
                                                   .m = md_rows(m, n->out),
                                                   .n = m->graph.tensors[n->out].cols,
                                                   .k = m->adapter.rank,
                                                   .a = {md_buf(m, n->aux), 0, l->ldt},
                                                   .b = rows_of(n, md_mat(w.adapter, l->b)),
                                                   .c = c,
                                                   .accumulate = true,
                                                   .scratch = m->scratch});
}

// The host sums in f64: there one rounding to the storage type and two, through f32, may differ, so
// that a switched-off adapter must take the same way as one that is on.
static bool sums_wider(const struct md_model *m)
{
    return strcmp(rt_dev_plan(m->dev)->caps.api, "host") == 0;
}

// c = W x (+ bias) (+ c), of the weight alone.
static enum rt_err plain(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                         const struct md_node *n, struct op_vec bias, struct op_mat_out c,
                         bool accumulate)
{
    const struct op_matmul_args a = {.form = OP_NT,
                                     .m = md_rows(m, n->out),
                                     .n = m->graph.tensors[n->out].cols,
                                     .k = md_weight_of(m, n)->cols,
                                     .a = {md_buf(m, n->in[0]), 0, md_ld(m, n->in[0])},
                                     .b = rows_of(n, md_weight_mat(m, w, n->weight, n->layer)),
                                     .c = c,
                                     .bias = bias.buf,
                                     .bias_first = bias.first + n->row,
                                     .accumulate = accumulate,
                                     .scratch = m->scratch};
    return op_matmul(cmd, &a);
}

// With DoRA the sum goes through f32 in any case.
static enum rt_err dora(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                        const struct md_node *n, struct op_vec bias)
{
    enum rt_err err = RT_OK;
    const struct lora l = lora_of(m, n);
    const struct op_mat_out z = {m->adapter_sum, 0, md_ld(m, n->out)};

    RT_TRY(md_dora_norms(m, cmd, w, n));
    RT_TRY(down(m, cmd, w, n, &l));
    RT_TRY(plain(m, cmd, w, n, (struct op_vec){0}, z, false));
    RT_TRY(up(m, cmd, w, n, &l, z));
    RT_TRY(md_dora_scale(m, cmd, n, bias));
done:
    return err;
}

enum rt_err md_linear(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                      const struct md_node *n)
{
    enum rt_err err = RT_OK;
    const bool onto = n->in[1] != MD_NONE, adapted = n->adapted && w.adapter;
    const uint32_t rows = md_rows(m, n->out), ld = md_ld(m, n->out);
    const struct op_vec bias = md_weight_vec(m, w, n->bias, n->layer);
    struct rt_buf *out = md_buf(m, n->out);
    const bool sums = adapted || (n->adapted && sums_wider(m));
    const bool narrow = sums && rt_buf_type(out) != RT_F32;
    const struct op_mat_out y = {narrow ? m->adapter_sum : out, 0, ld};
    struct lora l = {0};

    RT_TRY(md_onto(m, cmd, n->in[1], n->out));
    if (adapted && m->adapter.peft.use_dora)
        return dora(m, cmd, w, n, bias);
    if (adapted) {
        l = lora_of(m, n);
        RT_TRY(down(m, cmd, w, n, &l));
    }
    RT_TRY(plain(m, cmd, w, n, bias, y, onto));
    if (adapted)
        RT_TRY(up(m, cmd, w, n, &l, y));
    if (narrow)
        RT_TRY(round_sum(m, cmd, rows, ld, 1.0f, out));
done:
    return err;
}

// The products once more, then the gradient of the magnitude and that of the products.
static enum rt_err dora_backward(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                 const struct md_node *n, struct op_mat dy, struct md_flat *grads,
                                 struct op_mat *dz)
{
    enum rt_err err = RT_OK;
    const struct lora l = lora_of(m, n);
    const struct op_mat_out z = {m->adapter_sum, 0, md_ld(m, n->out)};

    RT_TRY(md_dora_norms(m, cmd, w, n));
    RT_TRY(plain(m, cmd, w, n, (struct op_vec){0}, z, false));
    RT_TRY(up(m, cmd, w, n, &l, z));
    RT_TRY(md_dora_backward(m, cmd, n, dy, grads, dz));
done:
    return err;
}

// dt = scale * dy B;  dB += dy^T t;  dA += dt^T x.
static enum rt_err lora_backward(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                 const struct md_node *n, const struct lora *l, struct op_mat dy,
                                 struct md_flat *grads)
{
    enum rt_err err = RT_OK;
    const uint32_t rows = md_rows(m, n->out), r = m->adapter.rank;
    struct op_mat x;

    RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = OP_NN,
                                                   .m = rows,
                                                   .n = r,
                                                   .k = m->graph.tensors[n->out].cols,
                                                   .a = dy,
                                                   .b = rows_of(n, md_mat(w.adapter, l->b)),
                                                   .c = {m->adapter_sum, 0, l->ldt},
                                                   .scratch = m->scratch}));
    RT_TRY(round_sum(m, cmd, rows, l->ldt, m->adapter.scale, m->adapter_dt));
    RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = OP_TN,
                                                   .m = m->graph.tensors[n->out].cols,
                                                   .n = r,
                                                   .k = rows,
                                                   .a = dy,
                                                   .b = {md_buf(m, n->aux), 0, l->ldt},
                                                   .c = out_rows_of(n, md_mat_out(grads, l->b)),
                                                   .accumulate = true,
                                                   .scratch = m->scratch}));
    RT_TRY(adapter_input(m, cmd, n, &x));
    RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = OP_TN,
                                                   .m = r,
                                                   .n = l->a->cols,
                                                   .k = rows,
                                                   .a = {m->adapter_dt, 0, l->ldt},
                                                   .b = x,
                                                   .c = md_mat_out(grads, l->a),
                                                   .accumulate = true,
                                                   .scratch = m->scratch}));
done:
    return err;
}

// dx = dy W + dt A, the second through the dropout.
static enum rt_err input_gradient(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                  const struct md_node *n, const struct lora *l, struct op_mat dy)
{
    enum rt_err err = RT_OK;
    const struct md_param *p = md_weight_of(m, n);
    const uint32_t rows = md_rows(m, n->out), ld = md_ld(m, n->in[0]);
    struct rt_buf *out = md_grad(m, n->in[0]);
    const bool narrow = n->adapted && rt_buf_type(out) != RT_F32;
    struct op_matmul_args a = {.form = OP_NN,
                               .m = rows,
                               .n = p->cols,
                               .k = m->graph.tensors[n->out].cols,
                               .a = dy,
                               .b = rows_of(n, md_weight_mat(m, w, n->weight, n->layer)),
                               .c = {narrow ? m->adapter_sum : out, 0, ld},
                               .accumulate = n->sums,
                               .scratch = m->scratch};

    RT_TRY(op_matmul(cmd, &a));
    if (!n->adapted)
        goto done;
    a.k = m->adapter.rank;
    a.a = (struct op_mat){m->adapter_dt, 0, l->ldt};
    a.b = md_mat(w.adapter, l->a);
    a.accumulate = m->drop.p <= 0.0;
    struct rt_buf *const to = a.c.buf;
    if (!a.accumulate)
        a.c.buf = m->adapter_dx;
    RT_TRY(op_matmul(cmd, &a));
    if (!a.accumulate)
        RT_TRY(drop(m, cmd, n, m->adapter_dx, to, true));
    if (narrow)
        RT_TRY(round_sum(m, cmd, rows, ld, 1.0f, out));
done:
    return err;
}

enum rt_err md_linear_backward(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                               const struct md_node *n, struct op_mat dy, struct md_flat *grads)
{
    enum rt_err err = RT_OK;
    const struct md_param *p = md_weight_of(m, n);
    const int x = n->in[0];
    const struct op_vec db = md_dweight_vec(m, grads, n->bias, n->layer);
    struct lora l = {0};

    if (db.buf)
        RT_TRY(op_colsum(cmd, &(struct op_colsum_args){.x = {dy.buf, dy.first},
                                                       .y = {db.buf, db.first + n->row},
                                                       .scratch = m->scratch,
                                                       .n_rows = md_rows(m, n->out),
                                                       .cols = m->graph.tensors[n->out].cols,
                                                       .ld = dy.ld}));
    if (n->trains)
        RT_TRY(op_matmul(cmd, &(struct op_matmul_args){
                                  .form = OP_TN,
                                  .m = m->graph.tensors[n->out].cols,
                                  .n = p->cols,
                                  .k = md_rows(m, n->out),
                                  .a = dy,
                                  .b = {md_buf(m, x), 0, md_ld(m, x)},
                                  .c = out_rows_of(n, md_dweight(m, grads, n->weight, n->layer)),
                                  .accumulate = true,
                                  .scratch = m->scratch}));
    if (n->adapted) {
        l = lora_of(m, n);
        if (m->adapter.peft.use_dora)
            RT_TRY(dora_backward(m, cmd, w, n, dy, grads, &dy));
        RT_TRY(lora_backward(m, cmd, w, n, &l, dy, grads));
    }
    if (m->graph.tensors[x].moves)
        RT_TRY(input_gradient(m, cmd, w, n, &l, dy));
done:
    return err;
}
