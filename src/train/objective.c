#include "src/train/objective.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/rng.h"
#include "src/op/loss.h"
#include "src/op/segment.h"

struct tr_objective {
    const struct tr_config *c;
    struct md_model *model;
    const struct tr_reference *ref;
    const struct tr_dataset *data; // of the micro-batch
    struct ds_pack pack;
    struct op_segment *segs; // of the pass
    bool batch;              // the loss needs all log-probs of the micro-batch before any gradient
    struct rt_buf *logp, *ref_logp, *len, *loss,
        *dlogp;                // (2P) f32, P = pairs of the pass, or of the micro-batch if `batch`
    struct rt_buf *partner;    // (2P) u32
    struct rt_buf *log_weight; // (2P) f32: WPO's; NULL: not wanted
    struct rt_buf *plain;      // (2P) f32: log-probs without ld_alpha, for sft; NULL: not wanted
    struct rt_buf *starts;     // (2P + 1) u32: whole sequences, where the pass has heads and tails
    struct rt_buf *pass_logp, *pass_dlogp; // (2P), (4P) f32, P = pairs of the pass
    uint32_t *words;                       // (6P): starts of heads and tails, or ranks
    float *scored;                         // (rows of the largest pass, columns)
    float *logps;                          // (2P) on their way to or from the device
    double drop_p;                         // of the policy's forward now
    bool backs;                            // a backward follows it
    // Of the micro-batch, P' = its pairs
    double *values; // (5 P'): chosen, rejected, ref chosen, ref rejected, loss
    float *token_logps;
    uint32_t *token_starts;
    uint32_t cap_pairs, cap_tokens;
};

// Where a pass's pairs are among those that the buffers hold: pairs first .. first + n of `all`.
struct span {
    uint32_t first, n, all;
};

static uint32_t pass_tokens(const struct tr_config *c)
{
    return c->pass_tokens ? c->pass_tokens : 1024;
}

// A pass takes pairs while it stays within the budget and what the model has room for (other sets
// than the first may come in larger batches); one pair alone may exceed the budget.
static uint32_t pass_pairs(const struct tr_objective *o, const uint32_t *pairs, uint32_t n)
{
    const struct md_model *m = o->model;
    const uint32_t most = u32_min(pass_tokens(o->c), m->max_tokens);
    uint64_t tokens = 0, rows = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct ds_pack_size s = ds_pack_measure(&o->data->set, pairs[i]);
        tokens += s.tokens;
        rows += s.rows;
        if (i > 0 && (tokens > most || rows > m->max_rows))
            return i;
    }
    return n;
}

void tr_limits(const struct tr_config *c, const struct ds_set *set, uint32_t batch,
               struct md_model_desc *d)
{
    struct ds_pack_size most = {.tokens = 1, .positions = 1};

    batch = u32_min(batch, set->n);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct ds_pack_size s = ds_pack_measure(set, i);
        most.tokens = u32_max(most.tokens, s.tokens);
        most.rows = u32_max(most.rows, s.rows);
        most.positions = u32_max(most.positions, s.positions);
    }
    if (d->max_tokens == 0) { // many short pairs fill the budget, or one long pair exceeds it
        const uint64_t fill = u64_min(pass_tokens(c), (uint64_t) batch * most.tokens);
        d->max_tokens = (uint32_t) u64_max(most.tokens, fill);
        d->max_rows =
            (uint32_t) u64_min((uint64_t) batch * most.rows, d->max_tokens + 2 * (uint64_t) batch);
    }
    d->max_tokens = u32_max(d->max_tokens, most.tokens);
    d->max_rows = u32_max(d->max_rows, most.rows);
    d->max_seqs = u32_max(d->max_seqs, (c->ld ? 4 : 2) * batch); // heads and tails
    d->max_segments = u32_max(d->max_segments, 4 * batch);
    d->max_positions = u32_max(d->max_positions, most.positions);
}

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
    o->scored = malloc((size_t) model->max_rows * OP_LOGPROB_COLUMNS * sizeof(*o->scored));
    o->logps = malloc(seqs * sizeof(*o->logps));
    o->words = malloc((3 * (size_t) seqs + 1) * sizeof(*o->words));
    RT_REQUIRE(o->segs && o->scored && o->logps && o->words, RT_E_NOMEM);
    for (uint32_t i = 0; i < c->loss.n_terms; i++)
        o->batch = o->batch || op_loss_needs_batch(c->loss.terms[i].type);
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
    struct rt_buf **const bufs[] = {&o->logp,       &o->ref_logp, &o->len,       &o->partner,
                                    &o->loss,       &o->dlogp,    &o->pass_logp, &o->pass_dlogp,
                                    &o->log_weight, &o->plain,    &o->starts};
    for (size_t i = 0; i < COUNT_OF(bufs); i++)
        rt_buf_destroy(bufs[i]);
    ds_pack_free(&o->pack);
    free(o->segs);
    free(o->words);
    free(o->scored);
    free(o->logps);
    free(o->values);
    free(o->token_logps);
    free(o->token_starts);
    free(o);
    *objective = NULL;
}

