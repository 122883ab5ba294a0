#include "src/train/run.h"

#include <stdlib.h>

#include "src/base/file.h"
#include "src/train/run_eval.h"
#include "src/train/save.h"

// ---- Opening ----------------------------------------------------------------------------------

static enum rt_err open_run(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const struct tr_config *c = r->c;
    char bytes[32];

    RT_TRY(tr_checkpoint_open(&r->own, &r->from));
    RT_TRY(dir_make(c->output_dir));
    RT_TRY(tr_session_open(c, true, &r->s));
    RT_TRY(tr_dataset_order(c, &r->s.train, c->max_steps, &r->order));
    RT_TRY(tr_checkpoint_check(r));
    RT_TRY(tr_optimizer_create(r->s.model, c->optim, &r->opt));
    RT_TRY(tr_log_open(c, r->order.total_steps, &r->log));
    RT_TRY(tr_dump_open(c->dump_dir, &r->s.train, r->s.evals, r->s.n_evals, &r->dump));
    r->scaler = tr_scaler_make(c->storage == RT_F16, c->loss_scale > 0.0 ? c->loss_scale : 65536.0);
    RT_TRY(tr_checkpoint_restore(r));
    r->flight.issued = r->at.step;
    tr_profile_open(&r->profile, c->profile, r->at.step, r->order.total_steps);
    r->epoch = ds_order_epoch(&r->order);
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
    tr_steps_drop(r);
    free(r->samples_path);
    tr_checkpoint_close(&r->from);
    tr_dump_close(&r->dump);
    tr_log_close(&r->log);
    tr_optimizer_destroy(&r->opt);
    ds_order_free(&r->order);
    tr_session_close(&r->s);
}

// ---- Running ----------------------------------------------------------------------------------

// After the last step: the last entry of the log, and the model.
static enum rt_err finish(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const struct tr_config *c = r->c;

    RT_TRY(tr_checkpoint_load_best(r));
    RT_TRY(tr_run_log_end(r));
    if (c->sync_ref_model)
        RT_TRY(tr_dump_reference(&r->dump, &r->s.model->params, &r->s.ref.copy));
    RT_TRY(
        tr_save_model(r->s.model, r->s.tok, c->model_name_or_path, c->output_dir, c->save_dtype));
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
    while (r.flight.issued < r.order.total_steps) {
        stopped = hooks && hooks->stop && *hooks->stop;
        if (stopped)
            break;
        tr_profile_begin(&r.profile, r.s.dev, r.at.step);
        RT_TRY(tr_steps_issue(&r));
        moved = true;
        if (!tr_steps_pause(&r))
            continue;
        RT_TRY(tr_steps_settle(&r));
        tr_profile_end(&r.profile, r.s.dev, r.at.step);
        if (tr_run_eval_is_due(&r))
            RT_TRY(tr_run_evaluate(&r));
        RT_TRY(tr_checkpoint_step(&r));
    }
    RT_TRY(tr_steps_settle(&r));
    RT_TRY(tr_dump_finish(&r.dump));
    RT_TRY(tr_profile_write(&r.profile, r.s.dev, c->output_dir));
    err = stopped ? stop(&r, moved) : finish(&r);
done:
    if (err != RT_OK && err != RT_E_INTERRUPTED)
        tr_checkpoint_name_last(&r); // a stop has said so
    close_run(&r);
    return err;
}
