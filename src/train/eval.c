#include "src/train/eval.h"

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/train/evaluate.h"
#include "src/train/session.h"

// One pair.
struct pair {
    double logps[4]; // chosen, rejected, reference's chosen, rejected; nats
    double rewards[2], loss;
    uint32_t scored[2], tokens[2]; // tokens with a log-prob; all, chosen and rejected
    uint32_t row;
};

static struct pair pair_of(const struct tr_batch *b, const struct tr_result *r, uint32_t i,
                           double beta)
{
    const struct ds_set *set = &b->data->set;
    struct pair p = {.logps = {r->chosen_logps[i], r->rejected_logps[i], r->ref_chosen_logps[i],
                               r->ref_rejected_logps[i]},
                     .loss = r->losses[i],
                     .row = set->pairs[b->pairs[i]].row};
    for (uint32_t side = 0; side < 2; side++) {
        const uint32_t *at = r->token_starts + side * r->n + i;
        p.rewards[side] = beta * (p.logps[side] - p.logps[2 + side]);
        p.scored[side] = at[1] - at[0];
        p.tokens[side] = ds_sequence_of(set, b->pairs[i], side == 0).n_completion;
    }
    return p;
}

static void add(struct tr_eval *e, const struct pair *p)
{
    e->loss += p->loss;
    e->accuracy += p->rewards[0] > p->rewards[1] ? 1.0 : 0.0;
    e->margin += p->rewards[0] - p->rewards[1];
    e->logp_chosen += p->logps[0];
    e->logp_rejected += p->logps[1];
    e->ranked += p->logps[0] > p->logps[1];
    e->ranked_per_token += p->logps[0] * p->scored[1] > p->logps[1] * p->scored[0];
}

static enum rt_err write_pair(struct file_out *f, const char *set, const struct pair *p)
{
    enum rt_err err = RT_OK;
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"chosen_logp", p->logps[0]},
                   {"rejected_logp", p->logps[1]},
                   {"ref_chosen_logp", p->logps[2]},
                   {"ref_rejected_logp", p->logps[3]},
                   {"chosen_reward", p->rewards[0]},
                   {"rejected_reward", p->rewards[1]},
                   {"margin", p->rewards[0] - p->rewards[1]},
                   {"loss", p->loss}};
    struct str s = {0};
    struct fmt_jw w = {.out = &s};

    fmt_jw_object(&w);
    fmt_jw_put_str(&w, "set", set);
    fmt_jw_put_int(&w, "row", p->row);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        fmt_jw_put_num(&w, numbers[i].key, numbers[i].value);
    }
    fmt_jw_put_int(&w, "chosen_tokens", p->tokens[0]);
    fmt_jw_put_int(&w, "rejected_tokens", p->tokens[1]);
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(str_putc(&s, '\n'));
    RT_TRY(file_out_write(f, s.data, s.len));
done:
    str_free(&s);
    return err;
}

// What on_batch carries.
struct sums {
    struct tr_eval e;
    const char *name;
    struct file_out *rows; // NULL: not wanted
    double beta;
};

static enum rt_err on_batch(void *user, const struct tr_batch *b, const struct tr_result *r)
{
    enum rt_err err = RT_OK;
    struct sums *s = user;

    for (uint32_t i = 0; i < b->n; i++) {
        const struct pair p = pair_of(b, r, i, s->beta);
        add(&s->e, &p);
        if (s->rows)
            RT_TRY(write_pair(s->rows, s->name, &p));
    }
done:
    return err;
}

static enum rt_err run_file(const struct tr_config *c, const struct tr_session *s,
                            const struct tr_dataset *d, struct file_out *rows, struct tr_eval *out)
{
    enum rt_err err = RT_OK;
    struct sums sums = {.beta = c->beta, .name = d->name, .rows = rows};
    struct tr_eval *e = &sums.e;
    struct tr_evaluation all;

    *out = *e;
    RT_TRY(tr_evaluate(
        &(struct tr_evaluate_args){
            .c = c, .objective = s->objective, .data = d, .on_batch = on_batch, .user = &sums},
        &all));
    e->pairs = d->set.n;
    e->dropped = d->set.n_dropped;
    double *const means[] = {&e->loss, &e->accuracy, &e->margin, &e->logp_chosen,
                             &e->logp_rejected};
    for (size_t i = 0; i < COUNT_OF(means); i++)
        *means[i] /= e->pairs;
    *out = *e;
done:
    return err;
}

enum rt_err tr_eval_run(const struct tr_config *c, tr_eval_fn *on_file, void *user)
{
    enum rt_err err = RT_OK;
    struct tr_session s = {0};
    struct file_out rows = {0};
    struct tr_eval e;

    RT_TRY(tr_session_open(c, false, &s));
    if (c->per_row)
        RT_TRY(file_out_open(c->per_row, &rows));
    for (uint32_t i = 0; i < tr_session_datasets(&s); i++) {
        struct tr_dataset *d = tr_session_dataset(&s, i);
        RT_TRY(run_file(c, &s, d, c->per_row ? &rows : NULL, &e));
        on_file(user, d->name, &e);
    }
    if (c->per_row)
        RT_TRY(file_out_commit(&rows));
done:
    file_out_close(&rows);
    tr_session_close(&s);
    return err;
}
