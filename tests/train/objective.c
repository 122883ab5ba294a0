// How a micro-batch is cut into passes must not show: not in losses of single pairs, not in those
// of all of them at once.
#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/train/run.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

enum { STEPS = 3 };

struct seen {
    double loss[STEPS], norm[STEPS], margin[STEPS];
    int n;
};

static void on_log(void *user, const struct tr_entry *e)
{
    struct seen *s = user;
    if (s->n == STEPS || isnan(e->grad_norm))
        return;
    s->loss[s->n] = e->loss;
    s->norm[s->n] = e->grad_norm;
    s->margin[s->n++] = tr_metrics_get(e->metrics, TR_REWARDS_MARGINS);
}

static struct seen run(struct t *t, const struct op_loss_spec *spec, bool ld, bool weigh,
                       uint32_t pass_tokens)
{
    struct seen s = {.n = 0};
    struct tr_config c = train_config(t, RT_F32, "objective-out");
    c.per_device_train_batch_size = 5;
    c.max_steps = STEPS;
    c.pass_tokens = pass_tokens;
    c.loss = *spec;
    c.ld = ld;
    c.ld_alpha = 0.5;
    c.use_weighting = weigh;
    T_OK(tr_run(&c, &(struct tr_hooks){.on_log = on_log, .user = &s}));
    assert_int_equal(s.n, STEPS);
    return s;
}

static void cuts_alike(struct t *t, const char *what, const struct op_loss_spec *spec, bool ld,
                       bool weigh)
{
    const struct seen one = run(t, spec, ld, weigh, 1 << 20), many = run(t, spec, ld, weigh, 1);
    for (int i = 0; i < STEPS;
         i++) // gradients are added pass by pass in f32: 1e-7 of each; Adam carries it on
        if (!(fabs(one.loss[i] - many.loss[i]) <= 1e-5 * fabs(one.loss[i])) ||
            !(fabs(one.norm[i] - many.norm[i]) <= 1e-4 * one.norm[i]) || !(one.norm[i] > 0.0) ||
            !(fabs(one.margin[i] - many.margin[i]) <= 1e-4))
            fail_msg("%s on %s, step %d: loss %.9g, norm %.9g, margin %.9g in one pass, %.9g, "
                     "%.9g, %.9g pair by pair",
                     what, t_name(t), i + 1, one.loss[i], one.norm[i], one.margin[i], many.loss[i],
                     many.norm[i], many.margin[i]);
}

static void body(struct t *t)
{
    const struct op_loss_spec single = {
        .terms = {{OP_LOSS_SIGMOID, 1.0}, {OP_LOSS_IPO, 0.01}, {OP_LOSS_SFT, 0.5}}, .n_terms = 3};
    const struct op_loss_spec all = {
        .terms = {{OP_LOSS_AOT, 1.0}, {OP_LOSS_AOT_UNPAIRED, 0.5}, {OP_LOSS_SFT, 0.1}},
        .n_terms = 3,
        .label_smoothing = 0.1};
    const struct op_loss_spec tails = {.terms = {{OP_LOSS_AOT, 1.0}, {OP_LOSS_SIGMOID, 1.0}},
                                       .n_terms = 2};
    const struct op_loss_spec pairs = {.terms = {{OP_LOSS_SIGMOID, 1.0}, {OP_LOSS_BCO_PAIR, 0.5}},
                                       .n_terms = 2};
    cuts_alike(t, "sigmoid, ipo, sft", &single, false, false);
    cuts_alike(t, "aot, aot_unpaired, sft", &all, false, false);
    cuts_alike(t, "aot, sigmoid, ld_alpha", &tails, true, false);
    cuts_alike(t, "sigmoid, bco_pair, weighted", &pairs, false, true);
    cuts_alike(t, "sigmoid, ipo, sft, ld_alpha", &single, true, false);
    cuts_alike(t, "aot, aot_unpaired, sft, ld_alpha", &all, true, false);
    cuts_alike(t, "sigmoid, bco_pair, ld_alpha, weighted", &pairs, true, true);
}

int main(void)
{
    return t_each_device(body);
}
