#include "src/op/sgd.h"

#include <math.h>

const struct rt_kernel op_sgd_kernel =
    OP_KERNEL(sgd, "sgd.comp", SGD_BUFFERS, struct sgd_params, op_sgd_ref);
const struct rt_kernel op_sgd_copy_kernel =
    OP_KERNEL(sgd_copy, "sgd_copy.comp", SGD_COPY_BUFFERS, struct sgd_params, op_sgd_copy_ref);

static void sgd(const struct rt_host_call *call, const struct rt_host_buf *mult)
{
    const struct sgd_params *s = call->params;
    const struct rt_host_buf *grad = &call->bufs[0], *p = &call->bufs[1];

    for (uint64_t i = 0; i < s->n; i++) {
        const double p0 = rt_host_load(p, i), g = rt_host_load(grad, i) * rt_host_load(mult, 0);
        rt_host_store(p, i, p0 - (double) s->lr * (g + (double) s->weight_decay * p0));
    }
}

void op_sgd_ref(const struct rt_host_call *call)
{
    sgd(call, &call->bufs[2]);
}

void op_sgd_copy_ref(const struct rt_host_call *call)
{
    const struct sgd_params *s = call->params;

    sgd(call, &call->bufs[3]);
    for (uint64_t i = 0; i < s->n; i++)
        rt_host_store(&call->bufs[2], i, rt_host_load(&call->bufs[1], i));
}

static enum rt_err check(const struct op_sgd_args *a)
{
    enum rt_err err = RT_OK;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0, RT_E_ARG);
    RT_REQUIRE(isfinite(a->weight_decay) && isfinite(a->lr), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->grad, a->n) && op_vec_holds(a->p, a->n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->mult, RT_F32, 1), RT_E_SHAPE);
    RT_REQUIRE(!a->w.buf || op_vec_holds(a->w, a->n), RT_E_SHAPE);
done:
    return err;
}

enum rt_err op_sgd(struct rt_cmd *cmd, const struct op_sgd_args *a)
{
    enum rt_err err = RT_OK;
    uint64_t step;

    RT_TRY(check(a));
    step = op_range_items(a->p.buf, 4);
    for (uint64_t i = 0, n; i < a->n; i += n) {
        const struct op_grid grid = op_flat_grid(a->p.buf, a->n - i, step, &n);
        const struct sgd_params p = {(uint32_t) n, a->weight_decay, a->lr};
        struct rt_dispatch_desc d = {.kernel = a->w.buf ? "sgd_copy" : "sgd",
                                     .groups = {grid.groups},
                                     .group = {grid.group},
                                     .bufs = {RT_IN_AT(a->grad.buf, a->grad.first + i, n),
                                              RT_INOUT_AT(a->p.buf, a->p.first + i, n)},
                                     .params = &p,
                                     .params_size = sizeof(p),
                                     .tune = {OP_GRID_TUNES(grid)}};
        if (a->w.buf)
            d.bufs[2] = (struct rt_bind) RT_OUT_AT(a->w.buf, a->w.first + i, n);
        d.bufs[a->w.buf ? 3 : 2] = (struct rt_bind) RT_IN(a->mult);
        RT_TRY(rt_cmd_dispatch(cmd, &d));
    }
done:
    return err;
}
