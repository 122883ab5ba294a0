#include "src/train/run.h"

#include <math.h>
#include <stdlib.h>

#include "src/base/file.h"
#include "src/train/profile.h"
#include "src/train/run_eval.h"
#include "src/train/save.h"
#include "src/train/schedule.h"

// ---- Opening ----------------------------------------------------------------------------------

static enum rt_err open_run(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const struct tr_config *c = r->c;
    char bytes[32];

    RT_TRY(tr_checkpoint_open(&r->own, &r->from));
    RT_TRY(dir_make(c->output_dir));
    RT_TRY(tr_session_open(c, true, &r->s));
    RT_TRY(ds_order_make(&(struct ds_order_args){.n_pairs = r->s.train.set.n,
                                                 .batch = c->per_device_train_batch_size,
                                                 .accumulation = c->gradient_accumulation_steps,
                                                 .drop_last = c->dataloader_drop_last,
                                                 .sequential = c->sequential,
                                                 .seed = c->data_seed,
                                                 .epochs = c->num_train_epochs,
                                                 .max_steps = c->max_steps},
                         &r->order));
    RT_TRY(tr_checkpoint_check(r));
    RT_TRY(tr_optimizer_create(r->s.model, c->optim, &r->opt));
    RT_TRY(tr_log_open(c, r->order.total_steps, &r->log));
    RT_TRY(tr_dump_open(c->dump_dir, &r->s.train, r->s.evals, r->s.n_evals, &r->dump));
    r->scaler = tr_scaler_make(c->storage == RT_F16, c->loss_scale > 0.0 ? c->loss_scale : 65536.0);
    RT_TRY(tr_checkpoint_restore(r));
    RT_TRY(path_join(c->output_dir, "samples.jsonl", &r->samples_path));
    RT_TRY(tr_samples_rewind(r->samples_path, r->at.step));
    r->started = os_seconds() - r->at.elapsed_s;
    r->logged_at = os_seconds() - r->at.since_log_s;
    log_info("%llu trained parameters in %s, %llu steps; device memory %s",
             (unsigned long long) md_trained_of(r->s.model).params->elements,
             rt_type_name(c->storage), (unsigned long long) r->order.total_steps,
             str_bytes(bytes, (double) rt_dev_stats(r->s.dev).bytes));
done:
    return err;
}

static void close_run(struct tr_run_state *r)
{
    free(r->samples_path);
    tr_checkpoint_close(&r->from);
    tr_dump_close(&r->dump);
    tr_log_close(&r->log);
    tr_optimizer_destroy(&r->opt);
    ds_order_free(&r->order);
    tr_session_close(&r->s);
}

// ---- Steps ------------------------------------------------------------------------------------

static void add_loss(struct tr_run_state *r, double loss)
{
    if (!r->c->log_nan)
        loss = tr_loss_filter(loss, r->at.loss_sum, r->at.step - r->at.steps_at_log);
    r->at.loss_sum += loss;
    r->at.loss_total += loss;
}

// Forward and backward of one accumulation window.
static enum rt_err accumulate(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const uint32_t window = ds_order_window(&r->order);
    struct tr_result result;

    for (uint32_t i = 0; i < window; i++) {
        struct tr_batch b = {.data = &r->s.train};
        b.number = r->at.step * r->c->gradient_accumulation_steps + i;
        ds_order_next(&r->order, &b.pairs, &b.n);
        RT_TRY(tr_objective_run(r->s.objective, &b, &r->opt.grads,
                                r->scaler.scale / ((double) b.n * window), &result));
        if (!isfinite(result.loss) && !r->scaler.on)
            RT_TRY(rt_fail(RT_E_NUMERIC,
                           "step %llu: the loss is %g (first row of the micro-batch: %u)",
                           (unsigned long long) r->at.step + 1, result.loss,
                           b.data->set.pairs[b.pairs[0]].row));
        RT_TRY(tr_dump_micro(&r->dump, r->at.step + 1, &b, &result));
        tr_metrics_add(&r->metrics, &result, r->c->beta);
        r->at.pairs_since_log += b.n;
        add_loss(r, result.loss / window);
    }
    r->at.loss_steps++;
done:
    return err;
}

static enum rt_err update(struct tr_run_state *r, double norm, double lr)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;
    const bool overflow = !isfinite(norm);

    RT_TRY(rt_cmd_create(r->s.dev, &cmd));
    if (!overflow) {
        RT_TRY(tr_optimizer_step(&r->opt, cmd, r->s.model, r->c, lr));
        r->at.lr_steps++;
    }
    RT_TRY(md_flat_zero(cmd, &r->opt.grads));
    RT_TRY(rt_cmd_wait(&cmd));
    tr_scaler_update(&r->scaler, overflow);
    if (overflow)
        log_warn(
            "step %llu: the gradient overflowed; the step is skipped and the loss scale is now %g",
            (unsigned long long) r->at.step + 1, r->scaler.scale);
