// Which options may differ between the run that wrote a checkpoint and the one that goes on.
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/format/json.h"
#include "src/train/checkpoint.h"

// Those that do not change what a step computes, or that are compared by what they lead to. Every
// other option must be the same: a new one is compared until it is listed here. A * ends a prefix.
static const char *const FREE[] = {
    // where things are: models and data are compared by their content
    "model_name_or_path",
    "ref_model_name_or_path",
    "adapter_name_or_path",
    "dataset_name",
    "datasets",
    "env",
    "output_dir",
    "dump_dir",
    "ref_log_probs_file",
    "cache_dir",
    // the device: another one is a warning
    "device",
    "disable",
    "clamp",
    "pass_tokens",
    "precompute_ref_batch_size",
    "precompute_ref_batch_size",
    "gradient_checkpointing",
    "activation_checkpointing",
    "env",
    // compared as one storage type
    "fp16",
    "bf16",
    // the checkpoint has the current one
    "loss_scale",
    // the length of the run, and with it the schedule: a warning
    "max_steps",
    "num_train_epochs",
    // what is watched, said and saved
    "strict",
    "save_*",
    "resume_from_checkpoint",
    "load_best_model_at_end",
    "metric_for_best_model",
    "greater_is_better",
    "logging_*",
    "disable_tqdm",
    "report_to",
    "run_name",
    "eval_*",
    "per_row",
    "sample_*",
    "per_device_eval_batch_size",
    "per_row",
    "dataset_test_split",
};

static bool is_free(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(FREE); i++) {
        const size_t n = strlen(FREE[i]);
        if (FREE[i][n - 1] == '*' ? strncmp(name, FREE[i], n - 1) == 0 : strcmp(name, FREE[i]) == 0)
            return true;
    }
    return false;
}

static enum rt_err note(struct str *out, const cJSON *then, const cJSON *now)
{
    char *a = cJSON_PrintUnformatted(then), *b = cJSON_PrintUnformatted(now);
    const enum rt_err err = a && b ? str_printf(out, "%s%s was %.80s and is %.80s",
                                                out->len ? "; " : "", then->string, a, b)
                                   : rt_fail(RT_E_NOMEM, "out of memory: options");
    cJSON_free(a);
    cJSON_free(b);
    return err;
}

enum rt_err tr_options_compare(const char *dir, const cJSON *then, const char *options_now)
{
    enum rt_err err = RT_OK;
    struct str differ = {0};
    cJSON *now = NULL;
    const cJSON *a, *b;

    if (!options_now || !cJSON_IsObject(then))
        goto done;
    RT_TRY(fmt_json_parse(options_now, strlen(options_now), "options", &now));
    cJSON_ArrayForEach(a, then)
    {
        b = cJSON_GetObjectItemCaseSensitive(now, a->string);
        if (b && !is_free(a->string) && !cJSON_Compare(a, b, true))
            RT_TRY(note(&differ, a, b));
    }
    if (differ.len)
        err = rt_fail(RT_E_USAGE,
                      "%s: resumed with other options: %s; give those of the checkpoint, or start "
                      "a new run from it as model_name_or_path",
                      dir, differ.data);
done:
    cJSON_Delete(now);
    str_free(&differ);
    return err;
}
