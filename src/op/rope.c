#include "src/op/rope.h"

#include "src/base/arith.h"

const struct rt_kernel op_rope_kernel =
    OP_KERNEL(rope, "rope.comp", ROPE_BUFFERS, struct rope_params, op_rope_ref);

static void rotate_head(const struct rt_host_call *call, uint64_t from, uint64_t to, uint64_t pos)
{
    const struct rope_params *p = call->params;
    const struct rt_host_buf *x = &call->bufs[0], *y = &call->bufs[4];
    const uint64_t half = p->rot_dim / 2;

    for (uint64_t j = 0; j < half; j++) {
        const double c = rt_host_load(&call->bufs[1], pos * half + j);
        const double s = rt_host_load(&call->bufs[2], pos * half + j) * (double) p->sign;
        const uint64_t low = p->pairs ? 2 * j : j, high = p->pairs ? low + 1 : j + half;
        const double a = rt_host_load(x, from + low), b = rt_host_load(x, from + high);
        rt_host_store(y, to + low, a * c - b * s);
        rt_host_store(y, to + high, b * c + a * s);
    }
    for (uint64_t d = p->rot_dim; d < p->head_dim; d++)
        rt_host_store(y, to + d, rt_host_load(x, from + d));
}

void op_rope_ref(const struct rt_host_call *call)
{
    const struct rope_params *p = call->params;
    const uint32_t *pos = call->bufs[3].data;

    for (uint64_t t = 0; t < p->n_rows; t++) {
        for (uint64_t h = 0; h < p->n_heads; h++)
            rotate_head(call, t * p->ldx + h * p->head_dim, t * p->ldy + h * p->head_dim, pos[t]);
        for (uint64_t c = (uint64_t) p->n_heads * p->head_dim; c < p->ldy; c++)
            rt_host_store(&call->bufs[4], t * p->ldy + c, 0.0);
    }
}

static enum rt_err check(const struct op_rope_args *a, uint32_t rot)
{
    enum rt_err err = RT_OK;

    RT_REQUIRE(a->n_rows >= 1 && a->n_rows <= 1u << 30, RT_E_ARG);
    RT_REQUIRE(a->n_heads >= 1 && a->n_heads <= 1u << 16 && a->head_dim >= 2 &&
                   a->head_dim <= 1u << 14,
               RT_E_ARG);
    RT_REQUIRE(rot >= 2 && rot % 2 == 0 && rot <= a->head_dim && a->n_pos >= 1 &&
                   a->n_pos <= 1u << 30,
               RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->n_heads * a->head_dim, a->ldx) &&
                   op_row_ok(a->n_heads * a->head_dim, a->ldy),
               RT_E_ARG);
    RT_REQUIRE(a->head_dim % 2 == 0, RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, (uint64_t) a->n_rows * a->ldx), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->y, (uint64_t) a->n_rows * a->ldy), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->cos_table, RT_F32, (uint64_t) a->n_pos * (rot / 2)), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->sin_table, RT_F32, (uint64_t) a->n_pos * (rot / 2)), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->pos, RT_U32, a->n_rows), RT_E_SHAPE);
done:
    return err;
}

enum rt_err op_rope(struct rt_cmd *cmd, const struct op_rope_args *a)
{
    enum rt_err err = RT_OK;
    const uint32_t rot = a->rot_dim ? a->rot_dim : a->head_dim;
    const uint64_t n_table = (uint64_t) a->n_pos * (rot / 2);
    bool by_head;
    uint32_t step;

    RT_TRY(check(a, rot));
    step = u32_min(op_vec_range_rows(a->x, a->ldx), op_vec_range_rows(a->y, a->ldy));
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    by_head =
        !a->pairs && op_is_cpu(a->y.buf) && rot == a->head_dim && a->ldy == rot * a->n_heads &&
        a->ldy / 2 <= u32_min(rt_dev_plan(rt_buf_dev(a->y.buf))->caps.group_invocations, 1024);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct rope_params p = {
            n, a->n_heads, a->head_dim, rot, a->ldx, a->ldy, a->inverse ? -1.0f : 1.0f, a->pairs};
        RT_TRY(rt_cmd_dispatch(
            cmd,
            &(struct rt_dispatch_desc){
                .kernel = "rope",
                .groups = {by_head ? 2 : op_groups(a->y.buf, a->ldy / 2), n},
                .group = {by_head ? rot / 2 : 0, by_head ? a->n_heads : 0},
                .bufs = {op_bind_rows(a->x, a->ldx, t, n, RT_ACCESS_IN),
                         RT_IN_AT(a->cos_table, 0, n_table), RT_IN_AT(a->sin_table, 0, n_table),
                         RT_IN_AT(a->pos, t, n), op_bind_rows(a->y, a->ldy, t, n, RT_ACCESS_OUT)},
                .params = &p,
                .params_size = sizeof(p),
                .tune = {{"ODD", rot / 2 % 2}, {"PER", by_head ? 1 : 2}, {"PAIRS", a->pairs}}}));
    }
done:
    return err;
}
