#include "src/op/cast.h"

#include <math.h>

const struct rt_kernel op_cast_kernel =
    OP_KERNEL(cast, "cast.comp", CAST_BUFFERS, struct cast_params, op_cast_ref);

void op_cast_ref(const struct rt_host_call *call)
{
    const struct cast_params *p = call->params;
    for (uint32_t i = 0; i < p->n; i++)
        rt_host_store(&call->bufs[1], i, (double) p->scale * rt_host_load(&call->bufs[0], i));
}

enum rt_err op_cast(struct rt_cmd *cmd, const struct op_cast_args *a)
{
    enum rt_err err = RT_OK;
    uint64_t step;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0 && isfinite(a->scale), RT_E_ARG);
    RT_REQUIRE(a->x && rt_buf_count(a->x) >= a->n, RT_E_SHAPE);
    RT_REQUIRE(a->y && rt_buf_count(a->y) >= a->n, RT_E_SHAPE);
    step = op_range_items(a->x, 4); // both sides at 4 bytes an element: safe for every type
    for (uint64_t i = 0, m; i < a->n; i += m) {
        const struct op_grid grid = op_flat_grid(a->x, a->n - i, step, &m);
        const struct cast_params p = {(uint32_t) m, fabsf(a->scale) > 0.0f ? a->scale : 1.0f};
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){.kernel = "cast",
                                            .groups = {grid.groups},
                                            .group = {grid.group},
                                            .bufs = {RT_IN_AT(a->x, i, m), RT_OUT_AT(a->y, i, m)},
                                            .params = &p,
                                            .params_size = sizeof(p),
                                            .tune = {OP_GRID_TUNES(grid)}}));
    }
done:
    return err;
}
