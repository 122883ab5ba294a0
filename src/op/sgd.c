#include "src/op/sgd.h"

#include <math.h>

const struct rt_kernel op_sgd_kernel =
    OP_KERNEL(sgd, "sgd.comp", SGD_BUFFERS, struct sgd_params, op_sgd_ref);
const struct rt_kernel op_sgd_master_kernel = OP_KERNEL(
    sgd_master, "sgd_master.comp", SGD_MASTER_BUFFERS, struct sgd_params, op_sgd_master_ref);

static void step_ref(const struct rt_host_call *call, const struct rt_host_buf *low)
{
    const struct sgd_params *s = call->params;
    const struct rt_host_buf *grad = &call->bufs[0], *mult = &call->bufs[1],
                             *w = &call->bufs[2];

    for (uint64_t i = 0; i < s->n; i++) {
        const double p0 = op_host_master(w, low, i),
                     g = rt_host_load(grad, i) * rt_host_load(mult, 0);
        op_host_master_set(w, low, i, p0 - (double) s->lr * (g + (double) s->weight_decay * p0));
    }
}

void op_sgd_ref(const struct rt_host_call *call)
{
    step_ref(call, NULL);
}

void op_sgd_master_ref(const struct rt_host_call *call)
{
    step_ref(call, &call->bufs[3]);
}

static enum rt_err check(const struct op_sgd_args *a)
{
    enum rt_err err = RT_OK;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0, RT_E_ARG);
    RT_REQUIRE(isfinite(a->weight_decay) && isfinite(a->lr), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->grad, a->n) && op_master_holds(a->p, a->n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->mult, RT_F32, 1), RT_E_SHAPE);
done:
    return err;
}

enum rt_err op_sgd(struct rt_cmd *cmd, const struct op_sgd_args *a)
{
    enum rt_err err = RT_OK;
    uint64_t step;

    RT_TRY(check(a));
    step = op_range_items(a->grad.buf, 4);
    for (uint64_t i = 0, n; i < a->n; i += n) {
        const struct op_grid grid = op_flat_grid(a->grad.buf, a->n - i, step, &n);
        const struct sgd_params p = {(uint32_t) n, a->weight_decay, a->lr};
        struct rt_dispatch_desc d = {.kernel = a->p.low.buf ? "sgd_master" : "sgd",
                                     .groups = {grid.groups},
                                     .group = {grid.group},
                                     .bufs = {RT_IN_AT(a->grad.buf, a->grad.first + i, n),
                                              RT_IN(a->mult),
                                              RT_INOUT_AT(a->p.w.buf, a->p.w.first + i, n)},
                                     .params = &p,
                                     .params_size = sizeof(p),
                                     .tune = {OP_GRID_TUNES(grid)}};
        if (a->p.low.buf)
            d.bufs[3] = (struct rt_bind) RT_INOUT_AT(a->p.low.buf, a->p.low.first + i, n);
        RT_TRY(rt_cmd_dispatch(cmd, &d));
    }
done:
    return err;
}