done:
    rt_cmd_destroy(&cmd);
    return err;
}

// sync_ref_model: after the update, before anything looks at the reference.
static enum rt_err sync_reference(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    if (!r->c->sync_ref_model || r->at.step % r->c->ref_model_sync_steps != 0)
        goto done;
    RT_TRY(rt_cmd_create(r->s.dev, &cmd));
    RT_TRY(tr_reference_sync(&r->s.ref, cmd, r->s.model, r->c->ref_model_mixup_alpha));
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

static enum rt_err one_step(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const double lr = r->c->learning_rate *
                      tr_schedule_factor(&r->c->schedule, r->at.lr_steps, r->order.total_steps);
    struct rt_cmd *cmd = NULL;
    double norm;

    RT_TRY(accumulate(r));
    if (r->at.step == 0)
        RT_TRY(tr_dump_grads(&r->dump, md_trained_of(r->s.model).params, &r->opt.grads,
                             1.0 / r->scaler.scale));
    rt_dev_phase(r->s.dev, "update");
    RT_TRY(rt_cmd_create(r->s.dev, &cmd));
    RT_TRY(tr_grad_measure(&r->opt, cmd, r->c->max_grad_norm, r->scaler.scale));
    RT_TRY(rt_cmd_wait(&cmd));
    norm = tr_grad_norm(&r->opt, r->scaler.scale);
    if (!isfinite(norm) && (!r->scaler.on || r->scaler.scale < 0x1p-14))
        RT_TRY(rt_fail(RT_E_NUMERIC, "step %llu: the gradient's norm is %g%s",
                       (unsigned long long) r->at.step + 1, norm,
                       r->scaler.on ? ", and lowering the loss scale did not help" : ""));
    RT_TRY(update(r, norm, lr));
    r->at.step++;
    RT_TRY(sync_reference(r));
    RT_TRY(tr_run_log_step(r, norm, lr));
    RT_TRY(tr_run_evaluate_if_due(r));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

// After the last step: the last entry of the log, and the model.
static enum rt_err finish(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const struct tr_config *c = r->c;

    RT_TRY(tr_checkpoint_load_best(r));
    RT_TRY(tr_run_log_end(r));
    if (c->sync_ref_model)
        RT_TRY(tr_dump_reference(&r->dump, &r->s.model->params, &r->s.ref.copy));
    RT_TRY(tr_save_model(r->s.model, c->model_name_or_path, c->output_dir, c->save_dtype));
    RT_TRY(tr_log_save_state(&r->log, c->output_dir, r->at.step, ds_order_epoch(&r->order)));
    log_info("saved %s", c->output_dir);
done:
    return err;
}

// Stopped between steps: a checkpoint instead, if there is anything new to keep.
static enum rt_err stop(struct tr_run_state *r, bool moved)
{
    enum rt_err err = RT_OK;

    if (moved)
        RT_TRY(tr_checkpoint_stop(r));
    log_info("stopped after %llu of %llu steps", (unsigned long long) r->at.step,
             (unsigned long long) r->order.total_steps);
    tr_checkpoint_name_last(r);
    err = RT_E_INTERRUPTED;
done:
    return err;
}

enum rt_err tr_run(const struct tr_config *c, const struct tr_hooks *hooks)
{
    enum rt_err err = RT_OK;
    struct tr_run_state r = {.own = *c, .hooks = hooks};
    bool stopped = false, moved = false;

    r.c = &r.own;
    RT_TRY(open_run(&r));
    if (c->eval_on_start && r.at.step == 0)
        RT_TRY(tr_run_evaluate(&r));
    while (r.at.step < r.order.total_steps) {
        stopped = hooks && hooks->stop && *hooks->stop;
        if (stopped)
            break;
        RT_TRY(one_step(&r));
        RT_TRY(tr_checkpoint_step(&r));
        moved = true;
    }
    RT_TRY(tr_dump_finish(&r.dump));
    RT_TRY(tr_profile_write(r.s.dev, c->output_dir));
    err = stopped ? stop(&r, moved) : finish(&r);
done:
    if (err != RT_OK && err != RT_E_INTERRUPTED)
        tr_checkpoint_name_last(&r); // a stop has said so
    close_run(&r);
    return err;
}
