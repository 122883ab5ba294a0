#include "src/train/job.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/op/logprob.h"

// ---- Memory -----------------------------------------------------------------------------------

static void free_pairs(struct tr_job *j)
{
    free(j->pairs);
    free(j->passes);
    free(j->starts);
    free(j->logps);
    free(j->ref_logps);
    free(j->losses);
    free(j->values);
    free(j->token_starts);
    j->pairs = j->starts = j->token_starts = NULL;
    j->logps = j->ref_logps = j->losses = j->values = NULL;
    j->passes = NULL;
    j->cap_pairs = 0;
}

static void free_rows(struct tr_job *j)
{
    free(j->scored);
    free(j->token_logps);
    j->scored = j->token_logps = NULL;
    j->cap_rows = 0;
}

static bool reserve_pairs(struct tr_job *j, size_t n)
{
    if (n <= j->cap_pairs)
        return true;
    free_pairs(j);
    j->pairs = malloc(n * sizeof(*j->pairs));
    j->passes = malloc(n * sizeof(*j->passes));
    j->starts = malloc(3 * n * sizeof(*j->starts)); // 2k + 1 of a pass with k >= 1 pairs
    j->logps = malloc(2 * n * sizeof(*j->logps));
    j->ref_logps = malloc(2 * n * sizeof(*j->ref_logps));
    j->losses = malloc(n * sizeof(*j->losses));
    j->values = malloc(5 * n * sizeof(*j->values));
    j->token_starts = malloc((2 * n + 1) * sizeof(*j->token_starts));
    if (!j->pairs || !j->passes || !j->starts || !j->logps || !j->ref_logps || !j->losses ||
        !j->values || !j->token_starts)
        return false;
    j->cap_pairs = (uint32_t) n;
    return true;
}

static bool reserve_rows(struct tr_job *j, uint64_t rows)
{
    if (rows <= j->cap_rows)
        return true;
    free_rows(j);
    j->scored = malloc(rows * OP_LOGPROB_COLUMNS * sizeof(*j->scored));
    j->token_logps = malloc(rows * sizeof(*j->token_logps));
    if (!j->scored || !j->token_logps)
        return false;
    j->cap_rows = rows;
    return true;
}

void tr_job_free(struct tr_job *j)
{
    rt_cmd_destroy(&j->cmd); // then nothing arrives any more
    free_pairs(j);
    free_rows(j);
    free(j->load);
    j->load = NULL;
}

// ---- Beginning --------------------------------------------------------------------------------

static void lay_out_tokens(struct tr_job *j)
{
    const uint32_t n = j->batch.n;
    uint32_t at = 0;

    for (uint32_t k = 0; k < 2 * n; k++) {
        const struct ds_sequence s =
            ds_sequence_of(&j->batch.data->set, j->pairs[k < n ? k : k - n], k < n);
        j->token_starts[k] = at;
        at += s.n_prompt ? s.n_completion : s.n_completion - (s.n_completion > 0);
    }
    j->token_starts[2 * n] = at;
}

enum rt_err tr_job_take(struct tr_job *j, const struct tr_batch *b)
{
    uint64_t rows = 1;

    for (uint32_t i = 0; i < b->n; i++)
        rows += ds_pack_measure(&b->data->set, b->pairs[i]).rows;
    if (!reserve_pairs(j, b->n) || !reserve_rows(j, rows)) {
        free_pairs(j);
        free_rows(j);
        return rt_fail(RT_E_NOMEM, "out of memory: results of %u pairs", b->n);
    }
    memcpy(j->pairs, b->pairs, b->n * sizeof(*j->pairs));
    j->batch = *b;
    j->batch.pairs = j->pairs;
    j->n_passes = j->n_starts = 0;
    j->n_rows = j->num_tokens = 0;
    lay_out_tokens(j);
    return RT_OK;
}

