#include "src/op/lerp.h"

const struct rt_kernel op_lerp_kernel =
    OP_KERNEL(lerp, "lerp.comp", LERP_BUFFERS, struct lerp_params, op_lerp_ref);

void op_lerp_ref(const struct rt_host_call *call)
{
    const struct lerp_params *p = call->params;
    for (uint64_t i = 0; i < p->n; i++)
        rt_host_store(&call->bufs[1], i,
                      (double) p->keep * rt_host_load(&call->bufs[1], i) +
                          (double) p->take * rt_host_load(&call->bufs[0], i));
}

enum rt_err op_lerp(struct rt_cmd *cmd, const struct op_lerp_args *a)
{
    enum rt_err err = RT_OK;
    uint64_t step;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0, RT_E_ARG);
    RT_REQUIRE(a->alpha >= 0.0 && a->alpha <= 1.0, RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, a->n) && op_vec_holds(a->y, a->n), RT_E_SHAPE);
    step = op_range_items(a->y.buf, 4);
    for (uint64_t i = 0, n; i < a->n; i += n) {
        const struct op_grid grid = op_flat_grid(a->y.buf, a->n - i, step, &n);
        const struct lerp_params p = {(uint32_t) n, (float) (1.0 - a->alpha), (float) a->alpha};
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){.kernel = "lerp",
                                            .groups = {grid.groups},
                                            .group = {grid.group},
                                            .bufs = {RT_IN_AT(a->x.buf, a->x.first + i, n),
                                                     RT_INOUT_AT(a->y.buf, a->y.first + i, n)},
                                            .params = &p,
                                            .params_size = sizeof(p),
                                            .tune = {OP_GRID_TUNES(grid)}}));
    }
done:
    return err;
}
