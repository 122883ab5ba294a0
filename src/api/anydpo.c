#include "anydpo.h"

#include <math.h>
#include <stdlib.h>

#include "src/api/job.h"
#include "src/base/log.h"
#include "src/train/estimate.h"
#include "src/train/eval.h"
#include "src/train/bench.h"
#include "src/train/plan.h"
#include "src/train/run.h"

struct anydpo_job {
    struct options options;
    anydpo_metrics_fn *on_metrics;
    void *user;
    volatile int stop;
};

struct options *api_job_options(struct anydpo_job *job)
{
    return &job->options;
}

static enum anydpo_status status_of(enum rt_err err)
{
    return err == RT_OK              ? ANYDPO_OK
           : err == RT_E_USAGE       ? ANYDPO_USAGE
           : err == RT_E_INTERRUPTED ? ANYDPO_STOPPED
                                     : ANYDPO_FAILED;
}

// The log's sink takes our enum; the public one takes an int.
static struct {
    anydpo_log_fn *fn;
    void *user;
} g_sink; // part of the log sink: set once

static void to_public(void *user, enum log_level level, const char *line)
{
    (void) user;
    if (level <= LOG_INFO)
        g_sink.fn(g_sink.user, (int) level, line);
}

void anydpo_set_log(anydpo_log_fn *fn, void *user)
{
    g_sink.fn = fn;
    g_sink.user = user;
    log_set_sink(fn ? to_public : NULL, NULL);
}

enum anydpo_status anydpo_job_create(struct anydpo_job **out)
{
    enum rt_err err = RT_OK;
    struct anydpo_job *job = calloc(1, sizeof(*job));

    *out = NULL;
    if (!job)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: a job"));
    RT_TRY(options_create(&job->options));
    *out = job;
    job = NULL;
done:
    free(job);
    return status_of(err);
}

void anydpo_job_destroy(struct anydpo_job **job)
{
    if (*job)
        options_destroy(&(*job)->options);
    free(*job);
    *job = NULL;
}

enum anydpo_status anydpo_set(struct anydpo_job *job, const char *name, const char *value)
{
    return status_of(options_set_text(&job->options, name, value, "option"));
}

enum anydpo_status anydpo_load(struct anydpo_job *job, const char *path)
{
    return status_of(options_load(&job->options, path));
}

void anydpo_on_metrics(struct anydpo_job *job, anydpo_metrics_fn *fn, void *user)
{
    job->on_metrics = fn;
    job->user = user;
}

static void forward(void *user, const struct tr_entry *e)
{
    const struct anydpo_job *job = user;
    const struct tr_metrics *m = e->metrics;
    const struct anydpo_metrics out = {.step = e->step,
                                       .epoch = e->epoch,
                                       .loss = e->loss,
                                       .grad_norm = e->grad_norm,
                                       .learning_rate = e->learning_rate,
                                       .rewards_chosen = tr_metrics_get(m, TR_REWARDS_CHOSEN),
                                       .rewards_rejected = tr_metrics_get(m, TR_REWARDS_REJECTED),
                                       .rewards_accuracies =
                                           tr_metrics_get(m, TR_REWARDS_ACCURACIES),
                                       .rewards_margins = tr_metrics_get(m, TR_REWARDS_MARGINS),
                                       .logps_chosen = tr_metrics_get(m, TR_LOGPS_CHOSEN),
                                       .logps_rejected = tr_metrics_get(m, TR_LOGPS_REJECTED),
                                       .train_loss = e->train_loss,
                                       .train_runtime = e->train_runtime,
                                       .eval = e->eval ? e->eval->name : NULL,
                                       .eval_loss = e->eval ? e->eval->loss : (double) NAN};
    job->on_metrics(job->user, &out);
}

enum anydpo_status anydpo_train(struct anydpo_job *job)
{
    enum rt_err err = RT_OK;
    struct tr_config config;
    struct str text = {0};
    const struct tr_hooks hooks = {
        .on_log = job->on_metrics ? forward : NULL, .user = job, .stop = &job->stop};

