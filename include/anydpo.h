// anydpo.h -- Direct Preference Optimization on any GPU: the C library's one public header.
//
// A job is a set of options (TRL's names, see README.md) and a few callbacks; anydpo_train runs it.
// One thread uses a job. The library prints nothing but through the log callback.
#ifndef ANYDPO_H
#define ANYDPO_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The numbers are the command line's exit statuses.
enum anydpo_status {
    ANYDPO_OK = 0,
    ANYDPO_FAILED = 1,    // a file, device or number failed; the log says which
    ANYDPO_USAGE = 2,     // an option is unknown, out of range or contradictory
    ANYDPO_STOPPED = 130, // anydpo_stop was called: there is a checkpoint to go on from, and no
                          // model in output_dir itself (the program: 130 SIGINT, 143 SIGTERM)
};

struct anydpo_job;

// One log entry of a run. Numbers that do not apply to it are NaN.
struct anydpo_metrics {
    uint64_t step;
    double epoch, loss, grad_norm, learning_rate;
    double rewards_chosen, rewards_rejected, rewards_accuracies, rewards_margins;
    double logps_chosen, logps_rejected; // nats, summed over a completion
    double train_loss, train_runtime;    // of the last entry: mean loss, seconds
    const char *eval; // of an evaluation: "eval" or "eval_NAME", borrowed for the call; the rewards
                      // and log-probs are those of its pairs. NULL: of training
    double eval_loss; // of an evaluation: mean loss
};

typedef void anydpo_metrics_fn(void *user, const struct anydpo_metrics *metrics);
// level: 0 error, 1 warning, 2 information. `line` has no newline.
typedef void anydpo_log_fn(void *user, int level, const char *line);

// Receive the library's messages instead of stderr; NULL restores it. Of the process, set once.
void anydpo_set_log(anydpo_log_fn *fn, void *user);

// *out is NULL on failure. Destroy with anydpo_job_destroy, which accepts NULL and leaves NULL.
enum anydpo_status anydpo_job_create(struct anydpo_job **out);
void anydpo_job_destroy(struct anydpo_job **job);

// Set an option from text: anydpo_set(job, "beta", "0.1"). An option set here beats a recipe's.
// ANYDPO_USAGE when the name is unknown or the value is not allowed; the job is as it was.
enum anydpo_status anydpo_set(struct anydpo_job *job, const char *name, const char *value);

// Read a recipe (.json or YAML).
enum anydpo_status anydpo_load(struct anydpo_job *job, const char *path);

// Called from within anydpo_train, in its thread, at each log entry. NULL: not at all.
void anydpo_on_metrics(struct anydpo_job *job, anydpo_metrics_fn *fn, void *user);

// Run. Output as README.md says.
enum anydpo_status anydpo_train(struct anydpo_job *job);

// Means over the pairs of eval_dataset_name, or without it of dataset_name, without training: the
// model against ref_model_name_or_path (without one, rewards are 0). Needs no output_dir.
struct anydpo_eval {
    uint32_t pairs, dropped; // evaluated; left out because the prompt fills max_length
    uint32_t ranked,
        ranked_per_token; // pairs whose chosen answer has the higher log-prob (per token)
    double loss;          // DPO loss, nats
    double rewards_accuracies, rewards_margins;
    double logps_chosen, logps_rejected; // nats, summed over a completion
};
// Of several files the last one's.
enum anydpo_status anydpo_evaluate(struct anydpo_job *job, struct anydpo_eval *out);

// The device memory of a run before anything is loaded: rows by name of buffer, then options that
// would save some, large ones first (group "saves", bytes = what the option in `name` saves).
struct anydpo_plan_row {
    const char *group, *name; // borrowed for the call
    uint64_t bytes;
    uint32_t buffers; // 0 in group "saves"
};
typedef void anydpo_plan_fn(void *user, const struct anydpo_plan_row *row);
struct anydpo_plan {
    uint64_t bytes, limit;         // of all rows; what the device has, 0 = unknown
    uint32_t max_tokens, max_rows; // of the largest pass: tokens, positions that the head scores
    const char *head; // where the gradient of the head's input comes from: "one sweep" (with the
                      // log-probs), "logits kept", "logits recomputed"; static
    char recomputed[160]; // what the backward recomputes, in words
    // Roughly how long it will take, by what a step computes and moves and what the device was
    // measured to do for about a second: within a factor of two.
    uint64_t steps;
    double step_flops, step_s, run_s;
};
// Writes nothing and needs no output_dir.
enum anydpo_status anydpo_plan(struct anydpo_job *job, anydpo_plan_fn *row, void *user,
                               struct anydpo_plan *out);

// Each file's, as it is done. `name` is "train" for dataset_name, else "eval", or of several files
// "eval_NAME".
typedef void anydpo_eval_fn(void *user, const char *name, const struct anydpo_eval *eval);
enum anydpo_status anydpo_evaluate_each(struct anydpo_job *job, anydpo_eval_fn *fn, void *user);

// Training steps timed: `steps` after a first one that is left out, nothing written.
struct anydpo_step {
    uint32_t steps;
    double seconds;               // median of a step
    double pairs_per_s;           // medians of the steps, as the next two
    double tokens_per_s;          // shared prompts counted once
    double useful_gflops;         // what the mathematics needs: recomputation does not count
    double matmul_gflops;         // the device's best product of this model's layers, same storage
    const char *storage, *device; // static, and borrowed until the job is destroyed
};
enum anydpo_status anydpo_bench_step(struct anydpo_job *job, uint32_t steps,
                                     struct anydpo_step *out);

// Ask a running anydpo_train to finish its step, save a checkpoint and return ANYDPO_STOPPED;
// setting resume_from_checkpoint to "true" then goes on. Safe from a signal handler.
void anydpo_stop(struct anydpo_job *job);

const char *anydpo_version(void); // "0.1.0"

#ifdef __cplusplus
}
#endif

#endif // ANYDPO_H
