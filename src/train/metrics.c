#include "src/train/metrics.h"

#include <math.h>
#include <string.h>

const char *tr_metric_name(enum tr_metric m)
{
    static const char *const NAMES[TR_METRIC_COUNT] = {
        "aux_loss",        "entropy",          "num_tokens",
        "logits/chosen",   "logits/rejected",  "mean_token_accuracy",
        "rewards/chosen",  "rewards/rejected", "rewards/accuracies",
        "rewards/margins", "logps/chosen",     "logps/rejected",
    };
    return NAMES[m];
}

void tr_metrics_add(struct tr_metrics *m, const struct tr_result *r, double beta)
{
    double v[TR_METRIC_COUNT] = {
        [TR_AUX_LOSS] = r->aux_loss,
        [TR_ENTROPY] = r->entropy,
        [TR_LOGITS_CHOSEN] = r->logits_chosen,
        [TR_LOGITS_REJECTED] = r->logits_rejected,
        [TR_TOKEN_ACCURACY] = r->mean_token_accuracy,
    };
    for (uint32_t i = 0; i < r->n; i++) {
        const double chosen = beta * (r->chosen_logps[i] - r->ref_chosen_logps[i]);
        const double rejected = beta * (r->rejected_logps[i] - r->ref_rejected_logps[i]);
        v[TR_REWARDS_CHOSEN] += chosen / r->n;
        v[TR_REWARDS_REJECTED] += rejected / r->n;
        v[TR_REWARDS_MARGINS] += (chosen - rejected) / r->n;
        v[TR_REWARDS_ACCURACIES] += (chosen > rejected ? 1.0 : 0.0) / r->n;
        v[TR_LOGPS_CHOSEN] += r->chosen_logps[i] / r->n;
        v[TR_LOGPS_REJECTED] += r->rejected_logps[i] / r->n;
    }
    for (int i = 0; i < TR_METRIC_COUNT; i++)
        m->sums[i] += v[i];
    m->n++;
    m->has_aux = r->has_aux;
    m->num_tokens += r->num_tokens;
}

double tr_loss_filter(double loss, double sum, uint64_t steps)
{
    return isfinite(loss) ? loss : sum / (double) (1 + steps);
}

double tr_metrics_get(const struct tr_metrics *m, enum tr_metric which)
{
    if (which == TR_NUM_TOKENS)
        return (double) m->num_tokens;
    if (which == TR_AUX_LOSS && !m->has_aux)
        return (double) NAN;
    return m->n ? m->sums[which] / m->n : 0.0;
}

void tr_metrics_clear(struct tr_metrics *m)
{
    memset(m->sums, 0, sizeof(m->sums));
    m->n = 0;
}