static enum rt_err reserve(struct tr_objective *o, const uint32_t *pairs, uint32_t n)
{
    uint64_t tokens = 1;
    for (uint32_t i = 0; i < n; i++)
        tokens += ds_pack_measure(&o->data->set, pairs[i]).rows;
    if (n > o->cap_pairs) {
        free(o->values);
        free(o->token_starts);
        o->values = malloc(5 * (size_t) n * sizeof(*o->values));
        o->token_starts = malloc((2 * (size_t) n + 1) * sizeof(*o->token_starts));
        o->cap_pairs = n;
    }
    if (tokens > o->cap_tokens) {
        free(o->token_logps);
        o->token_logps = malloc(tokens * sizeof(*o->token_logps));
        o->cap_tokens = (uint32_t) tokens;
    }
    if (o->values && o->token_starts && o->token_logps)
        return RT_OK;
    o->cap_pairs = o->cap_tokens = 0;
    return rt_fail(RT_E_NOMEM, "out of memory: results of %u pairs", n);
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
static enum rt_err give_reference(struct tr_objective *o, const uint32_t *pairs, struct span b)
{
    enum rt_err err = RT_OK;
    const float *known = o->data->ref_logps;

    for (uint32_t side = 0; side < 2 && known; side++) {
        for (uint32_t i = 0; i < b.n; i++)
            o->logps[i] = known[(size_t) side * o->data->set.n + pairs[i]];
        RT_TRY(rt_buf_write(o->ref_logp, (uint64_t) side * b.all + b.first, b.n, RT_F32, o->logps));
    }
done:
    return err;
}

static enum rt_err load_pass(struct tr_objective *o, const uint32_t *pairs, struct span b)
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
    RT_TRY(md_pass_load(
        o->model, &(struct md_batch){.n_tokens = p->n_tokens,
                                     .n_segments = p->n_segments,
                                     .n_rows = p->n_rows,
                                     .n_seqs = (o->c->ld ? 4 : 2) * n,
                                     .ids = p->ids,
                                     .pos = p->pos,
                                     .segs = o->segs,
                                     .rows = p->rows,
                                     .targets = p->targets,
                                     .seq_starts = o->c->ld ? cut_tails(o, n) : p->seq_starts}));
    for (uint32_t i = 0; i < 2 * n; i++)
        o->logps[i] = (float) u32_max(p->lengths[i], 1);
    RT_TRY(rt_buf_write(o->len, b.first, n, RT_F32, o->logps));
    RT_TRY(rt_buf_write(o->len, (uint64_t) b.all + b.first, n, RT_F32, o->logps + n));
    if (o->starts)
        RT_TRY(rt_buf_write(o->starts, 0, 2 * (uint64_t) n + 1, RT_U32, p->seq_starts));
    RT_TRY(give_reference(o, pairs, b));
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
    RT_TRY(md_forward(m, cmd, w, NULL));
    m->squares = o->log_weight && policy;
    m->sweep = o->backs && policy;
    RT_TRY(md_score(m, cmd, w));
    RT_TRY(put(o, cmd, b, o->c->ld_alpha, policy ? o->logp : o->ref_logp));
    if (o->plain && policy)
        RT_TRY(put(o, cmd, b, 1.0, o->plain));
done:
    return err;
}

// Record the log weights of the pass that was forwarded last: means over tokens, 0 of an empty
// completion.
static enum rt_err weigh(struct tr_objective *o, struct rt_cmd *cmd, uint32_t n)
{
    const struct md_model *m = o->model;
    if (!o->log_weight || o->pack.n_rows == 0)
        return RT_OK;
    return op_segment_sum(
        cmd, &(struct op_segment_sum_args){.x = m->scored,
                                           .starts = o->starts ? o->starts : m->seq_starts,
                                           .y = o->log_weight,
                                           .n_rows = o->pack.n_rows,
                                           .n_segs = 2 * n,
                                           .ld = OP_LOGPROB_COLUMNS,
                                           .column = OP_LOGPROB_WEIGHT,
                                           .mean = true});
}

