// src/train/plan.h -- the device memory of a run before anything of it is loaded.
//
// Found by opening the same session on a device that only counts (rt_dev_open_dry), so that the
// plan and the run cannot differ.
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "src/train/session.h"
#include "src/train/work.h"

enum { TR_PLAN_ROWS = 64, TR_PLAN_HELPS = 8 };

// Buffers of one name.
struct tr_plan_row {
    const char *group; // "weights", "reference", "gradients", "optimizer", "activations", "other"
    char name[48];     // "adam m"
    uint64_t bytes;
    uint32_t buffers;
};

// What would change the sum, and by how much.
struct tr_plan_help {
    const char *option; // "gradient_checkpointing: true"
    uint64_t saves;     // bytes
};

struct tr_plan {
    struct tr_plan_row rows[TR_PLAN_ROWS]; // by group, large ones first
    uint32_t n_rows;
    struct tr_plan_help helps[TR_PLAN_HELPS]; // large ones first
    uint32_t n_helps;
    uint64_t bytes;                // of all rows
    uint64_t limit;                // what the device has, or clamp allows; 0 = unknown
    struct md_recompute recompute; // as chosen
    char recomputed[160];          // the same in words: md_recompute_text()
    uint32_t max_tokens, max_rows; // of the largest pass
    bool experts;                  // a mixture of experts
    const char *head;              // md_head_way(); static
    uint32_t layers, hidden, ffn, vocab;
    struct tr_work work; // of a run's steps
};

// Forwards of a step: the policy's, and the reference's where it is computed each time.
double tr_plan_forwards(const struct tr_config *c);

// Choose what is recomputed (gradient_checkpointing: the least that fits) for data and device of
// `s`, whose model is not open, and fill *out. It may not fit: out->bytes > out->limit > 0.
// `helps`: also find what would save memory where it fits. Errors: those of opening a model but for
// its weights.
RT_NODISCARD enum rt_err tr_plan_make(const struct tr_config *c, bool train, bool helps,
                                      const struct tr_session *s, struct tr_plan *out);

// RT_E_DEVMEM when the plan does not fit: by how much, and what would help.
RT_NODISCARD enum rt_err tr_plan_check(const struct tr_plan *p);

// Say what the memory made the plan choose, if anything.
void tr_plan_report(const struct tr_config *c, const struct tr_plan *p);

struct tr_estimate; // src/train/estimate.h

// Data and device of a run, then its plan, and with `time` not NULL how long it takes. Errors:
// those of ds_read, rt_dev_open, tr_estimate_make and the above.
RT_NODISCARD enum rt_err tr_plan_run(const struct tr_config *c, struct tr_plan *out,
                                     struct tr_estimate *time);

#endif // TRAIN_PLAN_H
