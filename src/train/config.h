// src/train/config.h -- the settings of one run, resolved and checked by src/api/options.c.
//
// Names, defaults and meanings are TRL's (DPOConfig, TrainingArguments); only what differs is said
// here.
#ifndef TRAIN_CONFIG_H
#define TRAIN_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/rt.h"
#include "src/data/pairs.h"
#include "src/op/loss.h"
#include "src/train/schedule.h"

enum tr_optim { TR_ADAMW, TR_SGD };

enum tr_eval_strategy { TR_EVAL_NO, TR_EVAL_STEPS, TR_EVAL_EPOCH };

enum { TR_EVAL_FILES = 16 };

struct tr_eval_file {
    const char *name; // in the metrics' keys; NULL: of several files the file's own name
    const char *path; // a .jsonl or .json file, or a folder with test.jsonl
};

enum tr_save_strategy { TR_SAVE_NO, TR_SAVE_STEPS, TR_SAVE_EPOCH, TR_SAVE_BEST };
// gradient_checkpointing: TR_RECOMPUTE_AUTO lets the memory decide.
enum tr_recompute { TR_RECOMPUTE_AUTO, TR_RECOMPUTE_NONE, TR_RECOMPUTE_ALL };

// LoRA. What is not given is decided by the adapter's file, or by TRL's defaults.
struct tr_lora {
    bool use;            // use_peft, or an adapter is named
    bool drop;           // disable_dropout is false: lora_dropout is applied
    const char *adapter; // adapter_name_or_path: goes on from that folder; NULL = a new one
    uint32_t r;          // 0 = not given
    double alpha, dropout;
    bool use_rslora, use_dora;
    bool has_alpha, has_dropout, has_rslora, has_dora;
    const struct cJSON *targets; // one text or a list of them, checked; NULL = by the model's type
    const struct cJSON *save;    // lora_modules_to_save, the same
};

// Strings are borrowed for the whole run; NULL = not given.
struct tr_config {
    // What
    const char *model_name_or_path;     // Hugging Face folder
    const char *ref_model_name_or_path; // NULL: the policy as loaded
    const char *dataset_name;           // the first file or folder that is trained on
    const char *output_dir;
    const char *dump_dir; // write what tools/check_run.py compares
    // Device
    const char *device, *disable, *clamp, *cache_dir;
    uint64_t token_cache_bytes; // of tokenised rows in the cache folder; 0 = any
    enum rt_type storage;    // RT_F16 = fp16, RT_BF16 = bf16, RT_F32 = neither
    enum rt_type load_dtype; // dtype: the weights are rounded to it once when loaded
    enum rt_type save_dtype; // of the saved model
    struct tr_lora lora;
    // Data
    struct ds_part parts[DS_PARTS]; // dataset_name with columns, or datasets
    uint32_t n_parts;               // 0: dataset_name as it is
    uint32_t max_length;            // 0 = none
    enum ds_truncation truncation_mode;
    bool strict, dataloader_drop_last, sequential;
    uint64_t seed, data_seed; // data_seed is seed when not given
    // Step
    uint32_t per_device_train_batch_size, gradient_accumulation_steps;
    double num_train_epochs;
    int64_t max_steps; // <= 0: by epochs
    double beta;
    struct op_loss_spec loss;      // loss_type, loss_weights, label_smoothing, f_divergence_*,
                                   // discopop_tau; { 0 } = sigmoid
    bool reference_free;           // no reference at all: its log-probs are 0
    bool ld;                       // ld_alpha is given
    double ld_alpha;               // weight of the tokens beyond the shorter answer of the pair
    bool has_router_aux_loss_coef; // router_aux_loss_coef is given; else the model says it
    double router_aux_loss_coef;   // of the load-balancing loss of experts; 0 = none
    bool use_weighting;            // WPO: pairs count by how likely the policy finds their answers
    // Reference
    bool precompute_ref_log_probs;      // log-probs beforehand, and no reference while training
    uint32_t precompute_ref_batch_size; // most pairs at once then; 0 = as many as fit
    const char *ref_log_probs_file;     // where they are kept; NULL = the cache folder
    bool sync_ref_model;                // every ref_model_sync_steps steps, reference =
    double ref_model_mixup_alpha;       // (1 - alpha) * reference + alpha * policy
    uint32_t ref_model_sync_steps;
    double learning_rate;
    struct tr_schedule schedule; // lr_scheduler_type, lr_scheduler_kwargs, warmup_steps
    enum tr_optim optim;
    double weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm;
    enum tr_recompute gradient_checkpointing;
    uint32_t pass_tokens; // a pass takes pairs until it has so many tokens; 0 = 1024
    double loss_scale;    // first loss scale of fp16; 0 = 65536
    // Evaluation
    struct tr_eval_file eval_files[TR_EVAL_FILES]; // eval_dataset_name
    uint32_t n_eval_files;                         // 0: test.jsonl of the folder dataset_name
    const char *dataset_test_split;                // NULL = "test"
    enum tr_eval_strategy eval_strategy;
    double eval_steps; // a share of all steps when below 1; 0 = logging_steps
    double eval_delay; // no evaluation before so many steps, or epochs with TR_EVAL_EPOCH
    bool eval_on_start;
    const char *sample_prompts;          // file of prompts that are answered at each evaluation
    uint32_t sample_max_new_tokens;      // 0 = 64
    const char *per_row;                 // tr_eval_run: file for a line a pair; NULL = none
    uint32_t per_device_eval_batch_size; // 0 = 8
    // Output
    double logging_steps; // 0 = only the end; below 1 a share of all steps
    bool logging_epochs;  // log where an epoch ends, and not by logging_steps
    bool logging_first_step;
    bool log_nan;      // logging_nan_inf_filter is false
    bool profile;      // time by phase and kernel, each run alone
    bool disable_tqdm; // no progress line on stderr
    // Checkpoints
    enum tr_save_strategy save_strategy;
    double save_steps;         // a share of all steps when below 1
    uint32_t save_total_limit; // 0 = all are kept
    bool save_only_model;
    bool load_best_model_at_end;
    const char *metric_for_best_model; // with or without "eval_"; NULL = none is watched
    bool greater_is_better;
    const char *resume_from_checkpoint; // a folder, or "true": the newest of output_dir
    const char *options; // a JSON object of all options, for later comparison; NULL = none
    int64_t now;         // what the chat template takes for the time; 0 = the computer's clock
};

#endif // TRAIN_CONFIG_H
