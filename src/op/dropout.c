#include "src/op/dropout.h"

const struct rt_kernel op_dropout_kernel =
    OP_KERNEL(dropout, "dropout.comp", DROPOUT_BUFFERS, struct dropout_params, op_dropout_ref);

static uint32_t mix_bits(uint32_t a)
{
    uint32_t b = (a ^ (a >> 16)) * 0x21f0aaadu;
    b = (b ^ (b >> 15)) * 0x735a2d97u;
    return b ^ (b >> 15);
}

void op_dropout_ref(const struct rt_host_call *call)
{
    const struct dropout_params *p = call->params;
    for (uint32_t i = 0; i < p->n; i++) {
        const bool kept = mix_bits(mix_bits((p->first + i) ^ p->key_lo) ^ p->key_hi) >= p->limit;
        const double v = kept ? (double) p->scale * rt_host_load(&call->bufs[0], i) : 0.0;
        rt_host_store(&call->bufs[1], i, p->add ? v + rt_host_load(&call->bufs[1], i) : v);
    }
}

enum rt_err op_dropout(struct rt_cmd *cmd, const struct op_dropout_args *a)
{
    enum rt_err err = RT_OK;
    uint64_t step;

    RT_REQUIRE(a->n >= 2 && a->n % 2 == 0 && a->n <= (uint64_t) 1 << 32, RT_E_ARG);
    RT_REQUIRE(a->p >= 0.0 && a->p < 1.0, RT_E_ARG);
    RT_REQUIRE(a->x && rt_buf_count(a->x) >= a->n, RT_E_SHAPE);
    RT_REQUIRE(a->y && a->y != a->x && rt_buf_count(a->y) >= a->n, RT_E_SHAPE);
    step = op_range_items(a->x, 4); // both sides at 4 bytes an element: safe for every type
    for (uint64_t i = 0, m; i < a->n; i += m) {
        const struct op_grid grid = op_flat_grid(a->x, a->n - i, step, &m);
        const struct dropout_params p = {.n = (uint32_t) m,
                                         .first = (uint32_t) i,
                                         .key_lo = (uint32_t) a->key,
                                         .key_hi = (uint32_t) (a->key >> 32),
                                         .limit = (uint32_t) (a->p * 0x1p32),
                                         .scale = (float) (1.0 / (1.0 - a->p)),
                                         .add = a->add};
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){.kernel = "dropout",
                                            .groups = {grid.groups},
                                            .group = {grid.group},
                                            .bufs = {RT_IN_AT(a->x, i, m), RT_INOUT_AT(a->y, i, m)},
                                            .params = &p,
                                            .params_size = sizeof(p),
                                            .tune = {OP_GRID_TUNES(grid)}}));
    }
done:
    return err;
}
