#include "src/train/balance.h"

#include <math.h>
#include <stdlib.h>

// 0 of a model without experts, unless the option says otherwise.
static double coef_of(const struct tr_config *c, const struct md_arch *a)
{
    if (c->has_router_aux_loss_coef)
        return c->router_aux_loss_coef;
    return a->experts ? a->router_aux_loss_coef : 0.0;
}

enum rt_err tr_balance_coef(const struct tr_config *c, double *out)
{
    enum rt_err err = RT_OK;
    struct md_arch *arch = malloc(sizeof(*arch));

    *out = 0.0;
    RT_REQUIRE(arch, RT_E_NOMEM);
    RT_TRY(md_arch_read(c->model_name_or_path, arch));
    *out = coef_of(c, arch);
    if (arch->experts == 0 && fabs(*out) > 0.0)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "router_aux_loss_coef: %g, but %s is no mixture of experts: there is no "
                       "auxiliary loss to weight",
                       *out, c->model_name_or_path));
done:
    free(arch);
    return err;
}

struct tr_balance tr_balance_of(const struct tr_config *c, const struct md_model *m)
{
    const struct md_arch *a = &m->arch;
    struct tr_balance b = {.on = m->balance_sums != NULL};

    if (!b.on)
        return b;
    for (uint32_t l = 0; l < a->layers; l++)
        b.layers += (a->layer[l] & MD_LAYER_EXPERTS) != 0;
    b.experts = a->experts;
    b.coef = coef_of(c, a);
    return b;
}

double tr_balance_factor(const struct tr_balance *b, uint64_t tokens, double scale)
{
    const double n = (double) b->layers * (double) tokens;
    return b->on && tokens ? scale * b->coef * b->experts / (n * n) : 0.0;
}

double tr_balance_loss(const struct tr_balance *b, uint64_t tokens, const double *sums)
{
    const double n = (double) b->layers * (double) tokens;
    double sum = 0.0;

    for (uint32_t e = 0; b->on && tokens && e < b->experts; e++)
        sum += sums[e] / n * (sums[b->experts + e] / n);
    return b->experts * sum;
}
