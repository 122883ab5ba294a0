// Mixtures of experts in training: the load-balancing loss does not depend on how a micro-batch is
// cut into passes; what is not for them, or for others, is refused by name.
#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/format/json.h"
#include "tests/train/config.h"

enum { STEPS = 2 };

struct seen {
    double loss[STEPS], aux[STEPS], norm[STEPS], entropy[STEPS];
    int n;
};

static void on_log(void *user, const struct tr_entry *e)
{
    struct seen *s = user;
    if (s->n == STEPS || isnan(e->grad_norm))
        return;
    s->loss[s->n] = e->loss;
    s->norm[s->n] = e->grad_norm;
    s->aux[s->n] = tr_metrics_get(e->metrics, TR_AUX_LOSS);
    s->entropy[s->n++] = tr_metrics_get(e->metrics, TR_ENTROPY);
}

static struct tr_config moe(struct t *t)
{
    struct tr_config c = train_config(t, RT_F32, "balance-out");
    c.model_name_or_path = golden_own_path("models/moe");
    c.dataset_name = golden_own_path("runs/moe_aux/train.jsonl");
    c.per_device_train_batch_size = 5;
    c.max_steps = STEPS;
    c.has_router_aux_loss_coef = true;
    c.router_aux_loss_coef = 0.3;
    return c;
}

static struct seen run(const struct tr_config *c)
{
    struct seen s = {.n = 0};
    T_OK(tr_run(c, &(struct tr_hooks){.on_log = on_log, .user = &s}));
    assert_int_equal(s.n, STEPS);
    return s;
}

// Sums over tokens and experts in another order: 1e-6 of them; Adam carries that on.
static void cuts_alike(struct t *t, bool weigh, bool ld)
{
    struct tr_config c = moe(t);
    c.use_weighting = weigh;
    c.ld = ld;
    c.ld_alpha = 0.5;
    c.pass_tokens = 1 << 20;
    const struct seen one = run(&c);
    c.pass_tokens = 1;
    const struct seen many = run(&c);
    for (int i = 0; i < STEPS; i++)
        if (!(fabs(one.loss[i] - many.loss[i]) <= 1e-5 * fabs(one.loss[i])) ||
            !(fabs(one.aux[i] - many.aux[i]) <= 1e-5 * one.aux[i]) || !(one.aux[i] > 1.0) ||
            !(fabs(one.norm[i] - many.norm[i]) <= 1e-4 * one.norm[i]) || !(one.norm[i] > 0.0))
            fail_msg("%s, step %d: loss %.9g, aux_loss %.9g, norm %.9g in one pass, %.9g, %.9g, "
                     "%.9g pair by pair",
                     t_name(t), i + 1, one.loss[i], one.aux[i], one.norm[i], many.loss[i],
                     many.aux[i], many.norm[i]);
}

// Without the loss there is no metric; it is not among a dense model's either; nothing else of the
// first step changes.
static void off(struct t *t)
{
    struct tr_config c = moe(t);
    const struct seen on = run(&c);

    c.router_aux_loss_coef = 0.0;
    const struct seen none = run(&c);
    assert_true(isnan(none.aux[0]) && fabs(none.loss[0] - log(2.0)) < 1e-6);
    assert_true(fabs(on.loss[0] - log(2.0) - 0.3 * on.aux[0]) < 1e-6);
    assert_true(fabs(on.entropy[0] - none.entropy[0]) < 1e-6);
    c.has_router_aux_loss_coef = false; // 0.001, as config.json says
    const struct seen own = run(&c);
    assert_true(fabs(own.loss[0] - log(2.0) - 0.001 * own.aux[0]) < 1e-6);
}

static void refused(struct t *t)
{
    static const char *const TARGETS[][2] = {{"\"all-linear\"", "experts.0.gate_proj"},
                                             {"[\"q_proj\", \"down_proj\"]", "experts.0.down_proj"},
                                             {"[\"gate\"]", "mlp.gate "}};
    struct tr_config c = train_config(t, RT_F32, "balance-out");
    c.has_router_aux_loss_coef = true;
    c.router_aux_loss_coef = 0.01;
    train_refused(&c, RT_E_USAGE, "router_aux_loss_coef");
    for (size_t i = 0; i < COUNT_OF(TARGETS); i++) {
        cJSON *targets = cJSON_Parse(TARGETS[i][0]);
        c = moe(t);
        c.lora = (struct tr_lora){.use = true, .targets = targets};
        train_refused(&c, RT_E_UNSUPPORTED, TARGETS[i][1]);
        cJSON_Delete(targets);
    }
    cJSON *save = cJSON_Parse("[\"gate\"]"), *targets = cJSON_Parse("[\"q_proj\"]");
    c = moe(t);
    c.lora = (struct tr_lora){.use = true, .targets = targets, .save = save};
    train_refused(&c, RT_E_UNSUPPORTED, "mlp.gate");
    cJSON_Delete(save);
    cJSON_Delete(targets);
}

static void body(struct t *t)
{
    refused(t);
    off(t);
    cuts_alike(t, false, false);
    cuts_alike(t, true, true);
}

int main(void)
{
    return t_each_device(body);
}
