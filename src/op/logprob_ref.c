// Oracles of the log-prob kernels.
#include "src/op/logprob.h"

#include <math.h>

#include "src/base/thread.h"

enum { COLUMNS = OP_LOGPROB_COLUMNS };

// The state's sums are relative to ST_MAX, as the kernels keep them: a chunk alone cannot give the
// final ones.
static void stats_row(const struct rt_host_call *call, uint64_t m)
{
    const struct logprob_stats_params *p = call->params;
    const struct rt_host_buf *logits = &call->bufs[0], *state = &call->bufs[2];
    const uint32_t t = ((const uint32_t *) call->bufs[1].data)[m];
    double s[COLUMNS] = {[ST_MAX] = -1e30, [ST_MAX_LOW] = -1e30}, before;

    for (uint64_t i = 0; i < COLUMNS && p->v_begin > 0; i++)
        s[i] = rt_host_load(state, m * COLUMNS + i);
    before = s[ST_MAX];
    for (uint32_t j = 0; j < p->v_count; j++) {
        const double l = rt_host_load(logits, m * p->ld + j);
        const uint32_t v = p->v_begin + j;
        s[ST_TOTAL] += l;
        if (v == t) {
            s[ST_TARGET] = l;
            continue;
        }
        if (v < t)
            s[ST_MAX_LOW] = fmax(s[ST_MAX_LOW], l);
        if (l > s[ST_MAX]) { // move the sums over to the new maximum
            const double d = s[ST_MAX] - l;
            s[ST_DOT] = (s[ST_DOT] + s[ST_SUM] * d) * exp(d);
            s[ST_SUM] *= exp(d);
            s[ST_MAX] = l;
        }
        s[ST_SUM] += exp(l - s[ST_MAX]);
        s[ST_DOT] += exp(l - s[ST_MAX]) * (l - s[ST_MAX]);
    }
    s[ST_SHRINK] = exp(before - s[ST_MAX]);
    for (uint64_t i = 0; i < ST_USED; i++)
        rt_host_store(state, m * COLUMNS + i, s[i]);
}

static void stats_rows(void *user, uint64_t begin, uint64_t end)
{
    for (uint64_t m = begin; m < end; m++)
        stats_row(user, m);
}

void op_logprob_stats_ref(const struct rt_host_call *call)
{
    const struct logprob_stats_params *p = call->params;
    thread_for(p->n_rows, 8, stats_rows, (void *) (uintptr_t) call);
}

void op_logprob_finish_ref(const struct rt_host_call *call)
{
    const struct logprob_finish_params *p = call->params;

    for (uint64_t m = 0; m < p->n_rows; m++) {
        double s[COLUMNS], r[COLUMNS] = {0};
        for (uint64_t i = 0; i < ST_USED; i++)
            s[i] = rt_host_load(&call->bufs[0], m * COLUMNS + i);
        const double t = s[ST_TARGET], other = s[ST_MAX] + log(s[ST_SUM]);
        const double d = s[ST_MAX] - t + log(s[ST_SUM]); // other - t
        const double nats = fmax(d, 0.0) + log1p(exp(-fabs(d))), q = 1.0 / (1.0 + exp(-d));
        r[OP_LOGPROB_LOGP] = -nats;
        r[OP_LOGPROB_LSE] = t + nats;
        r[OP_LOGPROB_LSE_OTHER] = other;
        r[OP_LOGPROB_MEAN] = s[ST_TOTAL] / p->n_vocab;
        r[OP_LOGPROB_HIT] = t >= s[ST_MAX] && t > s[ST_MAX_LOW];
        // -p log p of the target and of the others, whose log p is l - max - (lse - max).
        r[OP_LOGPROB_ENTROPY] =
            exp(-nats) * nats + q * (t + nats - s[ST_MAX] - s[ST_DOT] / s[ST_SUM]);
        r[OP_LOGPROB_TARGET] = t;
        for (uint64_t i = 0; i < COLUMNS; i++)
            rt_host_store(&call->bufs[1], m * COLUMNS + i, r[i]);
    }
}

void op_logprob_grad_ref(const struct rt_host_call *call)
{
    const struct logprob_grad_params *p = call->params;
    const uint32_t *target = call->bufs[1].data;

    for (uint64_t m = 0; m < p->n_rows; m++) {
        const double lse = rt_host_load(&call->bufs[2], m * COLUMNS + OP_LOGPROB_LSE);
        const double other = rt_host_load(&call->bufs[2], m * COLUMNS + OP_LOGPROB_LSE_OTHER);
        const double coef = rt_host_load(&call->bufs[3], m);
        for (uint32_t j = 0; j < p->ld; j++) {
            const double l = rt_host_load(&call->bufs[0], m * p->ld + j);
            const double g = p->v_begin + j == target[m] ? exp(other - lse) : -exp(l - lse);
            const double y = p->softcap > 0.0f ? l / (double) p->softcap : 0.0;
            const double slope = (double) p->logit_scale * (1.0 - y * y);
            rt_host_store(&call->bufs[4], m * p->ld + j, j < p->v_count ? coef * g * slope : 0.0);
        }
    }
}

void op_logprob_cap_ref(const struct rt_host_call *call)
{
    const struct logprob_cap_params *p = call->params;
    const double cap = (double) p->softcap;

    for (uint64_t m = 0; m < p->n_rows; m++)
        for (uint64_t j = 0; j < p->v_count; j++) {
            const double x = (double) p->logit_scale * rt_host_load(&call->bufs[0], m * p->ld + j);
            rt_host_store(&call->bufs[0], m * p->ld + j, cap > 0.0 ? cap * tanh(x / cap) : x);
        }
}
