// TRL's own runs, number by number: f32 within TRL's f32 noise, 16-bit storage within the noise
// that its rounding makes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anydpo.h"
#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/t.h"

// The cases that this version must pass; those in tests/golden always run, the others where the
// full set is.
static const char *const CASES[] = {
    "boundary_merge_split",
    "family_llama",
    "family_llama3",
    "conv_implicit",
    "boundary_merge",
    "std_implicit",
    "epochs2_partial",
    "lora_qv_rslora",
    "loss_sigmoid",
    "loss_sigmoid_beta",
    "batch1x4",
    "drop_last",
    "seed_other",
    "data_seed",
    "sched_constant",
    "sched_constant_warmup",
    "sched_cosine",
    "sched_no_warmup",
    "sched_warmup_ratio",
    "clip_off",
    "clip_tiny",
    "adam_other",
    "lr_big",
    "logging2",
    "std_implicit_bos",
    "conv_explicit",
    "trunc_keep_end",
    "pad_multiple",
    "gradient_checkpointing",
    "loss_sft",
    "loss_hinge",
    "loss_ipo",
    "loss_exo_pair",
    "loss_nca_pair",
    "loss_robust",
    "loss_bco_pair",
    "loss_sppo_hard",
    "loss_apo_zero",
    "loss_apo_down",
    "loss_discopop",
    "loss_sigmoid_norm",
    "fdiv_alpha_divergence",
    "fdiv_alpha_other",
    "fdiv_alpha_robust",
    "fdiv_forward_kl",
    "fdiv_forward_kl_ipo",
    "fdiv_js_divergence",
    "fdiv_js_hinge_discopop",
    "fdiv_js_sigmoid_norm",
    "multi_mpo",
    "multi_rpo",
    "loss_aot",
    "loss_aot_smooth",
    "loss_aot_unpaired",
    "loss_aot_unpaired_smooth",
    "ld_alpha",
    "ld_alpha_zero",
    "wpo",
    "wpo_multi",
    "eval2",
    "trunc_keep_start",
    "lora_all",
    "lora_dora",
    "lora_continue",
    "sync_ref",
    "precompute",
    "moe_aux",
    "family_mistral",
    "family_qwen2",
    "family_qwen3",
    "family_gpt2",
    "family_gemma",
    "family_gemma2",
    "family_gemma3_text",
    "family_phi3",
    "family_olmo2",
    "conv_qwen2",
    "conv_gemma3",
    "lora_gpt2",
    "lora_phi3",
    "lora_qwen2_default_targets",
};

// tolerances.json is 20 x the noise of f32 rounding (2^-24). The same roundings at 2^-11 (f16) or
// 2^-8 (bf16) make 2^13 or 2^16 times that noise, so 2^13 / 20 = 410 and 2^16 / 20 = 3277 times the
// bound hold one sigma of it as 20 did; x2.5 because a few dozen tensors are compared and the
// largest deviation counts.
static const struct {
    const char *name, *fp16, *bf16;
    double scale;
} STORAGE[] = {{"f32", "false", "false", 1.0},
               {"fp16", "true", "false", 1000.0},
               {"bf16", "false", "true", 8000.0}};

static bool set_json(struct anydpo_job *job, const char *name, const cJSON *v)
{
    char *text = cJSON_IsString(v) ? NULL : cJSON_PrintUnformatted(v);
    const bool ok = anydpo_set(job, name, text ? text : v->valuestring) == ANYDPO_OK;
    cJSON_free(text);
    return ok;
}

// A LoRA run begins with the adapter that TRL began with, because A is random.
static bool set_lora(struct anydpo_job *job, const cJSON *config, const char *dir)
{
    static const char *const NAMES[][2] = {{"r", "lora_r"},
                                           {"lora_alpha", "lora_alpha"},
                                           {"lora_dropout", "lora_dropout"},
                                           {"target_modules", "lora_target_modules"},
                                           {"use_rslora", "use_rslora"},
                                           {"use_dora", "use_dora"},
                                           {"modules_to_save", "lora_modules_to_save"}};
    char path[1100];
    bool ok = anydpo_set(job, "use_peft", "true") == ANYDPO_OK;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        const cJSON *v = cJSON_GetObjectItem(config, NAMES[i][0]);
        ok = ok && (!v || set_json(job, NAMES[i][1], v));
    }
    snprintf(path, sizeof(path), "%s/adapter_init", dir);
    return ok && anydpo_set(job, "adapter_name_or_path", path) == ANYDPO_OK;
}

