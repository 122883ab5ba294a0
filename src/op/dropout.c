#include "src/op/dropout.h"

#include "src/op/flat.h"

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
    struct dropout_params p = {
        .key_lo = (uint32_t) a->key, .key_hi = (uint32_t) (a->key >> 32), .add = a->add};

    RT_REQUIRE(a->p >= 0.0 && a->p < 1.0 && a->n <= (uint64_t) 1 << 32, RT_E_ARG);
    RT_REQUIRE(a->y != a->x, RT_E_SHAPE);
    p.limit = (uint32_t) (a->p * 0x1p32);
    p.scale = (float) (1.0 / (1.0 - a->p));
    RT_TRY(op_flat(cmd, &(struct op_flat_args){.kernel = "dropout",
                                               .bufs = {{{a->x, 0}, RT_ACCESS_IN, false},
                                                        {{a->y, 0}, RT_ACCESS_INOUT, false}},
                                               .n_bufs = 2,
                                               .n = a->n,
                                               .params = &p,
                                               .params_size = sizeof(p),
                                               .count = &p.n,
                                               .begin = &p.first}));
done:
    return err;
}
