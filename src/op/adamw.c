#include "src/op/adamw.h"

#include <math.h>

#include "src/op/flat.h"

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

enum rt_err op_adamw(struct rt_cmd *cmd, const struct op_adamw_args *a)
{
    enum rt_err err = RT_OK;
    const struct op_adamw_step *s = &a->step;
    const bool master = a->p.low.buf != NULL;
    struct adamw_params p = {.decay = s->decay,
                             .beta1 = s->beta1,
                             .one_minus_beta1 = s->one_minus_beta1,
                             .beta2 = s->beta2,
                             .one_minus_beta2 = s->one_minus_beta2,
                             .step_size = s->step_size,
                             .inv_sqrt_bc2 = s->inv_sqrt_bc2,
                             .eps = s->eps};

    RT_REQUIRE(isfinite(s->decay) && isfinite(s->step_size), RT_E_ARG);
    RT_REQUIRE(isfinite(s->beta1) && isfinite(s->one_minus_beta1) && isfinite(s->beta2), RT_E_ARG);
    RT_REQUIRE(isfinite(s->one_minus_beta2) && isfinite(s->inv_sqrt_bc2), RT_E_ARG);
    RT_REQUIRE(isfinite(s->eps) && s->eps >= 0.0f, RT_E_ARG);
    RT_REQUIRE(op_master_holds(a->p, 1) && rt_buf_holds(a->mult, RT_F32, 1), RT_E_SHAPE);
    RT_TRY(op_flat(cmd, &(struct op_flat_args){.kernel = master ? "adamw_master" : "adamw",
                                               .bufs = {{a->grad, RT_ACCESS_IN, false},
                                                        {{a->mult, 0}, RT_ACCESS_IN, true},
                                                        {a->m, RT_ACCESS_INOUT, false},
                                                        {a->v, RT_ACCESS_INOUT, false},
                                                        {a->p.w, RT_ACCESS_INOUT, false},
                                                        {a->p.low, RT_ACCESS_INOUT, false}},
                                               .n_bufs = master ? 6 : 5,
                                               .n = a->n,
                                               .params = &p,
                                               .params_size = sizeof(p),
                                               .count = &p.n}));
done:
    return err;
}