// What a gradient is made of: grads NULL = none is wanted.
struct aim {
    struct md_flat *grads;
    double grad_scale, sft_scale;
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
    RT_TRY(md_backward(o->model, cmd, o->pass_dlogp, aim->grads));
done:
    return err;
}

// Run the loaded pass: reference and policy; unless the loss must wait for other passes, also loss
// and backward.
static enum rt_err run_pass(struct tr_objective *o, struct span b, const struct aim *aim)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    o->backs = aim->grads && (!o->batch || b.n == b.all); // else other passes come between
    RT_TRY(rt_cmd_create(o->model->dev, &cmd));
    if (!o->data->ref_logps && !o->ref->none)
        RT_TRY(forward(o, cmd, false, b));
    RT_TRY(forward(o, cmd, true, b));
    if (!o->batch) {
        RT_TRY(weigh(o, cmd, b.n));
        RT_TRY(loss(o, cmd, b.n, aim));
        RT_TRY(backward(o, cmd, b, aim));
    }
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

// Sums over a micro-batch's tokens, for the means.
struct sums {
    double entropy, hits, logits[2];
    uint64_t tokens[2];
};

// Log-probs and losses of the n pairs that the buffers hold, to pairs first .. first + n of the
// micro-batch's `all`.
static enum rt_err collect_pairs(struct tr_objective *o, struct span b)
{
    enum rt_err err = RT_OK;

    for (size_t which = 0; which < 2; which++) {
        double *to = o->values + 2 * which * b.all + b.first;
        RT_TRY(rt_buf_read(which ? o->ref_logp : o->logp, 0, 2 * (uint64_t) b.n, RT_F32, o->logps));
        for (uint32_t i = 0; i < b.n; i++) {
            to[i] = (double) o->logps[i];
            to[b.all + i] = (double) o->logps[b.n + i];
        }
    }
    RT_TRY(rt_buf_read(o->loss, 0, b.n, RT_F64, o->values + 4 * (size_t) b.all + b.first));
done:
    return err;
}

// Token log-probs are gathered pass by pass into the order of token_starts, which is laid out
// beforehand.
static enum rt_err collect_tokens(struct tr_objective *o, struct span b, struct sums *s)
{
    enum rt_err err = RT_OK;
    const struct ds_pack *p = &o->pack;

    RT_TRY(rt_buf_read(o->model->scored, 0, (uint64_t) p->n_rows * OP_LOGPROB_COLUMNS, RT_F32,
                       o->scored));
    for (uint32_t k = 0; k < 2 * b.n; k++) {
        const uint32_t side = k >= b.n, pair = b.first + k - side * b.n;
        float *to = o->token_logps + o->token_starts[side * b.all + pair];
        for (uint32_t r = p->seq_starts[k]; r < p->seq_starts[k + 1]; r++) {
            const float *row = o->scored + (size_t) r * OP_LOGPROB_COLUMNS;
            *to++ = row[OP_LOGPROB_LOGP];
            s->entropy += (double) row[OP_LOGPROB_ENTROPY];
            s->logits[side] += (double) row[OP_LOGPROB_MEAN];
            s->hits += side ? 0.0 : (double) row[OP_LOGPROB_HIT];
            s->tokens[side]++;
        }
    }
done:
    return err;
}

// What the masks of dropout follow from: the same in both forwards of a pass, and after a resume.
static uint64_t drop_key(const struct tr_objective *o, const struct tr_batch *b, uint32_t first)
{
    return rng_mix(rng_mix(o->c->seed, b->number), first);
}

// After all passes of a micro-batch: ranks, the loss, and the backward of each pass. One pass has
// its activations still; of several, each is forwarded again.
static enum rt_err run_batch(struct tr_objective *o, const struct tr_batch *batch, bool one,
                             const struct aim *aim)
{
    enum rt_err err = RT_OK;
    const uint32_t *pairs = batch->pairs, n = batch->n;
    struct rt_cmd *cmd = NULL;

    RT_TRY(collect_pairs(o, (struct span){0, n, n})); // the losses are not yet there
    op_loss_partners(n, o->values, o->values + 2 * (size_t) n, o->words, o->words + 2 * (size_t) n);
    RT_TRY(rt_buf_write(o->partner, 0, 2 * (uint64_t) n, RT_U32, o->words + 2 * (size_t) n));
    RT_TRY(rt_cmd_create(o->model->dev, &cmd));
    RT_TRY(loss(o, cmd, n, aim));
    if (one)
        RT_TRY(backward(o, cmd, (struct span){0, n, n}, aim));
    RT_TRY(rt_cmd_wait(&cmd));
    RT_TRY(collect_pairs(o, (struct span){0, n, n}));
    o->backs = true;
    for (uint32_t i = 0, k; i < n && !one && aim->grads; i += k) {
        o->model->drop.key = drop_key(o, batch, i);
        k = pass_pairs(o, pairs + i, n - i);
        RT_TRY(load_pass(o, pairs + i, (struct span){i, k, n}));
        RT_TRY(rt_cmd_create(o->model->dev, &cmd));
        RT_TRY(forward(o, cmd, true, (struct span){i, k, n}));
        RT_TRY(backward(o, cmd, (struct span){i, k, n}, aim));
        RT_TRY(rt_cmd_wait(&cmd));
    }
done:
    rt_cmd_destroy(&cmd);
    return err;
}

