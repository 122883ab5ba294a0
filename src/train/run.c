#include "src/train/run.h"

#include <math.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/data/order.h"
#include "src/train/dump.h"
#include "src/train/optimizer.h"
#include "src/train/save.h"
#include "src/train/schedule.h"
#include "src/train/session.h"

// Everything that a run owns.
struct run {
    const struct tr_config *c;
    const struct tr_hooks *hooks;
    struct tr_session s;
    struct ds_order order;
    struct tr_optimizer opt;
    struct tr_scaler scaler;
    struct tr_metrics metrics;
    struct tr_log log;
    struct tr_dump dump;
    uint64_t step, lr_steps;     // optimizer steps done; those that moved the schedule
    double loss_sum, loss_total; // since the last log; of the run
    uint64_t loss_steps;
    double started, logged_at; // seconds
    uint64_t pairs_since_log, tokens_at_log, steps_at_log;
};

// ---- Opening ----------------------------------------------------------------------------------

static enum rt_err open_run(struct run *r)
{
    enum rt_err err = RT_OK;
    const struct tr_config *c = r->c;
    char bytes[32];

    RT_TRY(dir_make(c->output_dir));
    RT_TRY(tr_session_open(c, true, &r->s));
    RT_TRY(ds_order_make(&(struct ds_order_args){.n_pairs = r->s.set.n,
                                                 .batch = c->per_device_train_batch_size,
                                                 .accumulation = c->gradient_accumulation_steps,
                                                 .drop_last = c->dataloader_drop_last,
                                                 .sequential = c->sequential,
                                                 .seed = c->data_seed,
                                                 .epochs = c->num_train_epochs,
                                                 .max_steps = c->max_steps},
                         &r->order));
    RT_TRY(tr_optimizer_create(r->s.model, &r->opt));
    RT_TRY(tr_log_open(c, r->order.total_steps, &r->log));
    RT_TRY(tr_dump_open(c->dump_dir, &r->s.set, &r->dump));
    r->scaler = tr_scaler_make(c->storage == RT_F16, c->loss_scale > 0.0 ? c->loss_scale : 65536.0);
    log_info("%llu trained parameters in %s, %llu steps; device memory %s",
             (unsigned long long) md_trained_of(r->s.model).params->elements,
             rt_type_name(c->storage), (unsigned long long) r->order.total_steps,
             str_bytes(bytes, (double) rt_dev_stats(r->s.dev).bytes));
done:
    return err;
}

static void close_run(struct run *r)
{
    tr_dump_close(&r->dump);
    tr_log_close(&r->log);
    tr_optimizer_destroy(&r->opt);
    ds_order_free(&r->order);
    tr_session_close(&r->s);
}

// ---- Logging ----------------------------------------------------------------------------------

static struct tr_entry entry(struct run *r)
{
    const double nan = (double) NAN, now = os_seconds(), span = now - r->logged_at;
    const uint64_t steps = r->step - r->steps_at_log;
    struct tr_entry e = {.loss = nan,
                         .grad_norm = nan,
                         .learning_rate = nan,
                         .train_loss = nan,
                         .train_runtime = nan,
                         .samples_per_s = nan,
                         .steps_per_s = nan,
                         .metrics = &r->metrics,
                         .epoch = ds_order_epoch(&r->order),
                         .step = r->step};
    e.step_time_s = steps ? span / (double) steps : nan;
    e.pairs_per_s = (double) r->pairs_since_log / span;
    e.tokens_per_s = (double) (r->metrics.num_tokens - r->tokens_at_log) / span;
    e.device_bytes = rt_dev_stats(r->s.dev).peak_bytes;
    return e;
}

static enum rt_err add_entry(struct run *r, const struct tr_entry *e)
{
    enum rt_err err = tr_log_add(&r->log, e);
    if (r->hooks && r->hooks->on_log)
        r->hooks->on_log(r->hooks->user, e);
    r->loss_sum = 0.0;
    r->loss_steps = 0;
    tr_metrics_clear(&r->metrics);
    r->logged_at = os_seconds();
    r->pairs_since_log = 0;
    r->tokens_at_log = r->metrics.num_tokens;
    r->steps_at_log = r->step;
    return err;
}

static enum rt_err log_step(struct run *r, double norm, double lr)
{
    const struct tr_config *c = r->c;
    const bool due = (c->logging_steps && r->step % c->logging_steps == 0) ||
                     (c->logging_first_step && r->step == 1);
    struct tr_entry e = entry(r);

    if (!due) {
        tr_log_progress(&r->log, r->step, r->loss_sum / (double) r->loss_steps,
                        tr_metrics_get(&r->metrics, TR_REWARDS_MARGINS),
                        tr_metrics_get(&r->metrics, TR_REWARDS_ACCURACIES), e.step_time_s,
                        e.tokens_per_s, e.device_bytes);
        return RT_OK;
    }
    e.loss = r->loss_sum / (double) r->loss_steps;
    e.grad_norm = norm;
    e.learning_rate = lr;
    return add_entry(r, &e);
}

