// tests/model/pass.h -- a small pass that any decoder takes, its log-probs and its gradient.
#ifndef TESTS_MODEL_PASS_H
#define TESTS_MODEL_PASS_H

#include "src/model/model.h"
#include "tests/t.h"

enum { PASS_TOKENS = 24, PASS_ROWS = 16, PASS_SEQS = 2 }; // also its segments and positions

// Two sequences, the last half of each scored.
static inline void pass_load(struct md_model *m)
{
    uint32_t ids[PASS_TOKENS], pos[PASS_TOKENS], rows[PASS_ROWS], targets[PASS_ROWS];
    const uint32_t starts[PASS_SEQS + 1] = {0, PASS_ROWS / 2, PASS_ROWS}, half = PASS_TOKENS / 2;
    struct op_segment segs[PASS_SEQS];

    for (uint32_t i = 0; i < PASS_TOKENS; i++) {
        ids[i] = (37 * i + 11) % m->arch.vocab;
        pos[i] = i % half;
    }
    for (uint32_t i = 0; i < PASS_ROWS; i++) {
        rows[i] = i / (PASS_ROWS / 2) * half + half - PASS_ROWS / 2 + i % (PASS_ROWS / 2);
        targets[i] = (53 * i + 5) % m->arch.vocab;
    }
    for (uint32_t i = 0; i < PASS_SEQS; i++) {
        const uint32_t at = i * half;
        segs[i] = (struct op_segment){at, at + half, at, at, at, at};
    }
    T_OK(md_pass_load(m, &(struct md_batch){.n_tokens = PASS_TOKENS,
                                            .n_segments = PASS_SEQS,
                                            .n_rows = PASS_ROWS,
                                            .n_seqs = PASS_SEQS,
                                            .ids = ids,
                                            .pos = pos,
                                            .segs = segs,
                                            .rows = rows,
                                            .targets = targets,
                                            .seq_starts = starts}));
}

static inline void pass_forward(struct md_model *m, struct md_weights w, double out[PASS_SEQS])
{
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(m->dev, &cmd));
    T_OK(md_forward(m, cmd, w, NULL));
    T_OK(md_score(m, cmd, w));
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(m->seq_logp, 0, PASS_SEQS, RT_F64, out));
}

// Gradient of logp[0] - 2 logp[1] in the trained tensors, into a new flat buffer.
static inline void pass_gradient(struct md_model *m, struct md_flat *grads)
{
    const double c[PASS_SEQS] = {1.0, -2.0};
    struct rt_buf *dlogp;
    struct rt_cmd *cmd;
    double logp[PASS_SEQS];

    T_OK(md_flat_create(m->dev, md_trained_of(m).params, RT_F32, "gradients", grads));
    T_OK(rt_buf_create(m->dev, RT_F32, PASS_SEQS, "dlogp", &dlogp));
    T_OK(rt_buf_write(dlogp, 0, PASS_SEQS, RT_F64, c));
    pass_forward(m, md_policy(m), logp);
    T_OK(rt_cmd_create(m->dev, &cmd));
    T_OK(md_backward(m, cmd, dlogp, grads));
    T_OK(rt_cmd_wait(&cmd));
    rt_buf_destroy(&dlogp);
}

#endif // TESTS_MODEL_PASS_H