float *tr_job_add(struct tr_job *j, uint32_t first, uint32_t n, const struct ds_pack *p)
{
    float *rows = j->scored + j->n_rows * OP_LOGPROB_COLUMNS;

    j->passes[j->n_passes++] = (struct tr_job_pass){first, n, j->n_starts};
    memcpy(j->starts + j->n_starts, p->seq_starts, (2 * (size_t) n + 1) * sizeof(*j->starts));
    j->n_starts += 2 * n + 1;
    j->n_rows += p->n_rows;
    j->num_tokens += p->num_tokens;
    return rows;
}

// ---- Results ----------------------------------------------------------------------------------

// Sums over a micro-batch's tokens, for the means.
struct sums {
    double entropy, hits, logits[2];
    uint64_t tokens[2];
};

// Token log-probs come pass by pass and go into the order of token_starts.
static void add_tokens(struct tr_job *j, const struct tr_job_pass *p, const float *scored,
                       struct sums *s)
{
    const uint32_t *at = j->starts + p->starts;

    for (uint32_t k = 0; k < 2 * p->n; k++) {
        const uint32_t side = k >= p->n, pair = p->first + k - side * p->n;
        float *to = j->token_logps + j->token_starts[side * j->batch.n + pair];
        for (uint32_t r = at[k]; r < at[k + 1]; r++) {
            const float *row = scored + (size_t) r * OP_LOGPROB_COLUMNS;
            *to++ = row[OP_LOGPROB_LOGP];
            s->entropy += (double) row[OP_LOGPROB_ENTROPY];
            s->logits[side] += (double) row[OP_LOGPROB_MEAN];
            s->hits += side ? 0.0 : (double) row[OP_LOGPROB_HIT];
            s->tokens[side]++;
        }
    }
}

static void order_pairs(struct tr_job *j, uint32_t first, uint32_t n)
{
    const size_t all = j->batch.n;

    for (uint32_t k = 0; k < 2 * n; k++) {
        const size_t to = (k < n ? 0 : all - n) + first + k;
        j->values[to] = j->logps[2 * (size_t) first + k];
        j->values[2 * all + to] = j->ref_logps[2 * (size_t) first + k];
    }
    memcpy(j->values + 4 * all + first, j->losses + first, n * sizeof(*j->losses));
}

void tr_job_reference(const struct tr_job *j, float *chosen, float *rejected)
{
    for (uint32_t i = 0; i < j->n_passes; i++) {
        const struct tr_job_pass *p = &j->passes[i];
        const double *from = j->ref_logps + 2 * (size_t) p->first;
        for (uint32_t k = 0; k < p->n; k++) {
            chosen[p->first + k] = (float) from[k];
            rejected[p->first + k] = (float) from[p->n + k];
        }
    }
}

void tr_job_result(struct tr_job *j, struct tr_result *out)
{
    const uint32_t n = j->batch.n;
    const double *v = j->values;
    const float *scored = j->scored;
    struct sums s = {0};
    double mean = 0.0;

    for (uint32_t i = 0; i < j->n_passes; i++) {
        const struct tr_job_pass *p = &j->passes[i];
        if (!j->whole)
            order_pairs(j, p->first, p->n);
        add_tokens(j, p, scored, &s);
        scored += (size_t) j->starts[p->starts + 2 * p->n] * OP_LOGPROB_COLUMNS;
    }
    if (j->whole)
        order_pairs(j, 0, n);
    for (uint32_t i = 0; i < n; i++)
        mean += v[4 * (size_t) n + i] / n;
    const double c = (double) u64_max(s.tokens[0], 1), r = (double) u64_max(s.tokens[1], 1);
    *out = (struct tr_result){.n = n,
                              .chosen_logps = v,
                              .rejected_logps = v + n,
                              .ref_chosen_logps = v + 2 * (size_t) n,
                              .ref_rejected_logps = v + 3 * (size_t) n,
                              .losses = v + 4 * (size_t) n,
                              .loss = mean,
                              .num_tokens = j->num_tokens,
                              .entropy = s.entropy / (double) u64_max(s.tokens[0] + s.tokens[1], 1),
                              .mean_token_accuracy = s.hits / c,
                              .logits_chosen = s.logits[0] / c,
                              .logits_rejected = s.logits[1] / r,
                              .token_logps = j->token_logps,
                              .token_starts = j->token_starts};
}