static void lay_out_tokens(struct tr_objective *o, const uint32_t *pairs, uint32_t n)
{
    uint32_t at = 0;
    for (uint32_t k = 0; k < 2 * n; k++) {
        const struct ds_sequence s = ds_sequence_of(&o->data->set, pairs[k < n ? k : k - n], k < n);
        o->token_starts[k] = at;
        at += s.n_prompt ? s.n_completion : s.n_completion - (s.n_completion > 0);
    }
    o->token_starts[2 * n] = at;
}

enum rt_err tr_objective_run(struct tr_objective *o, const struct tr_batch *batch,
                             struct md_flat *grads, double grad_scale, struct tr_result *out)
{
    enum rt_err err = RT_OK;
    const uint32_t *pairs = batch->pairs, n = batch->n;
    struct sums s = {0};
    double mean = 0.0;
    uint64_t num_tokens = 0;

    o->data = batch->data;
    RT_TRY(reserve(o, pairs, n));
    lay_out_tokens(o, pairs, n);
    const struct aim aim = {grads, grad_scale, (double) n / u32_max(o->token_starts[n], 1)};
    uint32_t i = 0, k = 0;
    o->drop_p = grads && o->c->lora.drop ? o->model->adapter.peft.dropout : 0.0;
    for (; i < n; i += k) {
        o->model->drop.key = drop_key(o, batch, i);
        k = pass_pairs(o, pairs + i, n - i);
        const struct span b = o->batch ? (struct span){i, k, n} : (struct span){0, k, k};
        RT_TRY(load_pass(o, pairs + i, b));
        RT_TRY(run_pass(o, b, &aim));
        RT_TRY(collect_tokens(o, (struct span){i, k, n}, &s));
        if (!o->batch)
            RT_TRY(collect_pairs(o, (struct span){i, k, n}));
        num_tokens += o->pack.num_tokens;
    }
    if (o->batch)
        RT_TRY(run_batch(o, batch, k == n, &aim));
    const double *v = o->values;
    for (i = 0; i < n; i++)
        mean += v[4 * (size_t) n + i] / n;
    const double c = (double) u64_max(s.tokens[0], 1), r = (double) u64_max(s.tokens[1], 1);
    *out = (struct tr_result){.n = n,
                              .chosen_logps = v,
                              .rejected_logps = v + n,
                              .ref_chosen_logps = v + 2 * (size_t) n,
                              .ref_rejected_logps = v + 3 * (size_t) n,
                              .losses = v + 4 * (size_t) n,
                              .loss = mean,
                              .num_tokens = num_tokens,
                              .entropy = s.entropy / (double) u64_max(s.tokens[0] + s.tokens[1], 1),
                              .mean_token_accuracy = s.hits / c,
                              .logits_chosen = s.logits[0] / c,
                              .logits_rejected = s.logits[1] / r,
                              .token_logps = o->token_logps,
                              .token_starts = o->token_starts};
done:
    return err;
}

enum rt_err tr_objective_reference(struct tr_objective *o, const struct tr_batch *b, float *chosen,
                                   float *rejected)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    o->data = b->data;
    for (uint32_t i = 0, k; i < b->n; i += k) {
        k = pass_pairs(o, b->pairs + i, b->n - i);
        const struct span s = {0, k, k};
        RT_TRY(load_pass(o, b->pairs + i, s));
        RT_TRY(rt_cmd_create(o->model->dev, &cmd));
        RT_TRY(forward(o, cmd, false, s));
        RT_TRY(rt_cmd_wait(&cmd));
        RT_TRY(rt_buf_read(o->ref_logp, 0, k, RT_F32, chosen + i));
        RT_TRY(rt_buf_read(o->ref_logp, k, k, RT_F32, rejected + i));
    }
done:
    rt_cmd_destroy(&cmd);
    return err;
}
