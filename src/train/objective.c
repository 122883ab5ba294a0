#include "src/train/objective.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/rng.h"
#include "src/op/loss.h"
#include "src/op/segment.h"
#include "src/train/balance.h"
#include "src/train/job.h"
#include "src/train/limits.h"

struct tr_objective {
    const struct tr_config *c;
    struct md_model *model;
    const struct tr_reference *ref;
    const struct tr_dataset *data; // of the micro-batch
    struct ds_pack pack;
    struct op_segment *segs; // of the pass
    bool batch;              // the loss needs all passes of the micro-batch before any gradient,
    bool ranks;              // and their log-probs in order
    struct tr_balance balance;
    struct rt_buf *logp, *ref_logp, *len, *loss,
        *dlogp;                // (2P) f32, P = pairs of the pass, or of the micro-batch if `batch`
    struct rt_buf *partner;    // (2P) u32
    struct rt_buf *log_weight; // (2P) f32: WPO's; NULL: not wanted
    struct rt_buf *plain;      // (2P) f32: log-probs without ld_alpha, for sft; NULL: not wanted
    struct rt_buf *starts;     // (2P + 1) u32: whole sequences, where the pass has heads and tails
    struct rt_buf *pass_logp, *pass_dlogp; // (2P), (4P) f32, P = pairs of the pass
    uint32_t *words;                       // (6P): starts of heads and tails, or ranks
    float *logps;                          // (2P) on their way to the device
    double drop_p;                         // of the policy's forward now
    bool backs;                            // a backward follows it
    bool again;                            // it was run before
    struct tr_job jobs[TR_JOBS];
    uint32_t begun; // jobs so far
};

// Where a pass's pairs are among those that the buffers hold: pairs first .. first + n of `all`.
struct span {
    uint32_t first, n, all;
};

enum rt_err tr_objective_create(const struct tr_config *c, struct md_model *model,
                                const struct tr_reference *ref, struct tr_objective **out)
{
    enum rt_err err = RT_OK;
    struct tr_objective *o = calloc(1, sizeof(*o));
    const uint32_t seqs = model->max_seqs;

    *out = NULL;
    RT_REQUIRE(o, RT_E_NOMEM);
    o->c = c;
    o->model = model;
    o->ref = ref;
    o->segs = malloc(model->max_segments * sizeof(*o->segs));
    o->logps = malloc(seqs * sizeof(*o->logps));
    o->words = malloc((3 * (size_t) seqs + 1) * sizeof(*o->words));
    RT_REQUIRE(o->segs && o->logps && o->words, RT_E_NOMEM);
    for (uint32_t i = 0; i < c->loss.n_terms; i++)
        o->ranks = o->ranks || op_loss_needs_batch(c->loss.terms[i].type);
    o->balance = tr_balance_of(c, model);
    o->batch = o->ranks || o->balance.on;
    for (int i = 0; i < TR_JOBS && o->balance.on; i++) {
        o->jobs[i].load = malloc(2 * (size_t) o->balance.experts * sizeof(double));
        RT_REQUIRE(o->jobs[i].load, RT_E_NOMEM);
    }
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "policy log-probs", &o->logp));
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "reference log-probs", &o->ref_logp));
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "completion lengths", &o->len));
    RT_TRY(rt_buf_create(model->dev, RT_U32, seqs, "pairs of one rank", &o->partner));
    memset(o->logps, 0, seqs * sizeof(*o->logps)); // what a missing reference says
    RT_TRY(rt_buf_write(o->ref_logp, 0, seqs, RT_F32, o->logps));
    if (c->use_weighting)
        RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "log weights", &o->log_weight));
    if (c->use_weighting && c->ld)
        RT_TRY(rt_buf_create(model->dev, RT_U32, (uint64_t) seqs + 1, "starts", &o->starts));
    if (c->ld && op_loss_has(&c->loss, OP_LOSS_SFT))
        RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "plain log-probs", &o->plain));
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "losses", &o->loss));
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "log-prob gradients", &o->dlogp));
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "log-probs of a pass", &o->pass_logp));
    RT_TRY(rt_buf_create(model->dev, RT_F32, 2 * (uint64_t) seqs, "log-prob gradients of a pass",
                         &o->pass_dlogp));
    *out = o;
    o = NULL;
done:
    tr_objective_destroy(&o);
    return err;
}

