#include "src/train/eval.h"

#include "src/base/arith.h"
#include "src/train/evaluate.h"
#include "src/train/session.h"

static void add(struct tr_eval *e, const struct tr_result *r, uint32_t i, double beta)
{
    const double chosen = beta * (r->chosen_logps[i] - r->ref_chosen_logps[i]);
    const double rejected = beta * (r->rejected_logps[i] - r->ref_rejected_logps[i]);
    const double n_chosen = r->token_starts[i + 1] - r->token_starts[i];
    const double n_rejected = r->token_starts[r->n + i + 1] - r->token_starts[r->n + i];
    e->loss += r->losses[i];
    e->accuracy += chosen > rejected ? 1.0 : 0.0;
    e->margin += chosen - rejected;
    e->logp_chosen += r->chosen_logps[i];
    e->logp_rejected += r->rejected_logps[i];
    e->ranked += r->chosen_logps[i] > r->rejected_logps[i];
    e->ranked_per_token += r->chosen_logps[i] * n_rejected > r->rejected_logps[i] * n_chosen;
}

// What on_batch carries.
struct sums {
    struct tr_eval e;
    double beta;
};

static enum rt_err on_batch(void *user, const struct tr_batch *b, const struct tr_result *r)
{
    struct sums *s = user;
    for (uint32_t i = 0; i < b->n; i++)
        add(&s->e, r, i, s->beta);
    return RT_OK;
}

enum rt_err tr_eval_run(const struct tr_config *c, struct tr_eval *out)
{
    enum rt_err err = RT_OK;
    struct tr_session s = {0};
    struct sums sums = {.beta = c->beta};
    struct tr_eval *e = &sums.e;
    struct tr_evaluation all;

    *out = *e;
    RT_TRY(tr_session_open(c, false, &s));
    RT_TRY(tr_evaluate(&(struct tr_evaluate_args){.c = c,
                                                  .objective = s.objective,
                                                  .data = &s.train,
                                                  .on_batch = on_batch,
                                                  .user = &sums},
                       &all));
    e->pairs = s.train.set.n;
    e->dropped = s.train.set.n_dropped;
    double *const means[] = {&e->loss, &e->accuracy, &e->margin, &e->logp_chosen,
                             &e->logp_rejected};
    for (size_t i = 0; i < COUNT_OF(means); i++)
        *means[i] /= e->pairs;
    *out = *e;
done:
    tr_session_close(&s);
    return err;
}
