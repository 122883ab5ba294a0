#include "src/op/add.h"

#include <math.h>

#include "src/op/flat.h"

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
    struct add_params p = {.alpha = a->alpha};

    RT_REQUIRE(isfinite(a->alpha), RT_E_ARG);
    RT_TRY(op_flat(cmd, &(struct op_flat_args){
                            .kernel = "add",
                            .bufs = {{a->x, RT_ACCESS_IN, false}, {a->y, RT_ACCESS_INOUT, false}},
                            .n_bufs = 2,
                            .n = a->n,
                            .params = &p,
                            .params_size = sizeof(p),
                            .count = &p.n}));
done:
    return err;
}
