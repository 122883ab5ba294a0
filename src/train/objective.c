#include "src/train/objective.h"

#include <stdlib.h>

#include "src/base/arith.h"
#include "src/op/loss.h"

struct tr_objective {
    const struct tr_config *c;
    struct md_model *model;
    const struct md_flat *ref;
    const struct ds_set *set;
    struct ds_pack pack;
    struct op_segment *segs; // of the pass
    struct rt_buf *ref_logp, *len, *loss, *dlogp; // (2P) f32, P = pairs of the largest pass
    struct rt_buf *partner;  // (2P) u32
    float *scored;           // (rows of the largest pass, columns)
    float *logps;            // (2P) on their way to or from the device
    // Of the micro-batch, P' = its pairs
    double *values;          // (5 P'): chosen, rejected, ref chosen, ref rejected, loss
    float *token_logps;
    uint32_t *token_starts;
    uint32_t cap_pairs, cap_tokens;
};

static uint32_t pass_tokens(const struct tr_config *c) { return c->pass_tokens ? c->pass_tokens : 1024; }

// A pass takes pairs while it stays within the budget; one pair alone may exceed it.
static uint32_t pass_pairs(const struct tr_config *c, const struct ds_set *set, const uint32_t *pairs, uint32_t n)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < n; i++) {
        tokens += ds_pack_measure(set, pairs[i]).tokens;
        if (i > 0 && tokens > pass_tokens(c))
            return i;
    }
    return n;
}

void tr_limits(const struct tr_config *c, const struct ds_set *set, struct md_model_desc *desc)
{
    struct ds_pack_size most = { 0 };
    const uint32_t batch = u32_min(c->per_device_train_batch_size, set->n);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct ds_pack_size s = ds_pack_measure(set, i);
        most.tokens = u32_max(most.tokens, s.tokens);
        most.rows = u32_max(most.rows, s.rows);
        most.positions = u32_max(most.positions, s.positions);
    }
    // Many short pairs fill the budget, or one long pair exceeds it.
    const uint64_t tokens = u64_max(most.tokens, u64_min(pass_tokens(c), (uint64_t) batch * most.tokens));
    desc->max_tokens = (uint32_t) u64_max(tokens, 1);
    desc->max_rows = (uint32_t) u64_max(u64_min((uint64_t) batch * most.rows, tokens + 2 * (uint64_t) batch), most.rows);
    desc->max_seqs = 2 * batch;
    desc->max_segments = 4 * batch;
    desc->max_positions = u32_max(most.positions, 1);
}

enum rt_err tr_objective_create(const struct tr_config *c, struct md_model *model, const struct md_flat *ref,
                                const struct ds_set *set, struct tr_objective **out)
{
    enum rt_err err = RT_OK;
    struct tr_objective *o = calloc(1, sizeof(*o));
    const uint32_t seqs = model->max_seqs;

    *out = NULL;
    RT_REQUIRE(o, RT_E_NOMEM);
    o->c = c;
    o->model = model;
    o->ref = ref;
    o->set = set;
    o->segs = malloc(model->max_segments * sizeof(*o->segs));
    o->scored = malloc((size_t) model->max_rows * OP_LOGPROB_COLUMNS * sizeof(*o->scored));
    o->logps = malloc(seqs * sizeof(*o->logps));
    RT_REQUIRE(o->segs && o->scored && o->logps, RT_E_NOMEM);
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "reference log-probs", &o->ref_logp));
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "completion lengths", &o->len));
    RT_TRY(rt_buf_create(model->dev, RT_U32, seqs, "pairs of one rank", &o->partner));
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "losses", &o->loss));
    RT_TRY(rt_buf_create(model->dev, RT_F32, seqs, "log-prob gradients", &o->dlogp));
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
    rt_buf_destroy(&o->ref_logp);
    rt_buf_destroy(&o->len);
    rt_buf_destroy(&o->partner);
    rt_buf_destroy(&o->loss);
    rt_buf_destroy(&o->dlogp);
    ds_pack_free(&o->pack);
    free(o->segs);
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
        tokens += ds_pack_measure(o->set, pairs[i]).rows;
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

static enum rt_err load_pass(struct tr_objective *o, const uint32_t *pairs, uint32_t n)
{
    enum rt_err err = RT_OK;
    const struct ds_pack *p = &o->pack;

    RT_TRY(ds_pack_make(o->set, pairs, n, &o->pack));
    RT_REQUIRE(p->n_segments <= o->model->max_segments, RT_E_ARG);
    for (uint32_t i = 0; i < p->n_segments; i++) {
        const struct ds_segment *s = &p->segs[i];
        o->segs[i] = (struct op_segment){ .q_begin = s->begin, .q_end = s->end, .k_begin = s->begin,
                                          .row_begin = s->row_begin, .prompt_end = s->prompt_end, .seg_begin = s->begin };
    }
    RT_TRY(md_pass_load(o->model, &(struct md_batch){
        .n_tokens = p->n_tokens, .n_segments = p->n_segments, .n_rows = p->n_rows, .n_seqs = 2 * n, .ids = p->ids,
        .pos = p->pos, .segs = o->segs, .rows = p->rows, .targets = p->targets, .seq_starts = p->seq_starts }));
    for (uint32_t i = 0; i < 2 * n; i++)
        o->logps[i] = (float) u32_max(p->lengths[i], 1);
    RT_TRY(rt_buf_write(o->len, 0, 2 * (uint64_t) n, RT_F32, o->logps));
done:
    return err;
}

