#include "src/op/adamw.h"

#include <math.h>

const struct rt_kernel op_adamw_kernel =
    OP_KERNEL(adamw, "adamw.comp", ADAMW_BUFFERS, struct adamw_params, op_adamw_ref);
const struct rt_kernel op_adamw_master_kernel =
    OP_KERNEL(adamw_master, "adamw_master.comp", ADAMW_MASTER_BUFFERS, struct adamw_params,
              op_adamw_master_ref);

static void step_ref(const struct rt_host_call *call, const struct rt_host_buf *low)
{
    const struct adamw_params *s = call->params;
    const struct rt_host_buf *grad = &call->bufs[0], *mult = &call->bufs[1], *m = &call->bufs[2],
                             *v = &call->bufs[3], *w = &call->bufs[4];

    for (uint64_t i = 0; i < s->n; i++) {
        const double g = rt_host_load(grad, i) * rt_host_load(mult, 0);
        const double m1 = (double) s->beta1 * rt_host_load(m, i) + (double) s->one_minus_beta1 * g;
        const double v1 =
            (double) s->beta2 * rt_host_load(v, i) + (double) s->one_minus_beta2 * g * g;
        const double denom = sqrt(v1) * (double) s->inv_sqrt_bc2 + (double) s->eps;
        rt_host_store(m, i, m1);
        rt_host_store(v, i, v1);
        op_host_master_set(w, low, i,
                           op_host_master(w, low, i) * (double) s->decay -
                               (double) s->step_size * m1 / denom);
    }
}

void op_adamw_ref(const struct rt_host_call *call)
{
    step_ref(call, NULL);
}

void op_adamw_master_ref(const struct rt_host_call *call)
{
    step_ref(call, &call->bufs[5]);
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
    RT_REQUIRE(op_vec_holds(a->grad, a->n) && op_master_holds(a->p, a->n), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->m, a->n) && op_vec_holds(a->v, a->n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->mult, RT_F32, 1), RT_E_SHAPE);
done:
    return err;
}

enum rt_err op_adamw(struct rt_cmd *cmd, const struct op_adamw_args *a)
{
    enum rt_err err = RT_OK;
    const struct op_adamw_step *s = &a->step;
    uint64_t step;

    RT_TRY(check(a));
    step = op_range_items(a->grad.buf, 4);
    for (uint64_t i = 0, n; i < a->n; i += n) {
        const struct op_grid grid = op_flat_grid(a->grad.buf, a->n - i, step, &n);
        const struct adamw_params p = {(uint32_t) n,       s->decay,        s->beta1,
                                       s->one_minus_beta1, s->beta2,        s->one_minus_beta2,
                                       s->step_size,       s->inv_sqrt_bc2, s->eps};
        struct rt_dispatch_desc d = {.kernel = a->p.low.buf ? "adamw_master" : "adamw",
                                     .groups = {grid.groups},
                                     .group = {grid.group},
                                     .bufs = {RT_IN_AT(a->grad.buf, a->grad.first + i, n),
                                              RT_IN(a->mult),
                                              RT_INOUT_AT(a->m.buf, a->m.first + i, n),
                                              RT_INOUT_AT(a->v.buf, a->v.first + i, n),
                                              RT_INOUT_AT(a->p.w.buf, a->p.w.first + i, n)},
                                     .params = &p,
                                     .params_size = sizeof(p),
                                     .tune = {OP_GRID_TUNES(grid)}};
        if (a->p.low.buf)
            d.bufs[5] = (struct rt_bind) RT_INOUT_AT(a->p.low.buf, a->p.low.first + i, n);
        RT_TRY(rt_cmd_dispatch(cmd, &d));
    }
done:
    return err;
}