    RT_TRY(options_find(&job->options));
    RT_TRY(options_resolve(&job->options, true, &config));
    RT_TRY(options_print(&job->options, &text));
    config.options = text.data;
    RT_TRY(tr_run(&config, &hooks));
done:
    job->stop = 0; // a stop holds for one run, also when it came before the run began
    str_free(&text);
    return status_of(err);
}

enum anydpo_status anydpo_plan(struct anydpo_job *job, anydpo_plan_fn *row, void *user,
                               struct anydpo_plan *out)
{
    enum rt_err err = RT_OK;
    struct tr_config config;
    struct tr_plan p;
    struct tr_estimate e;

    *out = (struct anydpo_plan){0};
    RT_TRY(options_resolve(&job->options, false, &config));
    RT_TRY(tr_plan_run(&config, &p, &e));
    for (uint32_t i = 0; i < p.n_rows; i++)
        row(user, &(struct anydpo_plan_row){p.rows[i].group, p.rows[i].name, p.rows[i].bytes,
                                            p.rows[i].buffers});
    for (uint32_t i = 0; i < p.n_helps; i++)
        row(user, &(struct anydpo_plan_row){"saves", p.helps[i].option, p.helps[i].saves, 0});
    *out = (struct anydpo_plan){.bytes = p.bytes,
                                .limit = p.limit,
                                .max_tokens = p.max_tokens,
                                .max_rows = p.max_rows,
                                .head = p.head};
    out->steps = e.steps;
    out->step_flops = e.step_flops;
    out->step_s = e.step_s;
    out->run_s = e.run_s;
    memcpy(out->recomputed, p.recomputed, sizeof(out->recomputed));
done:
    return status_of(err);
}

// Who gets each file's result.
struct receiver {
    anydpo_eval_fn *fn;
    void *user;
};

static void hand_over(void *user, const char *name, const struct tr_eval *e)
{
    const struct receiver *r = user;
    const struct anydpo_eval out = {.pairs = e->pairs,
                                    .dropped = e->dropped,
                                    .ranked = e->ranked,
                                    .ranked_per_token = e->ranked_per_token,
                                    .loss = e->loss,
                                    .rewards_accuracies = e->accuracy,
                                    .rewards_margins = e->margin,
                                    .logps_chosen = e->logp_chosen,
                                    .logps_rejected = e->logp_rejected};
    r->fn(r->user, name, &out);
}

enum anydpo_status anydpo_evaluate_each(struct anydpo_job *job, anydpo_eval_fn *fn, void *user)
{
    enum rt_err err = RT_OK;
    struct receiver to = {fn, user};
    struct tr_config config;

    RT_TRY(options_find(&job->options));
    RT_TRY(options_resolve(&job->options, false, &config));
    RT_TRY(tr_eval_run(&config, hand_over, &to));
done:
    return status_of(err);
}

static void keep(void *user, const char *name, const struct anydpo_eval *eval)
{
    (void) name;
    *(struct anydpo_eval *) user = *eval;
}

enum anydpo_status anydpo_bench_step(struct anydpo_job *job, uint32_t steps,
                                     struct anydpo_step *out)
{
    enum rt_err err = RT_OK;
    struct tr_config config;
    struct tr_bench b;

    *out = (struct anydpo_step){0};
    RT_TRY(options_resolve(&job->options, false, &config));
    RT_TRY(tr_bench_step(&config, steps, &b));
    *out = (struct anydpo_step){.steps = b.steps,
                                .seconds = b.seconds,
                                .pairs_per_s = b.pairs_per_s,
                                .tokens_per_s = b.tokens_per_s,
                                .useful_gflops = b.useful_gflops,
                                .matmul_gflops = b.matmul_gflops,
                                .storage = rt_type_name(config.storage),
                                .device = config.device};
done:
    return status_of(err);
}

enum anydpo_status anydpo_evaluate(struct anydpo_job *job, struct anydpo_eval *out)
{
    *out = (struct anydpo_eval){0};
    return anydpo_evaluate_each(job, keep, out);
}

void anydpo_stop(struct anydpo_job *job)
{
    job->stop = 1;
}

const char *anydpo_version(void)
{
    return "0.1.0";
}