// Keys of args.json whose value is a path in the goldens, or no option.
static bool set_arg(struct anydpo_job *job, const cJSON *v, const char *goldens, const char *dir)
{
    static const char *const SKIP[] = {"note", "bf16", "fp16"};
    static const char *const PATHS[][2] = {{"model", "model_name_or_path"},
                                           {"ref_model", "ref_model_name_or_path"},
                                           {"adapter", "adapter_name_or_path"}};
    char path[1100];
    for (size_t i = 0; i < COUNT_OF(SKIP); i++)
        if (strcmp(v->string, SKIP[i]) == 0)
            return true;
    if (cJSON_IsNull(v))
        return true;
    if (strcmp(v->string, "peft_config") == 0)
        return set_lora(job, v, dir);
    for (size_t i = 0; i < COUNT_OF(PATHS); i++)
        if (strcmp(v->string, PATHS[i][0]) == 0) {
            snprintf(path, sizeof(path), "%s/%s", goldens, v->valuestring);
            return anydpo_set(job, PATHS[i][1], path) == ANYDPO_OK;
        }
    return set_json(job, v->string, v);
}

static void run_case(struct t *t, const char *name, size_t storage)
{
    char path[1100], root[1100], dump[256], out[256], tolerances[1200];
    struct anydpo_job *job;
    cJSON *args = NULL;
    double worst;
    const cJSON *v;

    snprintf(path, sizeof(path), "runs/%s", name);
    const char *dir = golden_path(path);
    if (!dir) {
        printf("  %s is not in tests/golden: left out\n", name);
        return;
    }
    snprintf(root, sizeof(root), "%.*s", (int) (strlen(dir) - strlen(path) - 1), dir);
    snprintf(path, sizeof(path), "%s/args.json", dir);
    T_OK(fmt_json_read(path, &args));
    assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
    cJSON_ArrayForEach(v, args) assert_true(set_arg(job, v, root, dir));
    snprintf(dump, sizeof(dump), "golden-out/%s-%s-dump", name, STORAGE[storage].name);
    snprintf(out, sizeof(out), "golden-out/%s-%s-out", name, STORAGE[storage].name);
    snprintf(path, sizeof(path), "%s/train.jsonl", dir);
    const char *const more[][2] = {{"dataset_name", path},
                                   {"dump_dir", dump},
                                   {"output_dir", out},
                                   {"device", t_name(t)},
                                   {"fp16", STORAGE[storage].fp16},
                                   {"bf16", STORAGE[storage].bf16},
                                   {"disable_tqdm", "true"}};
    for (size_t i = 0; i < COUNT_OF(more); i++)
        assert_int_equal(anydpo_set(job, more[i][0], more[i][1]), ANYDPO_OK);
    snprintf(path, sizeof(path), "%s/eval.jsonl", dir);
    if (file_exists(path))
        assert_int_equal(anydpo_set(job, "eval_dataset_name", path), ANYDPO_OK);
    if (anydpo_train(job) != ANYDPO_OK)
        fail_msg("%s %s on %s does not run:\n%s", name, STORAGE[storage].name, t_name(t),
                 t_logged());
    snprintf(tolerances, sizeof(tolerances), "%s/precision/tolerances.json", root);
    if (!file_exists(tolerances))
        snprintf(tolerances, sizeof(tolerances), "%s/tolerances.json", root);
    const int failed = golden_compare(&(struct compare_args){.case_dir = dir,
                                                             .goldens = root,
                                                             .tolerances = tolerances,
                                                             .dump_dir = dump,
                                                             .output_dir = out,
                                                             .scale = STORAGE[storage].scale},
                                      &worst);
    printf("%-24s %-4s %-22s %s, %.2f of the bound\n", name, STORAGE[storage].name, t_name(t),
           failed ? "FAILED" : "ok", worst);
    assert_int_equal(failed, 0);
    anydpo_job_destroy(&job);
    cJSON_Delete(args);
}

static void body(struct t *t)
{
    for (size_t i = 0; i < COUNT_OF(CASES); i++)
        run_case(t, CASES[i], 0);
    // In 16 bits too the repository's own, and every family.
    for (size_t i = 0; i < COUNT_OF(CASES); i++)
        for (size_t s = 1; s < COUNT_OF(STORAGE); s++)
            if (i < 7 || strncmp(CASES[i], "family_", 7) == 0)
                run_case(t, CASES[i], s);
}

int main(void)
{
    return t_each_device(body);
}
