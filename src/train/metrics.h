// src/train/metrics.h -- TRL's metrics: plain means over the micro-batches since the last log.
#ifndef TRAIN_METRICS_H
#define TRAIN_METRICS_H

#include "src/train/objective.h"

enum tr_metric {
    TR_AUX_LOSS, // NaN where there is none
    TR_ENTROPY,
    TR_NUM_TOKENS,
    TR_LOGITS_CHOSEN,
    TR_LOGITS_REJECTED,
    TR_TOKEN_ACCURACY,
    TR_REWARDS_CHOSEN,
    TR_REWARDS_REJECTED,
    TR_REWARDS_ACCURACIES,
    TR_REWARDS_MARGINS,
    TR_LOGPS_CHOSEN,
    TR_LOGPS_REJECTED,
    TR_METRIC_COUNT
};

const char *tr_metric_name(enum tr_metric m); // TRL's key, "rewards/chosen"

// Sums since the last log. Plain data.
struct tr_metrics {
    double sums[TR_METRIC_COUNT];
    uint32_t n;          // micro-batches in them
    bool has_aux;        // the last one had an auxiliary loss
    uint64_t num_tokens; // of the run so far
};

// Add one micro-batch. Source: trl.md section 2.
void tr_metrics_add(struct tr_metrics *m, const struct tr_result *r, double beta);

// What a micro-batch's loss adds to the sum of a log entry: NaN and Inf count as the mean of what
// is in it (logging_nan_inf_filter). `steps`: optimizer steps since the last log, the current one
// left out. Source: transformers' Trainer, _run_epoch.
double tr_loss_filter(double loss, double sum, uint64_t steps);

// Mean of a metric (num_tokens: the running total); then clear with tr_metrics_clear.
double tr_metrics_get(const struct tr_metrics *m, enum tr_metric which);
void tr_metrics_clear(struct tr_metrics *m);

#endif // TRAIN_METRICS_H
