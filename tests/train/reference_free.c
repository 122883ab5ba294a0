// A loss without a reference: the same numbers as with one that nothing reads, without its memory;
// rewards are beta * log-prob then.
#include <math.h>

#include "src/base/arith.h"
#include "src/train/run.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

enum { STEPS = 2 };

struct seen {
    double loss[STEPS], norm[STEPS], margin[STEPS], logps[STEPS];
    uint64_t bytes;
    int n;
};

static void on_log(void *user, const struct tr_entry *e)
{
    struct seen *s = user;
    s->bytes = e->device_bytes;
    if (s->n == STEPS || isnan(e->grad_norm))
        return;
    s->loss[s->n] = e->loss;
    s->norm[s->n] = e->grad_norm;
    s->logps[s->n] =
        tr_metrics_get(e->metrics, TR_LOGPS_CHOSEN) - tr_metrics_get(e->metrics, TR_LOGPS_REJECTED);
    s->margin[s->n++] = tr_metrics_get(e->metrics, TR_REWARDS_MARGINS);
}

static struct seen run(struct t *t, const struct op_loss_spec *spec, bool free_of_it)
{
    struct seen s = {.n = 0};
    struct tr_config c = train_config(t, RT_F32, "reference-free-out");
    c.per_device_train_batch_size = 3;
    c.gradient_accumulation_steps = 2;
    c.max_steps = STEPS;
    c.beta = 2.0;
    c.loss = *spec;
    c.reference_free = free_of_it;
    T_OK(tr_run(&c, &(struct tr_hooks){.on_log = on_log, .user = &s}));
    assert_int_equal(s.n, STEPS);
    return s;
}

static void alike(struct t *t, const char *what, const struct op_loss_spec *spec)
{
    const struct seen with = run(t, spec, false), without = run(t, spec, true);
    for (int i = 0; i < STEPS; i++) {
        if (with.loss[i] != without.loss[i] || with.norm[i] != without.norm[i])
            fail_msg("%s on %s, step %d: loss %.9g, norm %.9g with a reference, %.9g, %.9g without",
                     what, t_name(t), i + 1, with.loss[i], with.norm[i], without.loss[i],
                     without.norm[i]);
        if (!(fabs(without.margin[i] - 2.0 * without.logps[i]) <= 1e-9 * fabs(without.margin[i])))
            fail_msg("%s on %s, step %d: margin %.9g, expected beta * %.9g", what, t_name(t), i + 1,
                     without.margin[i], without.logps[i]);
    }
    if (without.bytes >= with.bytes)
        fail_msg("%s on %s: %llu bytes with a reference, %llu without", what, t_name(t),
                 (unsigned long long) with.bytes, (unsigned long long) without.bytes);
}

static void body(struct t *t)
{
    alike(t, "simpo",
          &(struct op_loss_spec){.terms = {{OP_LOSS_SIMPO, 1.0}, {OP_LOSS_SFT, 0.1}},
                                 .n_terms = 2,
                                 .simpo_gamma = 1.0});
    alike(t, "orpo", &(struct op_loss_spec){.terms = {{OP_LOSS_ORPO, 1.0}}, .n_terms = 1});
    // and with a loss that reads it: the reference's log-probs are 0
    const struct op_loss_spec dpo = {.terms = {{OP_LOSS_SIGMOID, 1.0}}, .n_terms = 1};
    const struct seen s = run(t, &dpo, true);
    if (!(fabs(s.loss[0] - log(2.0)) > 0.1))
        fail_msg("sigmoid without a reference on %s: loss %.9g", t_name(t), s.loss[0]);
}

int main(void)
{
    return t_each_device(body);
}
