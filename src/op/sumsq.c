#include "src/op/sumsq.h"

const struct rt_kernel op_sumsq_kernel =
    OP_KERNEL(sumsq, "sumsq.comp", SUMSQ_BUFFERS, struct sumsq_params, op_sumsq_ref);

void op_sumsq_ref(const struct rt_host_call *call)
{
    const struct sumsq_params *p = call->params;

    for (uint64_t b = 0; b < op_sumsq_parts(p->n); b++) {
        double sum = 0.0;
        for (uint64_t i = b * SUMSQ_BLOCK; i < u64_min((b + 1) * SUMSQ_BLOCK, p->n); i++)
            sum += rt_host_load(&call->bufs[0], i) * rt_host_load(&call->bufs[0], i);
        rt_host_store(&call->bufs[1], p->part_first + b, sum);
    }
}

enum rt_err op_sumsq(struct rt_cmd *cmd, const struct op_sumsq_args *a)
{
    enum rt_err err = RT_OK;
    uint64_t step;

    RT_REQUIRE(a->n >= 1 && a->n <= (uint64_t) 1 << 40, RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, a->n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->part, RT_F32, a->part_first + op_sumsq_parts(a->n)), RT_E_SHAPE);
    step = op_range_items(a->x.buf, 4) &
           ~(uint64_t) (SUMSQ_BLOCK - 1); // 1 MiB, the least range, holds 16 blocks
    for (uint64_t i = 0; i < a->n; i += step) {
        const uint64_t m = u64_min(step, a->n - i);
        const struct sumsq_params p = {(uint32_t) m, a->part_first + (uint32_t) (i / SUMSQ_BLOCK)};
        RT_TRY(rt_cmd_dispatch(cmd,
                               &(struct rt_dispatch_desc){
                                   .kernel = "sumsq",
                                   .groups = {(uint32_t) op_sumsq_parts(m)},
                                   .group = {op_row_lanes(a->x.buf)},
                                   .bufs = {RT_IN_AT(a->x.buf, a->x.first + i, m), RT_OUT(a->part)},
                                   .params = &p,
                                   .params_size = sizeof(p)}));
    }
done:
    return err;
}