// Record and run: reference, policy, loss, backward.
static enum rt_err run_pass(struct tr_objective *o, uint32_t n, struct md_flat *grads, double grad_scale, double sft_scale)
{
    enum rt_err err = RT_OK;
    struct md_model *m = o->model;
    struct rt_cmd *cmd = NULL;

    RT_TRY(rt_cmd_create(m->dev, &cmd));
    RT_TRY(md_forward(m, cmd, o->ref, NULL));
    RT_TRY(md_score(m, cmd, o->ref));
    RT_TRY(rt_cmd_copy(cmd, m->seq_logp, 0, o->ref_logp, 0, 2 * (uint64_t) n));
    RT_TRY(md_forward(m, cmd, &m->work, NULL));
    RT_TRY(md_score(m, cmd, &m->work));
    RT_TRY(op_loss(cmd, &(struct op_loss_args){
        .spec = &o->c->loss, .logp = m->seq_logp, .ref_logp = o->ref_logp, .len = o->len, .partner = o->partner,
        .loss = o->loss, .dlogp = o->dlogp, .n_pairs = n, .beta = o->c->beta, .grad_scale = grad_scale,
        .sft_scale = sft_scale }));
    if (grads)
        RT_TRY(md_backward(m, cmd, &m->work, o->dlogp, grads));
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

// Place the results of the pass (pairs first .. first + n of all) into the micro-batch's arrays. Token
// log-probs are gathered pass by pass into the order of token_starts, which is laid out beforehand.
static enum rt_err collect(struct tr_objective *o, uint32_t first, uint32_t n, uint32_t all, struct sums *s)
{
    enum rt_err err = RT_OK;
    const struct ds_pack *p = &o->pack;
    struct md_model *m = o->model;

    for (size_t which = 0; which < 2; which++) {
        RT_TRY(rt_buf_read(which ? o->ref_logp : m->seq_logp, 0, 2 * (uint64_t) n, RT_F32, o->logps));
        for (uint32_t i = 0; i < n; i++) {
            o->values[2 * which * all + first + i] = (double) o->logps[i];
            o->values[(2 * which + 1) * all + first + i] = (double) o->logps[n + i];
        }
    }
    RT_TRY(rt_buf_read(o->loss, 0, n, RT_F64, o->values + 4 * (size_t) all + first));
    RT_TRY(rt_buf_read(m->scored, 0, (uint64_t) p->n_rows * OP_LOGPROB_COLUMNS, RT_F32, o->scored));
    for (uint32_t k = 0; k < 2 * n; k++) {
        const uint32_t side = k >= n, pair = first + k - side * n;
        float *to = o->token_logps + o->token_starts[side * all + pair];
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

static void lay_out_tokens(struct tr_objective *o, const uint32_t *pairs, uint32_t n)
{
    uint32_t at = 0;
    for (uint32_t k = 0; k < 2 * n; k++) {
        const struct ds_sequence s = ds_sequence_of(o->set, pairs[k < n ? k : k - n], k < n);
        o->token_starts[k] = at;
        at += s.n_prompt ? s.n_completion : s.n_completion - (s.n_completion > 0);
    }
    o->token_starts[2 * n] = at;
}

enum rt_err tr_objective_run(struct tr_objective *o, const uint32_t *pairs, uint32_t n, struct md_flat *grads,
                             double grad_scale, struct tr_result *out)
{
    enum rt_err err = RT_OK;
    struct sums s = { 0 };
    double loss = 0.0;
    uint64_t num_tokens = 0;

    RT_TRY(reserve(o, pairs, n));
    lay_out_tokens(o, pairs, n);
    for (uint32_t i = 0, k; i < n; i += k) {
        k = pass_pairs(o->c, o->set, pairs + i, n - i);
        RT_TRY(load_pass(o, pairs + i, k));
        RT_TRY(run_pass(o, k, grads, grad_scale, (double) n / u32_max(o->token_starts[n], 1)));
        RT_TRY(collect(o, i, k, n, &s));
        num_tokens += o->pack.num_tokens;
    }
    const double *v = o->values;
    for (uint32_t i = 0; i < n; i++)
        loss += v[4 * (size_t) n + i] / n;
    const double c = (double) u64_max(s.tokens[0], 1), r = (double) u64_max(s.tokens[1], 1);
    *out = (struct tr_result){
        .n = n, .chosen_logps = v, .rejected_logps = v + n, .ref_chosen_logps = v + 2 * (size_t) n,
        .ref_rejected_logps = v + 3 * (size_t) n, .losses = v + 4 * (size_t) n, .loss = loss, .num_tokens = num_tokens,
        .entropy = s.entropy / (double) u64_max(s.tokens[0] + s.tokens[1], 1), .mean_token_accuracy = s.hits / c,
        .logits_chosen = s.logits[0] / c, .logits_rejected = s.logits[1] / r, .token_logps = o->token_logps,
        .token_starts = o->token_starts };
done:
    return err;
}