void tr_objective_destroy(struct tr_objective **objective)
{
    struct tr_objective *o = *objective;
    if (!o)
        return;
    for (int i = 0; i < TR_JOBS; i++)
        tr_job_free(&o->jobs[i]); // before the buffers that they use
    struct rt_buf **const bufs[] = {&o->logp,       &o->ref_logp, &o->len,       &o->partner,
                                    &o->loss,       &o->dlogp,    &o->pass_logp, &o->pass_dlogp,
                                    &o->log_weight, &o->plain,    &o->starts};
    for (size_t i = 0; i < COUNT_OF(bufs); i++)
        rt_buf_destroy(bufs[i]);
    ds_pack_free(&o->pack);
    free(o->segs);
    free(o->words);
    free(o->logps);
    free(o);
    *objective = NULL;
}

// The rows of each sequence cut where the shorter one of its pair ends: 4n + 1 boundaries.
static const uint32_t *cut_tails(struct tr_objective *o, uint32_t n)
{
    const uint32_t *at = o->pack.seq_starts;
    for (uint32_t k = 0; k < 2 * n; k++) {
        const uint32_t other = k < n ? k + n : k - n, rows = at[k + 1] - at[k];
        o->words[2 * k] = at[k];
        o->words[2 * k + 1] = at[k] + u32_min(rows, at[other + 1] - at[other]);
    }
    o->words[4 * n] = at[2 * n];
    return o->words;
}

// What the dataset knows of the reference, to the places of the pass's pairs.
static enum rt_err give_reference(struct tr_objective *o, struct rt_cmd *cmd, const uint32_t *pairs,
                                  struct span b)
{
    enum rt_err err = RT_OK;
    const float *known = o->data->ref_logps;

    for (uint32_t side = 0; side < 2 && known; side++) {
        for (uint32_t i = 0; i < b.n; i++)
            o->logps[i] = known[(size_t) side * o->data->set.n + pairs[i]];
        RT_TRY(rt_cmd_write(cmd, o->ref_logp, (uint64_t) side * b.all + b.first, b.n, RT_F32,
                            o->logps));
    }
done:
    return err;
}

// Record: the pass's tokens and what goes with them, for the work that follows.
static enum rt_err load_pass(struct tr_objective *o, struct rt_cmd *cmd, const uint32_t *pairs,
                             struct span b)
{
    enum rt_err err = RT_OK;
    const struct ds_pack *p = &o->pack;
    const uint32_t n = b.n;

    RT_TRY(ds_pack_make(&o->data->set, pairs, n, &o->pack));
    RT_REQUIRE(p->n_segments <= o->model->max_segments, RT_E_ARG);
    for (uint32_t i = 0; i < p->n_segments; i++) {
        const struct ds_segment *s = &p->segs[i];
        o->segs[i] = (struct op_segment){.q_begin = s->begin,
                                         .q_end = s->end,
                                         .k_begin = s->begin,
                                         .row_begin = s->row_begin,
                                         .prompt_end = s->prompt_end,
                                         .seg_begin = s->begin};
    }
    RT_TRY(md_pass_write(
        o->model, cmd,
        &(struct md_batch){.n_tokens = p->n_tokens,
                           .n_segments = p->n_segments,
                           .n_rows = p->n_rows,
                           .n_seqs = (o->c->ld ? 4 : 2) * n,
                           .ids = p->ids,
                           .pos = p->pos,
                           .segs = o->segs,
                           .rows = p->rows,
                           .targets = p->targets,
                           .counts = p->counts,
                           .seq_starts = o->c->ld ? cut_tails(o, n) : p->seq_starts}));
    for (uint32_t i = 0; i < 2 * n; i++)
        o->logps[i] = (float) u32_max(p->lengths[i], 1);
    RT_TRY(rt_cmd_write(cmd, o->len, b.first, n, RT_F32, o->logps));
    RT_TRY(rt_cmd_write(cmd, o->len, (uint64_t) b.all + b.first, n, RT_F32, o->logps + n));
    if (o->starts)
        RT_TRY(rt_cmd_write(cmd, o->starts, 0, 2 * (uint64_t) n + 1, RT_U32, p->seq_starts));
    RT_TRY(give_reference(o, cmd, pairs, b));
done:
    return err;
}

// Record: log-probs of the sequences that were scored last to their places among the pairs'. With
// heads and tails, these count `tail`.
static enum rt_err put(struct tr_objective *o, struct rt_cmd *cmd, struct span b, double tail,
                       struct rt_buf *to)
{
    enum rt_err err = RT_OK;
    const struct rt_buf *logp = o->model->seq_logp;

