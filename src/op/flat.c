#include "src/op/flat.h"

#include "src/base/arith.h"

// The next run of `left` elements of which `most`, a multiple of 256, can be bound; *n is how many
// it takes. On a CPU whole groups come first, then the rest.
static struct op_grid grid_of(const struct rt_buf *buf, uint64_t left, uint64_t most, uint64_t *n)
{
    const struct rt_plan *plan = rt_dev_plan(rt_buf_dev(buf));
    const uint32_t group = u32_min(plan->caps.group_invocations, 256);

    *n = u64_min(left, most);
    if (!op_is_cpu(buf) || *n < group)
        return (struct op_grid){op_groups(buf, *n / 2), plan->group, 2, 0};
    *n -= *n % group;
    return (struct op_grid){(uint32_t) (*n / group), group, 1, 1};
}

static struct rt_bind bind_of(const struct op_flat_buf *b, uint64_t i, uint64_t n)
{
    return b->whole ? (struct rt_bind){.buf = b->v.buf, .access = b->access}
                    : (struct rt_bind){b->v.buf, b->access, b->v.first + i, n};
}

enum rt_err op_flat(struct rt_cmd *cmd, const struct op_flat_args *a)
{
    enum rt_err err = RT_OK;
    const struct rt_buf *any = a->bufs[0].v.buf;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0, RT_E_ARG);
    for (uint32_t b = 0; b < a->n_bufs; b++)
        RT_REQUIRE(op_vec_holds(a->bufs[b].v, a->bufs[b].whole ? 1 : a->n), RT_E_SHAPE);
    // 4 bytes an element on every side: safe for each type.
    for (uint64_t i = 0, n, most = op_range_items(any, 4); i < a->n; i += n) {
        const struct op_grid grid = grid_of(any, a->n - i, most, &n);
        struct rt_dispatch_desc d = {.kernel = a->kernel,
                                     .groups = {grid.groups},
                                     .group = {grid.group},
                                     .params = a->params,
                                     .params_size = a->params_size,
                                     .tune = {OP_GRID_TUNES(grid)}};
        *a->count = (uint32_t) n;
        if (a->begin)
            *a->begin = (uint32_t) i;
        for (uint32_t b = 0; b < a->n_bufs; b++)
            d.bufs[b] = bind_of(&a->bufs[b], i, n);
        RT_TRY(rt_cmd_dispatch(cmd, &d));
    }
done:
    return err;
}
