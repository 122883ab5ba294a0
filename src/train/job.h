// src/train/job.h -- a micro-batch on its way through the device: where its numbers arrive, and
// what they say. Private to the objective.
#ifndef TRAIN_JOB_H
#define TRAIN_JOB_H

#include "src/data/pack.h"
#include "src/train/objective.h"

// Pairs first .. first + n of a micro-batch, as one pass ran them.
struct tr_job_pass {
    uint32_t first, n;
    uint32_t starts; // of its 2n + 1 row boundaries in tr_job.starts
};

// Owned by the objective; { 0 } is idle. Arrays grow to the largest micro-batch and are kept.
struct tr_job {
    struct rt_cmd *cmd;    // what is not waited for yet; NULL: nothing
    bool busy;             // begun and not ended
    bool whole;            // log-probs and losses arrive as those of one pass, whatever ran
    struct tr_batch batch; // its pairs are a copy
    uint32_t *pairs;
    struct tr_job_pass *passes;
    uint32_t n_passes, n_starts;
    uint64_t n_rows, num_tokens; // of the passes so far
    uint32_t *starts;            // rows of a pass where its sequences begin
    // Where numbers arrive by the end of cmd, pass by pass: of a pass with first and n at 2 *
    // first, log-probs of its chosen, then of its rejected answers; losses at first; rows as they
    // come.
    double *logps, *ref_logps, *losses;
    float *scored;
    double *load; // md_model.balance_sums; NULL: not wanted
    // What tr_result points at.
    double *values; // (5n)
    float *token_logps;
    uint32_t *token_starts; // (2n + 1)
    uint32_t cap_pairs;
    uint64_t cap_rows;
};

// Begin with a batch: room for its numbers, and the layout of its tokens. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_job_take(struct tr_job *j, const struct tr_batch *b);

// A pass of n pairs from `first` on, packed as `p`, is recorded next. Returns where its rows
// arrive.
float *tr_job_add(struct tr_job *j, uint32_t first, uint32_t n, const struct ds_pack *p);

// All has arrived: bring it into TRL's order, and sum up. out's arrays are the job's.
void tr_job_result(struct tr_job *j, struct tr_result *out);
// The reference's log-probs alone, (n) each.
void tr_job_reference(const struct tr_job *j, float *chosen, float *rejected);
void tr_job_free(struct tr_job *j); // waits for cmd

#endif // TRAIN_JOB_H
