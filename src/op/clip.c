#include "src/op/clip.h"

#include <math.h>

const struct rt_kernel op_clip_kernel =
    OP_KERNEL(clip, "clip.comp", CLIP_BUFFERS, struct clip_params, op_clip_ref);

void op_clip_ref(const struct rt_host_call *call)
{
    const struct clip_params *p = call->params;
    const double max = (double) p->max_hi + (double) p->max_lo;
    const double add = (double) p->add_hi + (double) p->add_lo;
    double sum = 0.0, mult = (double) p->most;

    for (uint32_t i = 0; i < p->n; i++)
        sum += rt_host_load(&call->bufs[0], i);
    if (max > 0.0)
        mult = fmin(mult, max / (sqrt(sum) + add));
    rt_host_store(&call->bufs[1], 0, mult);
}

enum rt_err op_clip(struct rt_cmd *cmd, const struct op_clip_args *a)
{
    enum rt_err err = RT_OK;
    const double add = 1e-6 * a->scale;
    struct clip_params p = {.n = (uint32_t) a->n,
                            .max_hi = (float) a->max_norm,
                            .add_hi = (float) add,
                            .most = (float) (1.0 / a->scale)};

    p.max_lo = (float) (a->max_norm - (double) p.max_hi);
    p.add_lo = (float) (add - (double) p.add_hi);
    RT_REQUIRE(a->n >= 1 && a->n <= UINT32_MAX, RT_E_ARG);
    RT_REQUIRE(isfinite(p.max_hi) && a->max_norm >= 0.0, RT_E_ARG);
    RT_REQUIRE(isfinite(add) && a->scale > 0.0 && isfinite(p.most), RT_E_ARG);
    RT_REQUIRE(rt_buf_holds(a->part, RT_F32, a->n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->mult, RT_F32, 1), RT_E_SHAPE);
    RT_TRY(
        rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){.kernel = "clip",
                                                        .groups = {1},
                                                        .bufs = {RT_IN(a->part), RT_OUT(a->mult)},
                                                        .params = &p,
                                                        .params_size = sizeof(p)}));
done:
    return err;
}
