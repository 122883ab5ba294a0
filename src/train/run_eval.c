#include "src/train/run_eval.h"

#include "src/base/file.h"

bool tr_eval_due(const struct tr_config *c, const struct tr_eval_clock *at)
{
    const uint64_t every =
        tr_schedule_every(c->eval_steps > 0.0 ? c->eval_steps : c->logging_steps, at->total_steps);
    if (c->eval_strategy == TR_EVAL_EPOCH)
        return at->epoch_end && c->eval_delay <= at->epoch;
    return c->eval_strategy == TR_EVAL_STEPS && c->eval_delay <= (double) at->step &&
           ((every && at->step % every == 0) || at->step == at->total_steps);
}

static enum rt_err on_batch(void *user, const struct tr_batch *b, const struct tr_result *r)
{
    struct tr_run_state *run = user;
    return tr_dump_eval(&run->dump, run->at.step, b, r);
}

enum rt_err tr_run_evaluate(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const double start = os_seconds();

    for (uint32_t i = 0; i < r->s.n_evals; i++) {
        RT_TRY(tr_evaluate(&(struct tr_evaluate_args){.c = r->c,
                                                      .objective = r->s.objective,
                                                      .data = &r->s.evals[i],
                                                      .num_tokens = r->metrics.num_tokens,
                                                      .on_batch = on_batch,
                                                      .user = r},
                           &r->evaluations[i]));
        RT_TRY(tr_run_log_eval(r, &r->evaluations[i]));
    }
    r->evaluated_at = r->at.step;
    RT_TRY(tr_samples_run(&r->s.samples, r->s.model, r->s.tok, r->at.step, r->samples_path));
done:
    r->logged_at += os_seconds() - start; // not a part of the steps' time
    return err;
}

bool tr_run_eval_is_due(const struct tr_run_state *r)
{
    const struct tr_flight *f = &r->flight;
    const struct tr_eval_clock at = {.step = f->issued,
                                     .total_steps = r->order.total_steps,
                                     .epoch = f->epoch,
                                     .epoch_end =
                                         f->epoch_ends || f->issued == r->order.total_steps};
    return tr_eval_due(r->c, &at);
}

bool tr_run_eval_metric(const struct tr_run_state *r, const char *key, double *out)
{
    bool found = false;
    for (uint32_t i = 0; i < r->s.n_evals; i++) // of several the last one's, as in HF's dictionary
        found = tr_evaluation_get(&r->evaluations[i], key, out) || found;
    return found;
}
