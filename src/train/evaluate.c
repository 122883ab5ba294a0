#include "src/train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"

void tr_eval_loss_add(struct tr_eval_loss *s, double loss, uint32_t n)
{
    s->all += loss * n;
    s->n += n;
    if (isfinite(loss)) {
        s->sum += loss * n;
        s->finite += n;
    }
}

double tr_eval_loss_mean(const struct tr_eval_loss *s, bool keep_all)
{
    return keep_all || !s->finite ? s->all / (double) s->n : s->sum / (double) s->finite;
}

// Sums of an evaluation, and the batch whose numbers are not read yet.
struct walk {
    const struct tr_evaluate_args *a;
    struct tr_eval_loss loss;
    struct tr_evaluation e;
    struct tr_job *job; // NULL: none
};

static enum rt_err take(struct walk *w)
{
    enum rt_err err = RT_OK;
    const struct tr_evaluate_args *a = w->a;
    struct tr_job *job = w->job;
    struct tr_result r;

    w->job = NULL;
    if (!job)
        goto done;
    RT_TRY(tr_objective_end(a->objective, job, &r));
    if (a->on_batch)
        RT_TRY(a->on_batch(a->user, tr_job_batch(job), &r));
    tr_eval_loss_add(&w->loss, r.loss, r.n);
    tr_metrics_add(&w->e.metrics, &r, a->c->beta);
    w->e.batches++;
done:
    return err;
}

uint32_t tr_eval_pairs(uint32_t n, uint32_t batch, bool drop_last)
{
    return drop_last && n > batch ? n - n % batch : n;
}

enum rt_err tr_evaluate(const struct tr_evaluate_args *a, struct tr_evaluation *out)
{
    enum rt_err err = RT_OK;
    const uint32_t batch = tr_eval_batch(a->c);
    const uint32_t n = tr_eval_pairs(a->data->set.n, batch, a->c->dataloader_drop_last);
    const double start = os_seconds();
    uint32_t *pairs = malloc(batch * sizeof(*pairs));
    struct walk w = {.a = a, .e = {.name = a->data->name, .pairs = n}};
    struct tr_job *job;

    *out = (struct tr_evaluation){.name = a->data->name};
    RT_REQUIRE(pairs, RT_E_NOMEM);
    for (uint32_t i = 0, k; i < n; i += k) {
        k = u32_min(batch, n - i);
        for (uint32_t j = 0; j < k; j++)
            pairs[j] = i + j;
        const struct tr_batch b = {.data = a->data, .pairs = pairs, .n = k};
        RT_TRY(tr_objective_begin(a->objective, &b, NULL, 1.0, &job));
        RT_TRY(take(&w)); // while the device is at this one
        w.job = job;
    }
    RT_TRY(take(&w));
    w.e.metrics.num_tokens = a->num_tokens;
    w.e.loss = tr_eval_loss_mean(&w.loss, a->c->log_nan);
    w.e.runtime = os_seconds() - start;
    w.e.samples_per_s = n / w.e.runtime;
    w.e.steps_per_s = w.e.batches / w.e.runtime;
    *out = w.e;
done:
    free(pairs);
    return err;
}

bool tr_evaluation_get(const struct tr_evaluation *e, const char *key, double *out)
{
    const struct {
        const char *name;
        double value;
    } own[] = {{"loss", e->loss},
               {"runtime", e->runtime},
               {"samples_per_second", e->samples_per_s},
               {"steps_per_second", e->steps_per_s}};
    const size_t n = e->name ? strlen(e->name) : 0;

    if (n && strncmp(key, e->name, n) == 0 && key[n] == '_')
        for (size_t i = 0; i < COUNT_OF(own); i++)
            if (strcmp(key + n + 1, own[i].name) == 0) {
                *out = own[i].value;
                return true;
            }
    for (int m = 0; n && str_has_prefix(key, "eval_") && m < TR_METRIC_COUNT; m++)
        if (strcmp(key + 5, tr_metric_name((enum tr_metric) m)) == 0) {
            *out = tr_metrics_get(&e->metrics, (enum tr_metric) m);
            return true;
        }
    return false;
}
