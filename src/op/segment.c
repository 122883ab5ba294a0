#include "src/op/segment.h"

#include <math.h>

const struct rt_kernel op_segment_sum_kernel =
    OP_KERNEL(segment_sum, "segment_sum.comp", SEGMENT_SUM_BUFFERS, struct segment_sum_params,
              op_segment_sum_ref);
const struct rt_kernel op_segment_spread_kernel =
    OP_KERNEL(segment_spread, "segment_spread.comp", SEGMENT_SPREAD_BUFFERS,
              struct segment_spread_params, op_segment_spread_ref);

void op_segment_sum_ref(const struct rt_host_call *call)
{
    const struct segment_sum_params *p = call->params;
    const uint32_t *starts = (const uint32_t *) call->bufs[1].data + p->starts_first;

    for (uint32_t s = 0; s < p->n_segs; s++) {
        const uint32_t n = starts[s + 1] - starts[s];
        double sum = 0.0;
        for (uint64_t i = starts[s]; i < starts[s + 1]; i++)
            sum += rt_host_load(&call->bufs[0], i * p->ld + p->column);
        rt_host_store(&call->bufs[2], (uint64_t) p->y_first + s, p->mean && n ? sum / n : sum);
    }
}

void op_segment_spread_ref(const struct rt_host_call *call)
{
    const struct segment_spread_params *p = call->params;
    const uint32_t *starts = (const uint32_t *) call->bufs[1].data + p->starts_first;

    for (uint32_t s = 0; s < p->n_segs; s++) {
        const double v =
            (double) p->scale * rt_host_load(&call->bufs[0], (uint64_t) p->dy_first + s);
        for (uint64_t i = starts[s]; i < starts[s + 1]; i++)
            rt_host_store(&call->bufs[2], i, p->mean ? v / (starts[s + 1] - starts[s]) : v);
    }
}

enum rt_err op_segment_sum(struct rt_cmd *cmd, const struct op_segment_sum_args *a)
{
    enum rt_err err = RT_OK;
    const struct segment_sum_params p = {a->n_segs,       a->ld,      a->column,
                                         a->starts_first, a->y_first, a->mean};

    RT_REQUIRE(a->n_rows >= 1 && a->n_segs >= 1 && a->n_segs < UINT32_MAX && a->column < a->ld,
               RT_E_ARG);
    RT_REQUIRE((uint64_t) a->n_rows * a->ld <= UINT32_MAX, RT_E_ARG);
    RT_REQUIRE(rt_buf_holds(a->x, RT_F32, (uint64_t) a->n_rows * a->ld), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->starts, RT_U32, (uint64_t) a->starts_first + a->n_segs + 1),
               RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->y, RT_F32, (uint64_t) a->y_first + a->n_segs), RT_E_SHAPE);
    RT_TRY(rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){.kernel = "segment_sum",
                                        .groups = {a->n_segs},
                                        .bufs = {RT_IN_AT(a->x, 0, (uint64_t) a->n_rows * a->ld),
                                                 RT_IN(a->starts), RT_OUT(a->y)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
done:
    return err;
}

enum rt_err op_segment_spread(struct rt_cmd *cmd, const struct op_segment_spread_args *a)
{
    enum rt_err err = RT_OK;
    const struct segment_spread_params p = {a->n_segs, a->starts_first, a->dy_first, a->mean,
                                            a->scale};

    RT_REQUIRE(a->n_rows >= 1 && a->n_segs >= 1 && a->n_segs < UINT32_MAX && isfinite(a->scale),
               RT_E_ARG);
    RT_REQUIRE(rt_buf_holds(a->dy, RT_F32, (uint64_t) a->dy_first + a->n_segs), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->starts, RT_U32, (uint64_t) a->starts_first + a->n_segs + 1),
               RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->dx, RT_F32, a->n_rows), RT_E_SHAPE);
    RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){.kernel = "segment_spread",
                                                           .groups = {a->n_segs},
                                                           .bufs = {RT_IN(a->dy), RT_IN(a->starts),
                                                                    RT_OUT_AT(a->dx, 0, a->n_rows)},
                                                           .params = &p,
                                                           .params_size = sizeof(p)}));
done:
    return err;
}