    if (o->c->ld) {
        RT_TRY(op_loss_fold(cmd, logp, o->pass_logp, 2 * b.n, tail));
        logp = o->pass_logp;
    }
    RT_TRY(rt_cmd_copy(cmd, logp, 0, to, b.first, b.n));
    RT_TRY(rt_cmd_copy(cmd, logp, b.n, to, (uint64_t) b.all + b.first, b.n));
done:
    return err;
}

// Record a forward of the loaded pass, of the policy or the reference, and put its sequences'
// log-probs at their places.
static enum rt_err forward(struct tr_objective *o, struct rt_cmd *cmd, bool policy, struct span b)
{
    enum rt_err err = RT_OK;
    struct md_model *m = o->model;
    const struct md_weights w = policy ? md_policy(m) : tr_reference_weights(o->ref, m);

    rt_dev_phase(m->dev, policy ? "forward" : "reference");
    m->drop.p = policy ? o->drop_p : 0.0;
    m->balance = o->balance.on && policy && !o->again;
    RT_TRY(md_forward(m, cmd, w, NULL));
    m->squares = o->log_weight && policy;
    m->prepare = o->backs && policy;
    RT_TRY(md_score(m, cmd, w));
    RT_TRY(put(o, cmd, b, o->c->ld_alpha, policy ? o->logp : o->ref_logp));
    if (o->plain && policy)
        RT_TRY(put(o, cmd, b, 1.0, o->plain));
done:
    return err;
}

// Record the log weights of the pass that was forwarded last to their places among the pairs':
// means over tokens, 0 of an empty completion.
static enum rt_err weigh(struct tr_objective *o, struct rt_cmd *cmd, struct span b)
{
    enum rt_err err = RT_OK;
    const struct md_model *m = o->model;
    struct op_segment_sum_args a = {.x = m->scored,
                                    .starts = o->starts ? o->starts : m->seq_starts,
                                    .y = o->log_weight,
                                    .n_rows = o->pack.n_rows,
                                    .n_segs = b.n,
                                    .y_first = b.first,
                                    .ld = OP_LOGPROB_COLUMNS,
                                    .column = OP_LOGPROB_WEIGHT,
                                    .mean = true};

    if (!o->log_weight || o->pack.n_rows == 0)
        goto done;
    RT_TRY(op_segment_sum(cmd, &a));
    a.starts_first = b.n;
    a.y_first = b.all + b.first;
    RT_TRY(op_segment_sum(cmd, &a));
done:
    return err;
}

// What a gradient is made of: grads NULL = none is wanted.
struct aim {
    struct md_flat *grads;
    double grad_scale, sft_scale, balance;
};

static enum rt_err loss(struct tr_objective *o, struct rt_cmd *cmd, uint32_t n,
                        const struct aim *aim)
{
    rt_dev_phase(o->model->dev, "loss");
    return op_loss(cmd, &(struct op_loss_args){.spec = &o->c->loss,
                                               .logp = o->logp,
                                               .ref_logp = o->ref_logp,
                                               .len = o->len,
                                               .sft_logp = o->plain,
                                               .log_weight = o->log_weight,
                                               .partner = o->partner,
                                               .loss = o->loss,
                                               .dlogp = o->dlogp,
                                               .n_pairs = n,
                                               .beta = o->c->beta,
                                               .grad_scale = aim->grad_scale,
                                               .sft_scale = aim->sft_scale});
}

// Record the backward of the pass that was forwarded last, from its places in o->dlogp.
static enum rt_err backward(struct tr_objective *o, struct rt_cmd *cmd, struct span b,
                            const struct aim *aim)
{
    enum rt_err err = RT_OK;
    struct rt_buf *dlogp = o->pass_dlogp;
    const double plain =
        o->plain ? op_loss_sft_slope(&o->c->loss, aim->grad_scale, aim->sft_scale) : 0.0;

    if (!aim->grads)
        goto done;
    rt_dev_phase(o->model->dev, "backward");
    dlogp = o->c->ld ? o->pass_logp : o->pass_dlogp;
    RT_TRY(rt_cmd_copy(cmd, o->dlogp, b.first, dlogp, 0, b.n));
    RT_TRY(rt_cmd_copy(cmd, o->dlogp, (uint64_t) b.all + b.first, dlogp, b.n, b.n));
    if (o->c->ld)
        RT_TRY(op_loss_unfold(cmd, o->pass_logp, o->pass_dlogp, 2 * b.n, o->c->ld_alpha, plain));
    o->model->balance_factor = aim->balance;
    RT_TRY(md_backward(o->model, cmd, o->pass_dlogp, aim->grads));
done:
    return err;
}

// ---- Jobs -------------------------------------------------------------------------------------

