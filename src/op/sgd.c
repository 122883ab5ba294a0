#include "src/op/sgd.h"

#include <math.h>

#include "src/op/flat.h"

const struct rt_kernel op_sgd_kernel =
    OP_KERNEL(sgd, "sgd.comp", SGD_BUFFERS, struct sgd_params, op_sgd_ref);
const struct rt_kernel op_sgd_master_kernel = OP_KERNEL(
    sgd_master, "sgd_master.comp", SGD_MASTER_BUFFERS, struct sgd_params, op_sgd_master_ref);

static void step_ref(const struct rt_host_call *call, const struct rt_host_buf *low)
{
    const struct sgd_params *s = call->params;
    const struct rt_host_buf *grad = &call->bufs[0], *mult = &call->bufs[1], *w = &call->bufs[2];

    for (uint64_t i = 0; i < s->n; i++) {
        const double p0 = op_host_master(w, low, i),
                     g = rt_host_load(grad, i) * rt_host_load(mult, 0);
        op_host_master_set(w, low, i, p0 - (double) s->lr * (g + (double) s->weight_decay * p0));
    }
}

void op_sgd_ref(const struct rt_host_call *call)
{
    step_ref(call, NULL);
}

void op_sgd_master_ref(const struct rt_host_call *call)
{
    step_ref(call, &call->bufs[3]);
}

enum rt_err op_sgd(struct rt_cmd *cmd, const struct op_sgd_args *a)
{
    enum rt_err err = RT_OK;
    const bool master = a->p.low.buf != NULL;
    struct sgd_params p = {.weight_decay = a->weight_decay, .lr = a->lr};

    RT_REQUIRE(isfinite(a->weight_decay) && isfinite(a->lr), RT_E_ARG);
    RT_REQUIRE(op_master_holds(a->p, 1) && rt_buf_holds(a->mult, RT_F32, 1), RT_E_SHAPE);
    RT_TRY(op_flat(cmd, &(struct op_flat_args){.kernel = master ? "sgd_master" : "sgd",
                                               .bufs = {{a->grad, RT_ACCESS_IN, false},
                                                        {{a->mult, 0}, RT_ACCESS_IN, true},
                                                        {a->p.w, RT_ACCESS_INOUT, false},
                                                        {a->p.low, RT_ACCESS_INOUT, false}},
                                               .n_bufs = master ? 4 : 3,
                                               .n = a->n,
                                               .params = &p,
                                               .params_size = sizeof(p),
                                               .count = &p.n}));
done:
    return err;
}
