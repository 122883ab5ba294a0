#include "src/op/add.h"

#include <math.h>

const struct rt_kernel op_add_kernel =
    OP_KERNEL(add, "add.comp", ADD_BUFFERS, struct add_params, op_add_ref);

void op_add_ref(const struct rt_host_call *call)
{
    const struct add_params *p = call->params;
    for (uint64_t i = 0; i < p->n; i++)
        rt_host_store(&call->bufs[1], i,
                      rt_host_load(&call->bufs[1], i) +
                          (double) p->alpha * rt_host_load(&call->bufs[0], i));
}

enum rt_err op_axpy(struct rt_cmd *cmd, const struct op_axpy_args *a)
{
    enum rt_err err = RT_OK;
    uint64_t step;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0 && isfinite(a->alpha), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, a->n) && op_vec_holds(a->y, a->n), RT_E_SHAPE);
    step = op_range_items(a->y.buf, 4);
    for (uint64_t i = 0, n; i < a->n; i += n) {
        const struct op_grid grid = op_flat_grid(a->y.buf, a->n - i, step, &n);
        const struct add_params p = {(uint32_t) n, a->alpha};
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){.kernel = "add",
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
