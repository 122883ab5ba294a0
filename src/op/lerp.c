#include "src/op/lerp.h"

#include "src/op/flat.h"

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

enum rt_err op_lerp(struct rt_cmd *cmd, const struct op_lerp_args *a)
{
    enum rt_err err = RT_OK;
    struct lerp_params p = {.keep = (float) (1.0 - a->alpha), .take = (float) a->alpha};
    struct op_flat_args flat = {
        .kernel = "lerp",
        .bufs = {{a->x.w, RT_ACCESS_IN, false}, {a->y.w, RT_ACCESS_INOUT, false}},
        .n_bufs = 2,
        .n = a->n,
        .params = &p,
        .params_size = sizeof(p),
        .count = &p.n};

    RT_REQUIRE(a->alpha >= 0.0 && a->alpha <= 1.0, RT_E_ARG);
    RT_REQUIRE(op_master_holds(a->x, 1) && op_master_holds(a->y, 1), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_type(a->x.w.buf) == rt_buf_type(a->y.w.buf), RT_E_SHAPE);
    if (a->y.low.buf) {
        flat.kernel = "lerp_master";
        flat.n_bufs = 4;
        flat.bufs[1] = (struct op_flat_buf){.v = a->x.low, .access = RT_ACCESS_IN};
        flat.bufs[2] = (struct op_flat_buf){.v = a->y.w, .access = RT_ACCESS_INOUT};
        flat.bufs[3] = (struct op_flat_buf){.v = a->y.low, .access = RT_ACCESS_INOUT};
    }
    RT_TRY(op_flat(cmd, &flat));
done:
    return err;
}
