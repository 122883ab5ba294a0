// The rows. TRL's names and defaults (DPOConfig, TrainingArguments, ModelConfig, ScriptArguments of
// TRL 1.16).
#include "src/api/options.h"

#include <stddef.h>

// clang-format off
#define BIG 1e15
#define USED(n, k, d, lo, hi, h) { n, k, OPT_USED, d, lo, hi, NULL, h }
#define WORD(n, d, w, h) { n, OPT_STR, OPT_USED, d, 0, 0, w, h }
#define TEXT(n, h) { n, OPT_STR, OPT_USED, NULL, 0, 0, NULL, h }
#define FLAG(n, d, h) { n, OPT_BOOL, OPT_USED, d, 0, 0, NULL, h }
#define NOTHING(n, k, d, h) { n, k, OPT_NOTHING, d, -BIG, BIG, NULL, h }
#define DEFAULT(n, k, d, h) { n, k, OPT_DEFAULT, d, -BIG, BIG, NULL, h }
#define GONE(n, h) { n, OPT_STR, OPT_GONE, NULL, 0, 0, NULL, h }
// clang-format on

const struct opt_row OPT_ROWS[] = {
    // What is trained
    TEXT("model_name_or_path", "Hugging Face model folder (required)"),
    TEXT("ref_model_name_or_path", "folder of the reference model; default: the policy as loaded"),
    USED("dataset_name", OPT_LIST, NULL, 0, 0,
         "preference rows: a .jsonl, .json, .csv or .tsv file, also .gz or .zst, a folder with "
         "train.jsonl and its like, or a list of them (required)"),
    USED("columns", OPT_LIST, NULL, 0, 0,
         "columns by other names: prompt=question,chosen=good,rejected=bad, or a mapping (ours)"),
    USED(
        "datasets", OPT_LIST, NULL, 0, 0,
        "in place of dataset_name: a list of path, data_dir, data_files, split, columns, fraction"),
    TEXT("output_dir", "folder that the trained model is written to (required)"),
    WORD("dtype", "float32", "float32|float16|bfloat16|auto",
         "what the weights are rounded to once when loaded; auto: float32"),
    WORD("save_dtype", NULL, "float32|float16|bfloat16", "type of the saved model; default: dtype"),
    // The loss
    USED(
        "loss_type", OPT_LIST, "sigmoid", 0, 0,
        "the loss, or a list that is summed: sigmoid hinge ipo exo_pair nca_pair robust bco_pair "
        "sppo_hard apo_zero apo_down "
        "discopop sft sigmoid_norm (also dpo_norm) aot aot_unpaired; beyond TRL's: cdpo, and simpo "
        "orpo, which need no reference"),
    USED("loss_weights", OPT_LIST, NULL, 0, 0, "a weight for each loss_type; default: 1 each"),
    USED("beta", OPT_NUM, "0.1", 1e-6, 1e6, "strength of the pull to the reference"),
    USED("label_smoothing", OPT_NUM, "0.0", 0.0, 1.0,
         "share of flipped labels: read by exo_pair, which needs it, robust, aot*, cdpo, simpo"),
    WORD("f_divergence_type", "reverse_kl", "reverse_kl|forward_kl|js_divergence|alpha_divergence",
         "divergence from the reference; others than reverse_kl: not with nca_pair, bco_pair, "
         "sppo_hard, apo_*, aot*"),
    USED("f_alpha_divergence_coef", OPT_NUM, "0.5", -1e3, 1e3, "alpha of alpha_divergence"),
    USED("discopop_tau", OPT_NUM, "0.05", 1e-6, 1e6, "temperature of discopop"),
    USED("simpo_gamma", OPT_NUM, "0.5", -1e3, 1e3, "simpo: margin that the reward must exceed"),
    FLAG("reference_free", "false", "the reference's log-probs are 0, as in TRL up to 0.28"),
    USED("ld_alpha", OPT_NUM, NULL, 0.0, 1.0,
         "LD-DPO: weight of the tokens beyond the pair's shorter answer; 1 = plain"),
    FLAG("use_weighting", "false",
         "WPO: weigh pairs by how likely the policy finds their answers; not with aot*, sft"),
    FLAG("precompute_ref_log_probs", "false",
         "compute the reference's log-probs before training, and train without a reference"),
    USED("precompute_ref_batch_size", OPT_INT, NULL, 1, 1 << 16,
         "pairs at once then; default: the batch sizes"),
    TEXT("ref_log_probs_file",
         "file that they are kept in, and read from if it exists; default: one in the cache folder "
         "(ours)"),
    FLAG("sync_ref_model", "false",
         "TR-DPO: move the reference towards the policy; not with LoRA or precomputing"),
    USED("ref_model_mixup_alpha", OPT_NUM, "0.6", 0.0, 1.0,
         "share of the policy in the reference after a sync"),
    USED("ref_model_sync_steps", OPT_INT, "512", 1, 1e9, "steps between two syncs"),
    // LoRA
    FLAG("use_peft", "false", "train a LoRA adapter; the model stays as it is"),
    USED("lora_r", OPT_INT, "16", 1, 1 << 14, "rank of the adapter"),
    USED("lora_alpha", OPT_NUM, "32", -1e9, 1e9,
         "the adapter's share is lora_alpha / lora_r, with use_rslora over its square root"),
    USED("lora_dropout", OPT_NUM, "0.05", 0.0, 0.999999,
         "on the adapter's input, with disable_dropout false; written to its file in any case"),
    USED("lora_target_modules", OPT_LIST, NULL, 0, 0,
         "names of linear layers, a regular expression for their whole paths, or all-linear; "
         "default: what PEFT takes for the model's type"),
    USED("lora_modules_to_save", OPT_LIST, NULL, 0, 0,
         "names of modules that are trained as a whole, and saved with the adapter"),
    FLAG("use_rslora", "false", "rank-stabilised scale, see lora_alpha"),
    FLAG("use_dora", "false", "not supported yet"),
    WORD("lora_task_type", "CAUSAL_LM", "CAUSAL_LM", "of the adapter's file"),
    DEFAULT("lora_target_parameters", OPT_LIST, NULL,
            "adapters of single parameters are not supported; use lora_target_modules"),
    TEXT("adapter_name_or_path",
         "folder of a PEFT adapter to go on from; it as loaded is the reference, and its file "
         "decides r, alpha and targets (ours)"),
    FLAG("disable_dropout", "true", "no dropout, whatever lora_dropout says"),
    // Precision
    FLAG("fp16", "false",
         "store weights and activations as f16, with f32 masters and loss scaling"),
    FLAG("bf16", NULL,
         "store them as bf16; the default when fp16 is not set; false alone means f32"),
    USED("loss_scale", OPT_NUM, "65536", 1.0, 0x1p40, "first loss scale of fp16 (ours)"),
    NOTHING("tf32", OPT_BOOL, NULL, "f32 is f32 here"),
    // Data
    USED("max_length", OPT_INT, "1024", 2, 1 << 20,
         "tokens of prompt and completion together; null: no limit"),
    WORD("truncation_mode", "keep_start", "keep_start|keep_end",
         "which end of a long sequence is kept"),
    FLAG("strict", "false", "a prompt that is cut at a token boundary is an error (ours)"),
    NOTHING("pad_to_multiple_of", OPT_INT, NULL, "there is no padding here"),
    NOTHING("padding_free", OPT_BOOL, "false", "there is never padding here"),
    NOTHING("pad_token", OPT_STR, NULL, "there is no padding here"),
    FLAG("dataloader_drop_last", "false", "leave out a short last micro-batch"),
    WORD("train_sampling_strategy", "random", "random|sequential", "order of the rows"),
    USED("seed", OPT_INT, "42", 0, BIG, "seed of the order of rows"),
    USED("data_seed", OPT_INT, NULL, 0, BIG, "seed of the order alone; default: seed"),
    WORD("dataset_train_split", "train", NULL, "split of the folder dataset_name"),
    DEFAULT("streaming", OPT_BOOL, "false", "rows are read once, and their tokens mapped"),
    DEFAULT("test_split_size", OPT_NUM, NULL, "give a file as eval_dataset_name"),
    WORD("dataset_test_split", "test", NULL,
         "evaluation file of a folder: NAME.jsonl, else eval.jsonl"),
    DEFAULT("dataset_config", OPT_STR, NULL, "a file has no configuration"),
    DEFAULT("dataset_streaming", OPT_BOOL, "false", "not supported"),
    // The step
    USED("per_device_train_batch_size", OPT_INT, "8", 1, 1 << 16, "pairs of a micro-batch"),
    USED("gradient_accumulation_steps", OPT_INT, "1", 1, 1 << 20, "micro-batches of a step"),
    USED("num_train_epochs", OPT_NUM, "3.0", 1e-6, 1e6, "passes over the data"),
    USED("max_steps", OPT_INT, "-1", -1, 1e9, "steps; above 0 it beats num_train_epochs"),
    USED("learning_rate", OPT_NUM, "1e-6", 0.0, 10.0, "peak learning rate"),
    WORD("lr_scheduler_type", "linear",
         "linear|cosine|cosine_with_restarts|polynomial|constant|constant_with_warmup|inverse_sqrt|"
         "cosine_with_min_lr|cosine_warmup_with_min_lr|warmup_stable_decay|reduce_lr_on_plateau|"
         "greedy",
         "schedule: all of transformers' that need the step alone"),
    USED("lr_scheduler_kwargs", OPT_MAP, NULL, 0, 0,
         "its numbers: num_cycles, lr_end, power, timescale, min_lr, min_lr_rate, warmup_lr_rate, "
         "num_decay_steps, num_stable_steps, min_lr_ratio, warmup_type, decay_type"),
    USED("warmup_steps", OPT_NUM, "0", 0.0, 1e9,
         "steps of warm-up, or a share of all steps when below 1"),
    USED("warmup_ratio", OPT_NUM, NULL, 0.0, 1.0, "older name of a warmup_steps below 1"),
    USED("weight_decay", OPT_NUM, "0.0", 0.0, 100.0,
         "not on norms and biases; sgd: part of the gradient"),
    USED("adam_beta1", OPT_NUM, "0.9", 0.0, 0.9999999, "AdamW"),
    USED("adam_beta2", OPT_NUM, "0.999", 0.0, 0.99999999, "AdamW"),
    USED("adam_epsilon", OPT_NUM, "1e-8", 0.0, 1.0, "AdamW"),
    USED("max_grad_norm", OPT_NUM, "1.0", 0.0, 1e30,
         "gradients are clipped to this norm; 0: not at all"),
    WORD("optim", "adamw_torch_fused", NULL,
         "adamw_torch_fused, adamw_torch, adamw_hf: one AdamW; sgd: without momentum"),
    TEXT("optim_args", "not supported"),
    FLAG("gradient_checkpointing", NULL,
         "recompute activations in the backward: the same bits in less memory; default: what fits"),
    NOTHING("gradient_checkpointing_kwargs", OPT_STR, NULL, "there is one way to recompute"),
    USED("pass_tokens", OPT_INT, "1024", 1, 1 << 24,
         "tokens that run on the device at once, at least a pair (ours)"),
    DEFAULT("neftune_noise_alpha", OPT_NUM, NULL, "not supported"),
    // Device
    WORD("device", "auto", NULL, "auto | host | vulkan:N | opencl:N | vulkan:TEXT | opencl:TEXT"),
    TEXT("disable",
         "rungs of the device to do without: storage16,fp16,subgroup,coopmat,bf16_dot,wide,..."),
    TEXT("clamp", "limits to lower: shared=16K,invocations=128,range=64M,alloc=256M,memory=2G"),
    TEXT("cache_dir", "folder of compiled kernels; default: the user's cache folder"),
    NOTHING("use_cpu", OPT_BOOL, "false", "see device"),
    NOTHING("dataloader_num_workers", OPT_INT, "0", "rows are prepared by the program itself"),
    NOTHING("dataloader_pin_memory", OPT_BOOL, "true", "rows are prepared by the program itself"),
    NOTHING("dataset_num_proc", OPT_INT, NULL, "rows are prepared by the program itself"),
    NOTHING("remove_unused_columns", OPT_BOOL, "true", "other columns are ignored"),
    NOTHING("attn_implementation", OPT_STR, NULL, "there is one"),
    NOTHING("use_liger_kernel", OPT_BOOL, "false", "the head is always fused"),
    NOTHING("torch_compile", OPT_BOOL, "false", "no torch here"),
    NOTHING("trust_remote_code", OPT_BOOL, "false", "no remote code here"),
    NOTHING("model_revision", OPT_STR, "main", "a folder has one revision"),
    NOTHING("activation_offloading", OPT_BOOL, "false", "activations stay on the device"),
    NOTHING("torch_empty_cache_steps", OPT_INT, NULL, "no torch here"),
    // Output
    USED("logging_steps", OPT_NUM, "10", 0.0, 1e9,
         "steps between log entries, or a share of all steps when below 1"),
    FLAG("logging_first_step", "false", "also log the first step"),
    WORD("logging_strategy", "steps", "steps|epoch|no", "when to log"),
    FLAG("logging_nan_inf_filter", "true", "leave NaN and Inf out of the mean loss"),
    FLAG("disable_tqdm", NULL, "no progress line; default: only on a terminal"),
    TEXT("dump_dir",
         "folder for token ids, order, log-probs and gradients, to compare with TRL (ours)"),
    NOTHING("report_to", OPT_LIST, "none", "nothing is sent anywhere"),
    NOTHING("run_name", OPT_STR, NULL, "nothing is sent anywhere"),
    NOTHING("log_level", OPT_STR, "passive", "see stderr"),
    // Evaluation
    WORD("eval_strategy", "no", "no|steps|epoch", "when to evaluate while training"),
    USED("eval_steps", OPT_NUM, NULL, 0.0, 1e9,
         "steps between evaluations, or a share of all steps when below 1; default: logging_steps"),
    USED("eval_delay", OPT_NUM, "0", 0.0, 1e9,
         "no evaluation before so many steps (epochs with eval_strategy epoch)"),
    FLAG("eval_on_start", "false", "also evaluate before the first step"),
    USED("per_device_eval_batch_size", OPT_INT, "8", 1, 1 << 16, "pairs of an evaluation batch"),
    USED(
        "eval_dataset_name", OPT_LIST, NULL, 0, 0,
        "file to evaluate on, or a list of them, or (recipe) a mapping of names to files; default: "
        "test.jsonl of the folder dataset_name"),
    TEXT("per_row", "anydpo eval: file that gets a line of JSON for each pair (ours)"),
    NOTHING("eval_accumulation_steps", OPT_INT, NULL, "results are summed up at once"),
    NOTHING("do_eval", OPT_BOOL, "false", "see eval_strategy"),
    WORD("save_strategy", "steps", "no|steps|epoch|best",
         "when a checkpoint is written, beside the end of training (no: never)"),
    USED("save_steps", OPT_NUM, "500", 0.0, 1e9,
         "steps between checkpoints, or a share of all steps when below 1"),
    USED("save_total_limit", OPT_INT, NULL, 0.0, 1e9,
         "checkpoints that are kept: the oldest go; default: all"),
    FLAG("save_only_model", "false",
         "checkpoints without what is needed to go on: a third of the size"),
    USED("resume_from_checkpoint", OPT_PATH, NULL, 0, 0,
         "go on from a checkpoint folder; true: from the newest in output_dir"),
    DEFAULT("load_best_model_at_end", OPT_BOOL, "false", "evaluation is not supported yet"),
    DEFAULT("push_to_hub", OPT_BOOL, "false", "nothing is sent anywhere"),
    NOTHING("overwrite_output_dir", OPT_BOOL, "true", "the files of an earlier run are replaced"),
    NOTHING("do_train", OPT_BOOL, "true", "that is what train does"),
    // Names of older versions
    GONE("max_prompt_length",
         "gone since TRL 0.29; only max_length cuts, and a row whose prompt fills it is dropped"),
    GONE("max_completion_length", "gone since TRL 0.29; use max_length"),
    GONE("rpo_alpha",
         "gone since TRL 0.29; it became loss_type [\"sigmoid\", \"sft\"] with loss_weights"),
    GONE("generate_during_eval", "gone since TRL 0.29"),
    GONE("tokenizer", "renamed: the tokenizer is that of model_name_or_path"),
    GONE("evaluation_strategy", "renamed: eval_strategy"),
    GONE("torch_dtype", "renamed: dtype"),
    GONE("force_use_ref_model", "gone since TRL 0.29; use ref_model_name_or_path"),
    GONE("load_in_4bit", "quantised training is not supported"),
    GONE("load_in_8bit", "quantised training is not supported"),
    {NULL, OPT_STR, OPT_USED, NULL, 0, 0, NULL, NULL},
};