// What the masks of dropout follow from: the same in both forwards of a pass, and after a resume.
static uint64_t drop_key(const struct tr_objective *o, const struct tr_batch *b, uint32_t first)
{
    return rng_mix(rng_mix(o->c->seed, b->number), first);
}

// Record: log-probs of the n pairs that the buffers hold, to pairs first .. first + n of a job.
static enum rt_err fetch_logps(const struct tr_objective *o, struct tr_job *j, uint32_t first,
                               uint32_t n)
{
    enum rt_err err = RT_OK;
    const size_t at = 2 * (size_t) first, count = 2 * (size_t) n;

    RT_TRY(rt_cmd_read(j->cmd, o->logp, 0, count, RT_F64, j->logps + at));
    RT_TRY(rt_cmd_read(j->cmd, o->ref_logp, 0, count, RT_F64, j->ref_logps + at));
done:
    return err;
}

static enum rt_err fetch_losses(const struct tr_objective *o, struct tr_job *j, uint32_t first,
                                uint32_t n)
{
    return rt_cmd_read(j->cmd, o->loss, 0, n, RT_F64, j->losses + first);
}

// Record pairs first .. first + n of a job as a pass: reference and policy; unless the loss must
// wait for other passes, also loss and backward; and what comes back.
static enum rt_err run_pass(struct tr_objective *o, struct tr_job *j, uint32_t first, uint32_t n,
                            const struct aim *aim)
{
    enum rt_err err = RT_OK;
    const struct span b = o->batch ? (struct span){first, n, j->batch.n} : (struct span){0, n, n};

    o->backs = aim->grads && (!o->batch || b.n == b.all); // else other passes come between
    o->model->drop.key = drop_key(o, &j->batch, first);
    RT_TRY(load_pass(o, j->cmd, j->pairs + first, b));
    float *scored = tr_job_add(j, first, n, &o->pack);
    if (!o->data->ref_logps && !o->ref->none)
        RT_TRY(forward(o, j->cmd, false, b));
    RT_TRY(forward(o, j->cmd, true, b));
    RT_TRY(rt_cmd_read(j->cmd, o->model->scored, 0, (uint64_t) o->pack.n_rows * OP_LOGPROB_COLUMNS,
                       RT_F32, scored));
    RT_TRY(weigh(o, j->cmd, b));
    if (o->batch)
        goto done;
    RT_TRY(loss(o, j->cmd, n, aim));
    RT_TRY(fetch_logps(o, j, first, n));
    RT_TRY(fetch_losses(o, j, first, n));
    RT_TRY(backward(o, j->cmd, b, aim));
done:
    return err;
}

// Wait for the log-probs of a job, and record their ranks.
static enum rt_err rank(struct tr_objective *o, struct tr_job *j)
{
    enum rt_err err = RT_OK;
    const uint32_t n = j->batch.n;
    uint32_t *partners = o->words + 2 * (size_t) n;

    RT_TRY(rt_cmd_wait(&j->cmd));
    op_loss_partners(n, j->logps, j->ref_logps, o->words, partners);
    RT_TRY(rt_cmd_create(o->model->dev, &j->cmd));
    RT_TRY(rt_cmd_write(j->cmd, o->partner, 0, 2 * (uint64_t) n, RT_U32, partners));
done:
    return err;
}

// After all passes of a micro-batch: ranks, the loss, and the backward of each pass. One pass has
// its activations still; of several, each is forwarded again.
static enum rt_err run_batch(struct tr_objective *o, struct tr_job *j, bool one, struct aim *aim)
{
    enum rt_err err = RT_OK;
    const uint32_t n = j->batch.n;

    aim->balance = tr_balance_factor(&o->balance, j->num_tokens, n * aim->grad_scale);
    if (o->balance.on)
        RT_TRY(rt_cmd_read(j->cmd, o->model->balance_sums, 0, 2 * (uint64_t) o->balance.experts,
                           RT_F64, j->load));
    RT_TRY(fetch_logps(o, j, 0, n));
    if (o->ranks)
        RT_TRY(rank(o, j));
    RT_TRY(loss(o, j->cmd, n, aim));
    RT_TRY(fetch_losses(o, j, 0, n));
    if (one)
        RT_TRY(backward(o, j->cmd, (struct span){0, n, n}, aim));
    o->backs = o->again = true;
    for (uint32_t i = 0; i < j->n_passes && !one && aim->grads; i++) {
        const struct tr_job_pass *p = &j->passes[i];
        const struct span b = {p->first, p->n, n};
        o->model->drop.key = drop_key(o, &j->batch, p->first);
        RT_TRY(load_pass(o, j->cmd, j->pairs + p->first, b));
        RT_TRY(forward(o, j->cmd, true, b));
        RT_TRY(backward(o, j->cmd, b, aim));
    }
done:
    o->again = false;
    return err;
}

