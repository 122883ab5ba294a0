// tests/op/losses.h -- one call of op_loss, for its tests.
#ifndef TESTS_OP_LOSSES_H
#define TESTS_OP_LOSSES_H

#include "src/op/loss.h"
#include "tests/t.h"

// Inputs of one call, in f64; buffers are made of them on any device.
struct input {
    struct op_loss_spec spec;
    uint32_t n;
    const double *logp, *ref, *len, *log_weight; // (2n); log_weight may be NULL
    double beta, scale, sft_scale;
};

static inline void record(struct t *t, struct rt_dev *dev, const struct input *in,
                          struct rt_buf **loss, struct rt_buf **dlogp)
{
    struct rt_cmd *cmd;
    const uint32_t n = in->n;
    uint32_t *scratch = t_alloc(t, 2 * n * sizeof(*scratch)),
             *partner = t_alloc(t, 2 * n * sizeof(*partner));
    *loss = t_output(t, dev, RT_F32, n);
    *dlogp = t_output(t, dev, RT_F32, 2 * n);
    op_loss_partners(n, in->logp, in->ref, scratch, partner);
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_loss(
        cmd, &(struct op_loss_args){
                 .spec = &in->spec,
                 .logp = t_buf(t, dev, RT_F32, in->logp, 2 * n),
                 .ref_logp = t_buf(t, dev, RT_F32, in->ref, 2 * n),
                 .len = t_buf(t, dev, RT_F32, in->len, 2 * n),
                 .log_weight = in->log_weight ? t_buf(t, dev, RT_F32, in->log_weight, 2 * n) : NULL,
                 .partner = t_buf_u32(t, dev, partner, 2 * n),
                 .loss = *loss,
                 .dlogp = *dlogp,
                 .n_pairs = n,
                 .beta = in->beta,
                 .grad_scale = in->scale,
                 .sft_scale = in->sft_scale}));
    T_OK(rt_cmd_wait(&cmd));
}

static inline struct op_loss_spec spec_of(enum op_loss_type type, enum op_divergence d)
{
    return (struct op_loss_spec){.terms = {{type, 1.0}},
                                 .n_terms = 1,
                                 .discopop_tau = 0.05,
                                 .divergence = d,
                                 .label_smoothing = 0.1,
                                 .simpo_gamma = 0.3,
                                 .alpha = 0.5};
}

// Read back from host:f64, so nothing is rounded.
static inline void read_all(struct rt_buf *b, uint64_t n, double *out)
{
    T_OK(rt_buf_read(b, 0, n, RT_F64, out));
}

#endif // TESTS_OP_LOSSES_H
