#include "src/op/adamw.h"

#include <math.h>

const struct rt_kernel op_adamw_kernel =
    OP_KERNEL(adamw, "adamw.comp", ADAMW_BUFFERS, struct adamw_params, op_adamw_ref);
const struct rt_kernel op_adamw_copy_kernel = OP_KERNEL(
    adamw_copy, "adamw_copy.comp", ADAMW_COPY_BUFFERS, struct adamw_params, op_adamw_copy_ref);

static void adamw(const struct rt_host_call *call, const struct rt_host_buf *mult)
{
    const struct adamw_params *s = call->params;
    const struct rt_host_buf *grad = &call->bufs[0], *p = &call->bufs[1], *m = &call->bufs[2],
                             *v = &call->bufs[3];

    for (uint64_t i = 0; i < s->n; i++) {
        const double g = rt_host_load(grad, i) * rt_host_load(mult, 0);
        const double m1 = (double) s->beta1 * rt_host_load(m, i) + (double) s->one_minus_beta1 * g;
        const double v1 =
            (double) s->beta2 * rt_host_load(v, i) + (double) s->one_minus_beta2 * g * g;
        const double denom = sqrt(v1) * (double) s->inv_sqrt_bc2 + (double) s->eps;
        rt_host_store(m, i, m1);
        rt_host_store(v, i, v1);
        rt_host_store(p, i,
                      rt_host_load(p, i) * (double) s->decay - (double) s->step_size * m1 / denom);
    }
}

void op_adamw_ref(const struct rt_host_call *call)
{
    adamw(call, &call->bufs[4]);
}

void op_adamw_copy_ref(const struct rt_host_call *call)
{
    const struct adamw_params *s = call->params;

    adamw(call, &call->bufs[5]);
    for (uint64_t i = 0; i < s->n; i++)
        rt_host_store(&call->bufs[4], i, rt_host_load(&call->bufs[1], i));
}

static enum rt_err check(const struct op_adamw_args *a)
{
    enum rt_err err = RT_OK;
    const struct op_adamw_step *s = &a->step;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0, RT_E_ARG);
    RT_REQUIRE(isfinite(s->decay) && isfinite(s->step_size), RT_E_ARG);
    RT_REQUIRE(isfinite(s->beta1) && isfinite(s->one_minus_beta1) && isfinite(s->beta2), RT_E_ARG);
    RT_REQUIRE(isfinite(s->one_minus_beta2) && isfinite(s->inv_sqrt_bc2), RT_E_ARG);
    RT_REQUIRE(isfinite(s->eps) && s->eps >= 0.0f, RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->grad, a->n) && op_vec_holds(a->p, a->n), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->m, a->n) && op_vec_holds(a->v, a->n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->mult, RT_F32, 1), RT_E_SHAPE);
    RT_REQUIRE(!a->w.buf || op_vec_holds(a->w, a->n), RT_E_SHAPE);
done:
    return err;
}

enum rt_err op_adamw(struct rt_cmd *cmd, const struct op_adamw_args *a)
{
    enum rt_err err = RT_OK;
    const struct op_adamw_step *s = &a->step;
    uint64_t step;

    RT_TRY(check(a));
    step = op_range_items(a->p.buf, 4);
    for (uint64_t i = 0, n; i < a->n; i += n) {
        const struct op_grid grid = op_flat_grid(a->p.buf, a->n - i, step, &n);
        const struct adamw_params p = {(uint32_t) n,       s->decay,        s->beta1,
                                       s->one_minus_beta1, s->beta2,        s->one_minus_beta2,
                                       s->step_size,       s->inv_sqrt_bc2, s->eps};
        struct rt_dispatch_desc d = {.kernel = a->w.buf ? "adamw_copy" : "adamw",
                                     .groups = {grid.groups},
                                     .group = {grid.group},
                                     .bufs = {RT_IN_AT(a->grad.buf, a->grad.first + i, n),
                                              RT_INOUT_AT(a->p.buf, a->p.first + i, n),
                                              RT_INOUT_AT(a->m.buf, a->m.first + i, n),
                                              RT_INOUT_AT(a->v.buf, a->v.first + i, n)},
                                     .params = &p,
                                     .params_size = sizeof(p),
                                     .tune = {OP_GRID_TUNES(grid)}};
        if (a->w.buf)
            d.bufs[4] = (struct rt_bind) RT_OUT_AT(a->w.buf, a->w.first + i, n);
        d.bufs[a->w.buf ? 5 : 4] = (struct rt_bind) RT_IN(a->mult);
        RT_TRY(rt_cmd_dispatch(cmd, &d));
    }
done:
    return err;
}
