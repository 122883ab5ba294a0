#include "src/op/swiglu.h"

#include <math.h>

#include "src/base/arith.h"

const struct rt_kernel op_swiglu_kernel =
    OP_KERNEL(swiglu, "swiglu.comp", SWIGLU_BUFFERS, struct swiglu_params, op_swiglu_ref);
const struct rt_kernel op_swiglu_back_kernel = OP_KERNEL(
    swiglu_back, "swiglu_back.comp", SWIGLU_BACK_BUFFERS, struct swiglu_params, op_swiglu_back_ref);

static double sigmoid(double z)
{
    return 1.0 / (1.0 + exp(-z));
} // exp(-z) = Inf is right here: 1 / Inf = 0

void op_swiglu_ref(const struct rt_host_call *call)
{
    const struct swiglu_params *p = call->params;

    for (uint64_t i = 0; i < (uint64_t) p->n_rows * p->ld; i++) {
        const double z = rt_host_load(&call->bufs[0], i), u = rt_host_load(&call->bufs[1], i);
        rt_host_store(&call->bufs[2], i, i % p->ld < p->cols ? z * sigmoid(z) * u : 0.0);
    }
}

void op_swiglu_back_ref(const struct rt_host_call *call)
{
    const struct swiglu_params *p = call->params;

    for (uint64_t i = 0; i < (uint64_t) p->n_rows * p->ld; i++) {
        const bool in = i % p->ld < p->cols;
        const double z = rt_host_load(&call->bufs[0], i), u = rt_host_load(&call->bufs[1], i);
        const double d = rt_host_load(&call->bufs[2], i), s = sigmoid(z);
        rt_host_store(&call->bufs[3], i, in ? d * u * s * (1.0 + z * (1.0 - s)) : 0.0);
        rt_host_store(&call->bufs[4], i, in ? d * z * s : 0.0);
    }
}

// Rows that can be bound at once in all of the tensors, which have one stride; 0 when one is too
// small or not even 64 rows fit.
static enum rt_err check(const struct op_vec *v, size_t n, uint32_t n_rows, uint32_t cols,
                         uint32_t ld, enum op_act act, uint32_t *step)
{
    enum rt_err err = RT_OK;

    *step = UINT32_MAX;
    RT_REQUIRE(n_rows >= 1 && n_rows <= 1u << 30 && op_row_ok(cols, ld) &&
                   (unsigned) act < OP_ACT_COUNT,
               RT_E_ARG);
    for (size_t i = 0; i < n; i++) {
        RT_REQUIRE(op_vec_holds(v[i], (uint64_t) n_rows * ld), RT_E_SHAPE);
        *step = u32_min(*step, op_vec_range_rows(v[i], ld));
    }
    RT_REQUIRE(*step, RT_E_UNSUPPORTED);
done:
    return err;
}

enum rt_err op_swiglu(struct rt_cmd *cmd, const struct op_swiglu_args *a)
{
    enum rt_err err = RT_OK;
    struct op_grid grid;
    uint32_t step;

    RT_TRY(check((const struct op_vec[]){a->g, a->u, a->a}, 3, a->n_rows, a->cols, a->ld, a->act,
                 &step));
    grid = op_grid(a->a.buf, a->ld);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct swiglu_params p = {n, a->cols, a->ld};
        RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                        .kernel = "swiglu",
                                        .groups = {grid.groups, n},
                                        .group = {grid.group},
                                        .bufs = {op_bind_rows(a->g, a->ld, t, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->u, a->ld, t, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->a, a->ld, t, n, RT_ACCESS_OUT)},
                                        .params = &p,
                                        .params_size = sizeof(p),
                                        .tune = {{"ACT", (int32_t) a->act}, OP_GRID_TUNES(grid)}}));
    }
done:
    return err;
}

enum rt_err op_swiglu_backward(struct rt_cmd *cmd, const struct op_swiglu_backward_args *a)
{
    enum rt_err err = RT_OK;
    struct op_grid grid;
    uint32_t step;

    RT_TRY(check((const struct op_vec[]){a->g, a->u, a->da, a->dg, a->du}, 5, a->n_rows, a->cols,
                 a->ld, a->act, &step));
    grid = op_grid(a->dg.buf, a->ld);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct swiglu_params p = {n, a->cols, a->ld};
        RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                        .kernel = "swiglu_back",
                                        .groups = {grid.groups, n},
                                        .group = {grid.group},
                                        .bufs = {op_bind_rows(a->g, a->ld, t, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->u, a->ld, t, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->da, a->ld, t, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->dg, a->ld, t, n, RT_ACCESS_OUT),
                                                 op_bind_rows(a->du, a->ld, t, n, RT_ACCESS_OUT)},
                                        .params = &p,
                                        .params_size = sizeof(p),
                                        .tune = {{"ACT", (int32_t) a->act}, OP_GRID_TUNES(grid)}}));
    }
done:
    return err;
}
