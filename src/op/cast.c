#include "src/op/cast.h"

#include <math.h>

#include "src/op/flat.h"

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
    struct cast_params p = {.scale = fabsf(a->scale) > 0.0f ? a->scale : 1.0f};

    RT_REQUIRE(isfinite(a->scale), RT_E_ARG);
    RT_TRY(op_flat(cmd, &(struct op_flat_args){.kernel = "cast",
                                               .bufs = {{{a->x, 0}, RT_ACCESS_IN, false},
                                                        {{a->y, 0}, RT_ACCESS_OUT, false}},
                                               .n_bufs = 2,
                                               .n = a->n,
                                               .params = &p,
                                               .params_size = sizeof(p),
                                               .count = &p.n}));
done:
    return err;
}
