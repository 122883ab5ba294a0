#include "src/op/lerp.h"

const struct rt_kernel op_lerp_kernel =
    OP_KERNEL(lerp, "lerp.comp", LERP_BUFFERS, struct lerp_params, op_lerp_ref);
const struct rt_kernel op_lerp_master_kernel = OP_KERNEL(
    lerp_master, "lerp_master.comp", LERP_MASTER_BUFFERS, struct lerp_params, op_lerp_master_ref);

// x and y: a buffer each, with what is beside it or NULL.
static void lerp_ref(const struct lerp_params *p, const struct rt_host_buf *const x[2],
                     const struct rt_host_buf *const y[2])
{
    for (uint64_t i = 0; i < p->n; i++)
        op_host_master_set(y[0], y[1], i,
                           (double) p->keep * op_host_master(y[0], y[1], i) +
                               (double) p->take * op_host_master(x[0], x[1], i));
}

void op_lerp_ref(const struct rt_host_call *call)
{
    const struct rt_host_buf *b = call->bufs;
    lerp_ref(call->params, (const struct rt_host_buf *[]){&b[0], NULL},
             (const struct rt_host_buf *[]){&b[1], NULL});
}

void op_lerp_master_ref(const struct rt_host_call *call)
{
    const struct rt_host_buf *b = call->bufs;
    lerp_ref(call->params, (const struct rt_host_buf *[]){&b[0], &b[1]},
             (const struct rt_host_buf *[]){&b[2], &b[3]});
}

static enum rt_err run(struct rt_cmd *cmd, const struct op_lerp_args *a, uint64_t i, uint64_t n,
                       struct op_grid grid)
{
    const struct lerp_params p = {(uint32_t) n, (float) (1.0 - a->alpha), (float) a->alpha};
    struct rt_dispatch_desc d = {.kernel = "lerp",
                                 .groups = {grid.groups},
                                 .group = {grid.group},
                                 .bufs = {RT_IN_AT(a->x.w.buf, a->x.w.first + i, n),
                                          RT_INOUT_AT(a->y.w.buf, a->y.w.first + i, n)},
                                 .params = &p,
                                 .params_size = sizeof(p),
                                 .tune = {OP_GRID_TUNES(grid)}};

    if (a->y.low.buf) {
        d.kernel = "lerp_master";
        d.bufs[2] = d.bufs[1];
        d.bufs[1] = (struct rt_bind) RT_IN_AT(a->x.low.buf, a->x.low.first + i, n);
        d.bufs[3] = (struct rt_bind) RT_INOUT_AT(a->y.low.buf, a->y.low.first + i, n);
    }
    return rt_cmd_dispatch(cmd, &d);
}

enum rt_err op_lerp(struct rt_cmd *cmd, const struct op_lerp_args *a)
{
    enum rt_err err = RT_OK;
    uint64_t step;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0, RT_E_ARG);
    RT_REQUIRE(a->alpha >= 0.0 && a->alpha <= 1.0, RT_E_ARG);
    RT_REQUIRE(op_master_holds(a->x, a->n) && op_master_holds(a->y, a->n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_type(a->x.w.buf) == rt_buf_type(a->y.w.buf), RT_E_SHAPE);
    step = op_range_items(a->y.w.buf, 4);
    for (uint64_t i = 0, n; i < a->n; i += n) {
        const struct op_grid grid = op_flat_grid(a->y.w.buf, a->n - i, step, &n);
        RT_TRY(run(cmd, a, i, n, grid));
    }
done:
    return err;
}
