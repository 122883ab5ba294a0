#include <math.h>

#include "src/base/file.h"
#include "src/train/run_state.h"
#include "src/train/schedule.h"

static struct tr_entry entry(struct tr_run_state *r)
{
    const double nan = (double) NAN, now = os_seconds(), span = now - r->logged_at;
    const uint64_t steps = r->at.step - r->at.steps_at_log;
    struct tr_entry e = {.loss = nan,
                         .grad_norm = nan,
                         .learning_rate = nan,
                         .train_loss = nan,
                         .train_runtime = nan,
                         .samples_per_s = nan,
                         .steps_per_s = nan,
                         .metrics = &r->metrics,
                         .epoch = r->epoch,
                         .step = r->at.step};
    e.step_time_s = steps ? span / (double) steps : nan;
    e.pairs_per_s = (double) r->at.pairs_since_log / span;
    e.tokens_per_s = (double) (r->metrics.num_tokens - r->at.tokens_at_log) / span;
    e.device_bytes = rt_dev_stats(r->s.dev).peak_bytes;
    return e;
}

static enum rt_err add_entry(struct tr_run_state *r, const struct tr_entry *e)
{
    enum rt_err err = tr_log_add(&r->log, e);
    if (r->hooks && r->hooks->on_log)
        r->hooks->on_log(r->hooks->user, e);
    r->at.loss_sum = 0.0;
    r->at.loss_steps = 0;
    tr_metrics_clear(&r->metrics);
    r->logged_at = os_seconds();
    r->at.pairs_since_log = 0;
    r->at.tokens_at_log = r->metrics.num_tokens;
    r->at.steps_at_log = r->at.step;
    return err;
}

// Say what an entry, with those before it, is a sign of.
static void advise(struct tr_run_state *r, const struct tr_entry *e)
{
    const struct tr_metrics *m = &r->metrics;
    const struct ds_set *set = &r->s.train.set;
    const double fell = -tr_metrics_get(m, TR_REWARDS_CHOSEN) / r->c->beta;
    const struct tr_signs s = {.loss = e->loss,
                               .learning_rate = e->learning_rate,
                               .chosen_fell = r->c->reference_free ? (double) NAN : fell,
                               .logps_chosen = tr_metrics_get(m, TR_LOGPS_CHOSEN),
                               .margin = tr_metrics_get(m, TR_REWARDS_MARGINS),
                               .accuracy = tr_metrics_get(m, TR_REWARDS_ACCURACIES),
                               .loss_scale = r->scaler.on ? r->scaler.scale : 0.0,
                               .truncated = (double) set->n_truncated / set->n};
    const uint32_t found = tr_diagnose(&r->diagnosis, &s);

    for (int a = 0; a < TR_ADVICE_COUNT; a++)
        if (found >> a & 1)
            log_info("step %llu: %s", (unsigned long long) r->at.step,
                     tr_advice_text((enum tr_advice) a));
}

bool tr_run_log_is_due(const struct tr_run_state *r, uint64_t step, bool epoch_ends)
{
    const struct tr_config *c = r->c;
    const uint64_t every = tr_schedule_every(c->logging_steps, r->order.total_steps);
    const bool ends = epoch_ends || step == r->order.total_steps; // the epoch, or the run within it
    return (c->logging_epochs ? ends : every && step % every == 0) ||
           (c->logging_first_step && step == 1);
}

enum rt_err tr_run_log_step(struct tr_run_state *r, double norm, double lr)
{
    struct tr_entry e = entry(r);

    if (!tr_run_log_is_due(r, r->at.step, r->epoch_ends)) {
        tr_log_progress(&r->log, r->at.step, r->at.loss_sum / (double) r->at.loss_steps,
                        tr_metrics_get(&r->metrics, TR_REWARDS_MARGINS),
                        tr_metrics_get(&r->metrics, TR_REWARDS_ACCURACIES), e.step_time_s,
                        e.tokens_per_s, e.device_bytes);
        return RT_OK;
    }
    e.loss = r->at.loss_sum / (double) r->at.loss_steps;
    e.grad_norm = norm;
    e.learning_rate = lr;
    advise(r, &e);
    return add_entry(r, &e);
}

enum rt_err tr_run_log_end(struct tr_run_state *r)
{
    struct tr_entry e = entry(r);
    if (r->s.n_evals && r->evaluated_at == r->at.step) // TRL logs with the model in its last mode
        tr_metrics_clear(&r->metrics);
    e.train_runtime = os_seconds() - r->started;
    e.samples_per_s = (double) r->at.step * r->c->per_device_train_batch_size *
                      r->c->gradient_accumulation_steps / e.train_runtime;
    e.steps_per_s = (double) r->at.step / e.train_runtime;
    e.train_loss = r->at.step ? r->at.loss_total / (double) r->at.step : 0.0;
    return add_entry(r, &e);
}

enum rt_err tr_run_log_eval(struct tr_run_state *r, const struct tr_evaluation *e)
{
    struct tr_entry x = entry(r);
    x.step_time_s = x.pairs_per_s = x.tokens_per_s = (double) NAN;
    x.metrics = &e->metrics;
    x.eval = e;
    const enum rt_err err = tr_log_add(&r->log, &x);
    if (r->hooks && r->hooks->on_log)
        r->hooks->on_log(r->hooks->user, &x);
    return err;
}
