#include "src/train/optimizer.h"

#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/op/adamw.h"
#include "src/op/clip.h"
#include "src/op/sgd.h"
#include "src/op/sumsq.h"

enum rt_err tr_optimizer_create(struct md_model *model, enum tr_optim kind,
                                struct tr_optimizer *out)
{
    enum rt_err err = RT_OK;
    struct tr_optimizer o = {.kind = kind};
    const struct md_params *params = md_trained_of(model).params;

    *out = (struct tr_optimizer){0};
    RT_TRY(md_flat_create(model->dev, params, RT_F32, "gradients", &o.grads));
    if (kind == TR_ADAMW) {
        RT_TRY(md_flat_create(model->dev, params, RT_F32, "adam m", &o.m));
        RT_TRY(md_flat_create(model->dev, params, RT_F32, "adam v", &o.v));
    }
    for (uint32_t i = 0; i < params->n_chunks; i++)
        o.n_parts += op_sumsq_parts(params->chunks[i].count);
    RT_REQUIRE(o.n_parts <= UINT32_MAX, RT_E_ARG);
    RT_TRY(rt_buf_create(model->dev, RT_F32, o.n_parts, "sums of squares", &o.parts));
    RT_TRY(rt_buf_create(model->dev, RT_F32, 1, "clip", &o.mult));
    o.host_parts = malloc(o.n_parts * sizeof(*o.host_parts));
    RT_REQUIRE(o.host_parts, RT_E_NOMEM);
    *out = o;
    o = (struct tr_optimizer){0};
done:
    tr_optimizer_destroy(&o);
    return err;
}

void tr_optimizer_destroy(struct tr_optimizer *o)
{
    md_flat_destroy(&o->grads);
    md_flat_destroy(&o->m);
    md_flat_destroy(&o->v);
    rt_buf_destroy(&o->parts);
    rt_buf_destroy(&o->mult);
    free(o->host_parts);
    *o = (struct tr_optimizer){0};
}

enum rt_err tr_grad_measure(struct tr_optimizer *o, struct rt_cmd *cmd, double max_norm,
                            double scale)
{
    enum rt_err err = RT_OK;
    uint64_t first = 0;

    for (uint32_t i = 0; i < o->grads.n; i++) {
        const uint64_t n = rt_buf_count(o->grads.chunk[i]);
        RT_TRY(op_sumsq(cmd, &(struct op_sumsq_args){.x = {o->grads.chunk[i], 0},
                                                     .n = n,
                                                     .part = o->parts,
                                                     .part_first = (uint32_t) first}));
        first += op_sumsq_parts(n);
    }
    RT_TRY(op_clip(cmd, &(struct op_clip_args){o->parts, o->n_parts, o->mult, max_norm, scale}));
    RT_TRY(rt_cmd_read(cmd, o->parts, 0, o->n_parts, RT_F32, o->host_parts));
done:
    return err;
}

double tr_grad_norm(const struct tr_optimizer *o, double scale)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < o->n_parts; i++)
        sum += (double) o->host_parts[i];
    return sqrt(sum) / scale;
}

static enum rt_err adamw(struct tr_optimizer *o, struct rt_cmd *cmd, const struct md_trained *to,
                         uint32_t chunk, uint64_t first, uint64_t n,
                         const struct op_adamw_step *step)
{
    if (n == 0)
        return RT_OK;
    return op_adamw(cmd, &(struct op_adamw_args){.grad = {o->grads.chunk[chunk], first},
                                                 .mult = o->mult,
                                                 .m = {o->m.chunk[chunk], first},
                                                 .v = {o->v.chunk[chunk], first},
                                                 .p = md_flat_master(to->work, chunk, first),
                                                 .n = n,
                                                 .step = *step});
}

static enum rt_err sgd(struct tr_optimizer *o, struct rt_cmd *cmd, const struct md_trained *to,
                       uint32_t chunk, uint64_t first, uint64_t n, const struct op_sgd_args *step)
{
    struct op_sgd_args a = *step;

    if (n == 0)
        return RT_OK;
    a.grad = (struct op_vec){o->grads.chunk[chunk], first};
    a.mult = o->mult;
    a.p = md_flat_master(to->work, chunk, first);
    a.n = n;
    return op_sgd(cmd, &a);
}

static enum rt_err sgd_step(struct tr_optimizer *o, struct rt_cmd *cmd, const struct md_trained *to,
                            const struct tr_config *c, double lr)
{
    enum rt_err err = RT_OK;
    const struct op_sgd_args plain = {.lr = (float) lr};
    struct op_sgd_args decay = plain;

    decay.weight_decay = (float) c->weight_decay;
    for (uint32_t i = 0; i < to->params->n_chunks; i++) {
        const struct md_chunk *k = &to->params->chunks[i];
        RT_TRY(sgd(o, cmd, to, i, 0, k->decay, &decay));
        RT_TRY(sgd(o, cmd, to, i, k->decay, k->count - k->decay, &plain));
    }
done:
    return err;
}

static enum rt_err adamw_step(struct tr_optimizer *o, struct rt_cmd *cmd,
                              const struct md_trained *to, const struct tr_config *c, double lr)
{
    enum rt_err err = RT_OK;
    const double t = (double) (o->t + 1);
    struct op_adamw_step decay =
                             {
                                 .decay = (float) (1.0 - lr * c->weight_decay),
                                 .beta1 = (float) c->adam_beta1,
                                 .one_minus_beta1 = (float) (1.0 - c->adam_beta1),
                                 .beta2 = (float) c->adam_beta2,
                                 .one_minus_beta2 = (float) (1.0 - c->adam_beta2),
                                 .step_size = (float) (lr / (1.0 - pow(c->adam_beta1, t))),
                                 .inv_sqrt_bc2 = (float) (1.0 / sqrt(1.0 - pow(c->adam_beta2, t))),
                                 .eps = (float) c->adam_epsilon,
                             },
                         plain = decay;

    plain.decay = 1.0f;
    for (uint32_t i = 0; i < to->params->n_chunks; i++) {
        const struct md_chunk *k = &to->params->chunks[i];
        RT_TRY(adamw(o, cmd, to, i, 0, k->decay, &decay));
        RT_TRY(adamw(o, cmd, to, i, k->decay, k->count - k->decay, &plain));
    }
done:
    return err;
}

enum rt_err tr_optimizer_step(struct tr_optimizer *o, struct rt_cmd *cmd, struct md_model *model,
                              const struct tr_config *c, double lr)
{
    enum rt_err err = RT_OK;
    const struct md_trained to = md_trained_of(model);

    if (o->kind == TR_SGD)
        RT_TRY(sgd_step(o, cmd, &to, c, lr));
    else
        RT_TRY(adamw_step(o, cmd, &to, c, lr));
    o->t++;
done:
    return err;
}