// The last entry: run time and mean loss, with the metrics of steps that no log reported.
static enum rt_err log_end(struct run *r)
{
    struct tr_entry e = entry(r);
    e.train_runtime = os_seconds() - r->started;
    e.samples_per_s = (double) r->step * r->c->per_device_train_batch_size *
                      r->c->gradient_accumulation_steps / e.train_runtime;
    e.steps_per_s = (double) r->step / e.train_runtime;
    e.train_loss = r->step ? r->loss_total / (double) r->step : 0.0;
    return add_entry(r, &e);
}

// ---- Steps ------------------------------------------------------------------------------------

// Forward and backward of one accumulation window.
static enum rt_err accumulate(struct run *r)
{
    enum rt_err err = RT_OK;
    const uint32_t window = ds_order_window(&r->order);
    struct tr_result result;

    for (uint32_t i = 0; i < window; i++) {
        const uint32_t *pairs;
        uint32_t n;
        ds_order_next(&r->order, &pairs, &n);
        RT_TRY(tr_objective_run(r->s.objective, pairs, n, &r->opt.grads,
                                r->scaler.scale / ((double) n * window), &result));
        if (!isfinite(result.loss) && !r->scaler.on)
            RT_TRY(rt_fail(
                RT_E_NUMERIC, "step %llu: the loss is %g (first row of the micro-batch: %u)",
                (unsigned long long) r->step + 1, result.loss, r->s.set.pairs[pairs[0]].row));
        RT_TRY(tr_dump_micro(&r->dump, r->step + 1, pairs, &result));
        tr_metrics_add(&r->metrics, &result, r->c->beta);
        r->pairs_since_log += n;
        if (isfinite(result.loss)) {
            r->loss_sum += result.loss / window;
            r->loss_total += result.loss / window;
        }
    }
    r->loss_steps++;
done:
    return err;
}

static enum rt_err update(struct run *r, double norm, double lr)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;
    const bool overflow = !isfinite(norm);
    const double max = r->c->max_grad_norm, clip = max > 0.0 ? fmin(1.0, max / (norm + 1e-6)) : 1.0;

    RT_TRY(rt_cmd_create(r->s.dev, &cmd));
    if (!overflow) {
        RT_TRY(tr_optimizer_step(&r->opt, cmd, r->s.model, r->c, lr, clip / r->scaler.scale));
        r->lr_steps++;
    }
    RT_TRY(md_flat_zero(cmd, &r->opt.grads));
    RT_TRY(rt_cmd_wait(&cmd));
    tr_scaler_update(&r->scaler, overflow);
    if (overflow)
        log_warn(
            "step %llu: the gradient overflowed; the step is skipped and the loss scale is now %g",
            (unsigned long long) r->step + 1, r->scaler.scale);
done:
    rt_cmd_destroy(&cmd);
    return err;
}

static enum rt_err one_step(struct run *r)
{
    enum rt_err err = RT_OK;
    const double lr =
        r->c->learning_rate * tr_schedule_factor(r->c, r->lr_steps, r->order.total_steps);
    double norm;

    RT_TRY(accumulate(r));
    if (r->step == 0)
        RT_TRY(tr_dump_grads(&r->dump, md_trained_of(r->s.model).params, &r->opt.grads,
                             1.0 / r->scaler.scale));
    RT_TRY(tr_grad_norm(&r->opt, r->s.dev, r->scaler.scale, &norm));
    if (!isfinite(norm) && (!r->scaler.on || r->scaler.scale < 0x1p-14))
        RT_TRY(rt_fail(RT_E_NUMERIC, "step %llu: the gradient's norm is %g%s",
                       (unsigned long long) r->step + 1, norm,
                       r->scaler.on ? ", and lowering the loss scale did not help" : ""));
    RT_TRY(update(r, norm, lr));
    r->step++;
    RT_TRY(log_step(r, norm, lr));
done:
    return err;
}

enum rt_err tr_run(const struct tr_config *c, const struct tr_hooks *hooks)
{
    enum rt_err err = RT_OK;
    struct run r = {.c = c, .hooks = hooks};
    bool stopped = false;

    RT_TRY(open_run(&r));
    r.started = r.logged_at = os_seconds();
    while (r.step < r.order.total_steps && !stopped) {
        RT_TRY(one_step(&r));
        stopped = hooks && hooks->stop && *hooks->stop;
    }
    RT_TRY(log_end(&r));
    RT_TRY(tr_dump_finish(&r.dump));
    RT_TRY(tr_save_model(r.s.model, c->model_name_or_path, c->output_dir, c->save_dtype));
    RT_TRY(tr_log_save_state(&r.log, r.step, ds_order_epoch(&r.order)));
    log_info("saved %s", c->output_dir);
    if (stopped)
        err = RT_E_INTERRUPTED;
done:
    close_run(&r);
    return err;
}
