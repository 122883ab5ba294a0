#include "src/op/dpo.h"

#include <math.h>

const struct rt_kernel op_dpo_kernel = OP_KERNEL(dpo, "dpo.comp", DPO_BUFFERS, struct dpo_params, op_dpo_ref);

void op_dpo_ref(const struct rt_host_call *call)
{
    const struct dpo_params *p = call->params;
    const struct rt_host_buf *logp = &call->bufs[0], *ref = &call->bufs[1];
    const struct rt_host_buf *loss = &call->bufs[2], *dlogp = &call->bufs[3];

    for (uint32_t i = 0, j = p->n_pairs; i < p->n_pairs; i++, j++) {
        const double w = rt_host_load(logp, i) - rt_host_load(ref, i);
        const double l = rt_host_load(logp, j) - rt_host_load(ref, j);
        const double m = (double) p->beta * (w - l);
        const double e = exp(-fabs(m));                    // in (0, 1]
        const double s = (m >= 0.0 ? e : 1.0) / (1.0 + e); // sigmoid(-m)
        const double g = (double) p->grad_scale * (double) p->beta * s;
        rt_host_store(loss, i, fmax(-m, 0.0) + log1p(e)); // softplus(-m)
        rt_host_store(dlogp, i, -g);
        rt_host_store(dlogp, j, g);
    }
}

enum rt_err op_dpo(struct rt_cmd *cmd, const struct op_dpo_args *a)
{
    enum rt_err err = RT_OK;
    const struct dpo_params p = { a->n_pairs, a->beta, a->grad_scale };
    const uint64_t n = a->n_pairs;

    RT_REQUIRE(n >= 1 && n <= INT32_MAX, RT_E_ARG);
    RT_REQUIRE(isfinite(a->beta) && a->beta > 0.0f, RT_E_ARG);
    RT_REQUIRE(isfinite(a->grad_scale), RT_E_ARG);
    RT_REQUIRE(rt_buf_holds(a->logp, RT_F32, 2 * n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->ref_logp, RT_F32, 2 * n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->loss, RT_F32, n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->dlogp, RT_F32, 2 * n), RT_E_SHAPE);
    err = rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
        .kernel = "dpo", .items = n,
        .bufs = { RT_IN(a->logp), RT_IN(a->ref_logp), RT_OUT(a->loss), RT_OUT(a->dlogp) },
        .params = &p, .params_size = sizeof(p) });
done:
    return err;
}