// The job that is free, for a batch.
static enum rt_err take_job(struct tr_objective *o, const struct tr_batch *b, struct tr_job **out)
{
    enum rt_err err = RT_OK;
    struct tr_job *j = &o->jobs[o->begun % TR_JOBS];

    *out = NULL;
    RT_REQUIRE(!j->busy && b->n >= 1, RT_E_ARG);
    RT_TRY(tr_job_take(j, b));
    RT_TRY(rt_cmd_create(o->model->dev, &j->cmd));
    o->data = b->data;
    o->begun++;
    j->busy = true;
    j->whole = o->batch;
    *out = j;
done:
    return err;
}

static enum rt_err end_job(struct tr_job *j)
{
    enum rt_err err = RT_OK;

    RT_REQUIRE(j->busy, RT_E_ARG);
    j->busy = false;
    RT_TRY(rt_cmd_wait(&j->cmd));
done:
    return err;
}

// What was begun and failed: over.
static void give_up(struct tr_job *j)
{
    if (!j)
        return;
    rt_cmd_destroy(&j->cmd);
    j->busy = false;
}

enum rt_err tr_objective_begin(struct tr_objective *o, const struct tr_batch *b,
                               struct md_flat *grads, double grad_scale, struct tr_job **out)
{
    enum rt_err err = RT_OK;
    struct tr_job *j;
    uint32_t i = 0, k = 0;

    *out = NULL;
    RT_TRY(take_job(o, b, &j));
    struct aim aim = {grads, grad_scale, (double) b->n / u32_max(j->token_starts[b->n], 1), 0.0};
    if (o->balance.on)
        RT_TRY(rt_cmd_zero(j->cmd, o->model->balance_sums, 0, 2 * (uint64_t) o->balance.experts));
    o->drop_p = grads && o->c->lora.drop ? o->model->adapter.peft.dropout : 0.0;
    for (; i < b->n; i += k) {
        k = tr_pass_pairs(o->c, o->model, &o->data->set, j->pairs + i, b->n - i);
        RT_TRY(run_pass(o, j, i, k, &aim));
    }
    if (o->batch)
        RT_TRY(run_batch(o, j, k == b->n, &aim));
    RT_TRY(rt_cmd_submit(j->cmd));
    *out = j;
    j = NULL;
done:
    give_up(j);
    return err;
}

enum rt_err tr_objective_end(struct tr_objective *o, struct tr_job *job, struct tr_result *out)
{
    enum rt_err err = RT_OK;

    *out = (struct tr_result){0};
    RT_TRY(end_job(job));
    const double aux = tr_balance_loss(&o->balance, job->num_tokens, job->load);
    for (uint32_t i = 0; i < job->batch.n; i++)
        job->losses[i] += o->balance.coef * aux;
    tr_job_result(job, out);
    out->has_aux = o->balance.on;
    out->aux_loss = aux;
done:
    return err;
}

const struct tr_batch *tr_job_batch(const struct tr_job *job)
{
    return &job->batch;
}

enum rt_err tr_objective_begin_reference(struct tr_objective *o, const struct tr_batch *b,
                                         struct tr_job **out)
{
    enum rt_err err = RT_OK;
    struct tr_job *j;

    *out = NULL;
    RT_TRY(take_job(o, b, &j));
    for (uint32_t i = 0, k; i < b->n; i += k) {
        k = tr_pass_pairs(o->c, o->model, &o->data->set, j->pairs + i, b->n - i);
        const struct span s = {0, k, k};
        RT_TRY(load_pass(o, j->cmd, j->pairs + i, s));
        tr_job_add(j, i, k, &o->pack);
        RT_TRY(forward(o, j->cmd, false, s));
        RT_TRY(rt_cmd_read(j->cmd, o->ref_logp, 0, 2 * (uint64_t) k, RT_F64,
                           j->ref_logps + 2 * (size_t) i));
    }
    RT_TRY(rt_cmd_submit(j->cmd));
    *out = j;
    j = NULL;
done:
    give_up(j);
    return err;
}

enum rt_err tr_objective_end_reference(struct tr_objective *o, struct tr_job *job, float *chosen,
                                       float *rejected)
{
    enum rt_err err = RT_OK;

    (void) o;
    RT_TRY(end_job(job));
    tr_job_reference(job, chosen, rejected);
done:
    return err;
}
