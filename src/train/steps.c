#include "src/train/steps.h"

#include <math.h>

#include "src/train/run_eval.h"
#include "src/train/schedule.h"

// ---- Taking -----------------------------------------------------------------------------------

static void add_loss(struct tr_run_state *r, double loss)
{
    if (!r->c->log_nan)
        loss = tr_loss_filter(loss, r->at.loss_sum, r->at.step - r->at.steps_at_log);
    r->at.loss_sum += loss;
    r->at.loss_total += loss;
}

static enum rt_err take_job(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    struct tr_job *job = r->flight.job;
    struct tr_result result;

    r->flight.job = NULL;
    if (!job)
        goto done;
    RT_TRY(tr_objective_end(r->s.objective, job, &result));
    const struct tr_batch *b = tr_job_batch(job);
    if (!isfinite(result.loss) && !r->scaler.on)
        RT_TRY(rt_fail(RT_E_NUMERIC, "step %llu: the loss is %g (first row of the micro-batch: %u)",
                       (unsigned long long) r->at.step + 1, result.loss,
                       b->data->set.pairs[b->pairs[0]].row));
    RT_TRY(tr_dump_micro(&r->dump, r->at.step + 1, b, &result));
    tr_metrics_add(&r->metrics, &result, r->c->beta);
    r->at.pairs_since_log += b->n;
    add_loss(r, result.loss / r->flight.window);
done:
    return err;
}

static enum rt_err check_norm(const struct tr_run_state *r, double norm)
{
    if (isfinite(norm) || (r->scaler.on && r->scaler.scale >= 0x1p-14))
        return RT_OK;
    return rt_fail(RT_E_NUMERIC, "step %llu: the gradient's norm is %g%s",
                   (unsigned long long) r->at.step + 1, norm,
                   r->scaler.on ? ", and lowering the loss scale did not help" : "");
}

static enum rt_err take_update(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const struct tr_flight *f = &r->flight;
    double norm = f->norm;

    if (!f->update)
        goto done;
    RT_TRY(rt_cmd_wait(&r->flight.update));
    if (!r->scaler.on) {
        norm = tr_grad_norm(&r->opt, f->scale);
        RT_TRY(check_norm(r, norm));
    }
    r->at.loss_steps++;
    r->at.step++;
    r->epoch = f->epoch;
    r->epoch_ends = f->epoch_ends;
    RT_TRY(tr_run_log_step(r, norm, f->lr));
done:
    return err;
}

enum rt_err tr_steps_settle(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    RT_TRY(take_job(r));
    RT_TRY(take_update(r));
done:
    return err;
}

void tr_steps_drop(struct tr_run_state *r)
{
    rt_cmd_destroy(&r->flight.update);
    tr_objective_destroy(&r->s.objective);
    r->flight.job = NULL;
}

// ---- Issuing ----------------------------------------------------------------------------------

// Begin micro-batch i of a step of `window`, then take what came before it.
static enum rt_err begin(struct tr_run_state *r, uint32_t i, uint32_t window)
{
    enum rt_err err = RT_OK;
    struct tr_flight *f = &r->flight;
    struct tr_batch b = {.data = &r->s.train,
                         .number = f->issued * r->c->gradient_accumulation_steps + i};
    struct tr_job *job;

    ds_order_next(&r->order, &b.pairs, &b.n);
    RT_TRY(tr_objective_begin(r->s.objective, &b, &r->opt.grads,
                              r->scaler.scale / ((double) b.n * window), &job));
    RT_TRY(tr_steps_settle(r));
    f->job = job;
    f->window = window;
done:
    return err;
}

// fp16: wait for the gradient's norm, and change the loss scale by it.
static enum rt_err decide(struct tr_run_state *r, bool *skip)
{
    enum rt_err err = RT_OK;
    struct tr_flight *f = &r->flight;

    RT_TRY(rt_cmd_wait(&f->update));
    RT_TRY(take_job(r));
    f->norm = tr_grad_norm(&r->opt, f->scale);
    RT_TRY(check_norm(r, f->norm));
    *skip = !isfinite(f->norm);
    tr_scaler_update(&r->scaler, *skip);
    if (*skip)
        log_warn(
            "step %llu: the gradient overflowed; the step is skipped and the loss scale is now %g",
            (unsigned long long) f->issued + 1, r->scaler.scale);
    RT_TRY(rt_cmd_create(r->s.dev, &f->update));
done:
    return err;
}

// Measure, update, and whatever follows from the new weights.
static enum rt_err update(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    struct tr_flight *f = &r->flight;
    const struct tr_config *c = r->c;
    bool skip = false;

    f->scale = r->scaler.scale;
    f->lr =
        c->learning_rate * tr_schedule_factor(&c->schedule, r->at.lr_steps, r->order.total_steps);
    rt_dev_phase(r->s.dev, "update");
    RT_TRY(rt_cmd_create(r->s.dev, &f->update));
    RT_TRY(tr_grad_measure(&r->opt, f->update, c->max_grad_norm, f->scale));
    if (r->scaler.on)
        RT_TRY(decide(r, &skip));
    if (!skip) {
        RT_TRY(tr_optimizer_step(&r->opt, f->update, r->s.model, c, f->lr));
        r->at.lr_steps++;
    }
    RT_TRY(md_flat_zero(f->update, &r->opt.grads));
    if (c->sync_ref_model && (f->issued + 1) % c->ref_model_sync_steps == 0)
        RT_TRY(tr_reference_sync(&r->s.ref, f->update, r->s.model, c->ref_model_mixup_alpha));
    RT_TRY(rt_cmd_submit(f->update));
done:
    return err;
}

enum rt_err tr_steps_issue(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    struct tr_flight *f = &r->flight;
    const uint32_t window = ds_order_window(&r->order);

    for (uint32_t i = 0; i < window; i++)
        RT_TRY(begin(r, i, window));
    if (f->issued == 0)
        RT_TRY(tr_dump_grads(&r->dump, md_trained_of(r->s.model).params, &r->opt.grads,
                             1.0 / r->scaler.scale));
    RT_TRY(update(r));
    f->issued++;
    f->epoch = ds_order_epoch(&r->order);
    f->epoch_ends = r->order.micro == r->order.micro_batches;
done:
    return err;
}

bool tr_steps_pause(const struct tr_run_state *r)
{
    const uint64_t step = r->flight.issued;
    return step == r->order.total_steps || step == r->profile.switch_at || tr_run_eval_is_due(r) ||
           tr_checkpoint_is_due(r, step) ||
           (r->hooks && r->hooks->on_log && tr_run_log_is_due(r, step, r->flight.epoch_ends));
}
