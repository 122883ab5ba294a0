// tests/train/config.h -- the settings that runs of this folder share: the tiny llama on its rows.
// A test changes what it is about.
#ifndef TESTS_TRAIN_CONFIG_H
#define TESTS_TRAIN_CONFIG_H

#include <string.h>

#include "src/train/run.h"
#include "src/train/session.h"
#include "tests/support/golden.h"
#include "tests/t.h"

// AdamW at 1e-3 without a schedule, batches of 2, a log entry a step, no progress line.
static inline struct tr_config train_config(struct t *t, enum rt_type storage, const char *out)
{
    return (struct tr_config){.model_name_or_path = golden_own_path("models/llama"),
                              .dataset_name = golden_own_path("runs/family_llama/train.jsonl"),
                              .output_dir = out,
                              .device = t_name(t),
                              .storage = storage,
                              .max_length = 1024,
                              .seed = 42,
                              .data_seed = 42,
                              .per_device_train_batch_size = 2,
                              .gradient_accumulation_steps = 1,
                              .num_train_epochs = 1.0,
                              .beta = 0.1,
                              .learning_rate = 1e-3,
                              .schedule = {.kind = TR_CONSTANT},
                              .adam_beta1 = 0.9,
                              .adam_beta2 = 0.999,
                              .adam_epsilon = 1e-8,
                              .max_grad_norm = 1.0,
                              .logging_steps = 1,
                              .disable_tqdm = true};
}

// The run ends with `want` and a message that has `naming` in it.
static inline void train_refused(const struct tr_config *c, enum rt_err want, const char *naming)
{
    (void) t_logged();
    const enum rt_err err = tr_run(c, NULL);
    const char *log = t_logged();
    if (err != want || !strstr(log, naming))
        fail_msg("expected %s naming %s, found %s: %s", rt_err_name(want), naming, rt_err_name(err),
                 log);
}

// A batch's numbers, waited for; with `grads` its gradient too.
static inline struct tr_result train_batch(struct tr_session *s, const struct tr_batch *b,
                                           struct md_flat *grads, double grad_scale)
{
    struct tr_result r;
    struct tr_job *job;

    T_OK(tr_objective_begin(s->objective, b, grads, grad_scale, &job));
    T_OK(tr_objective_end(s->objective, job, &r));
    return r;
}

#endif // TESTS_TRAIN_CONFIG_H
