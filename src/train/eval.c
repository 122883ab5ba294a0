#include "src/train/eval.h"

#include "src/base/arith.h"
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

enum rt_err tr_eval_run(const struct tr_config *c, struct tr_eval *out)
{
    enum rt_err err = RT_OK;
    struct tr_session s = {0};
    struct tr_eval e = {0};
    struct tr_result r;
    uint32_t pairs[256];

    *out = e;
    RT_TRY(tr_session_open(c, false, &s));
    for (uint32_t i = 0, n; i < s.set.n; i += n) {
        n = u32_min(u32_min(c->per_device_train_batch_size, COUNT_OF(pairs)), s.set.n - i);
        for (uint32_t k = 0; k < n; k++)
            pairs[k] = i + k;
        RT_TRY(tr_objective_run(s.objective, pairs, n, NULL, 1.0, &r));
        for (uint32_t k = 0; k < n; k++)
            add(&e, &r, k, c->beta);
    }
    e.pairs = s.set.n;
    e.dropped = s.set.n_dropped;
    double *const means[] = {&e.loss, &e.accuracy, &e.margin, &e.logp_chosen, &e.logp_rejected};
    for (size_t i = 0; i < COUNT_OF(means); i++)
        *means[i] /= e.pairs;
    *out = e;
done:
    tr_session_close(&s);
    return err;
}
