// A GGUF file as model_name_or_path: the same run as from the folder that it was made of, to the
// bit.
#include <stdio.h>
#include <string.h>

#include "anydpo.h"
#include "src/api/export.h"
#include "src/base/file.h"
#include "tests/support/golden.h"
#include "tests/t.h"

#define OUT "gguf-model-out"

static void set(struct anydpo_job *job, const char *name, const char *value)
{
    if (anydpo_set(job, name, value) != ANYDPO_OK)
        fail_msg("--%s %s is refused:\n%s", name, value, t_logged());
}

static enum anydpo_status train(struct t *t, const char *model, const char *out,
                             const char *const more[][2], size_t n)
{
    const char *const rows[][2] = {
        {"model_name_or_path", model},
        {"dataset_name", golden_own_path("runs/family_llama/train.jsonl")},
        {"output_dir", out},
        {"device", t_name(t)},
        {"bf16", "false"},
        {"max_steps", "2"},
        {"learning_rate", "1e-3"},
        {"save_strategy", "no"},
        {"disable_tqdm", "true"}};
    enum anydpo_status err;
    struct anydpo_job *job;

    assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        set(job, rows[i][0], rows[i][1]);
    for (size_t i = 0; i < n; i++)
        set(job, more[i][0], more[i][1]);
    err = anydpo_train(job);
    anydpo_job_destroy(&job);
    return err;
}

static void same_file(const char *a, const char *b, const char *name)
{
    char path[2][300];
    struct str text[2] = {{0}, {0}};

    snprintf(path[0], sizeof(path[0]), "%s/%s", a, name);
    snprintf(path[1], sizeof(path[1]), "%s/%s", b, name);
    for (int i = 0; i < 2; i++)
        T_OK(file_read(path[i], &text[i]));
    assert_int_equal(text[0].len, text[1].len);
    assert_memory_equal(text[0].data, text[1].data, text[0].len);
    str_free(&text[0]);
    str_free(&text[1]);
}

static void body(struct t *t)
{
    static const char *const LORA[][2] = {{"use_peft", "true"}, {"lora_r", "4"}},
                             *const REFERENCE[][2] = {{"ref_model_name_or_path", OUT "/m.gguf"},
                                                      {"precompute_ref_log_probs", "true"}};
    const char *const folder = golden_own_path("models/llama"), *const file = OUT "/m.gguf";
    struct api_exported did;

    T_OK(dir_make(OUT));
    T_OK(api_export(&(struct api_export_args){folder, file, "f32"}, &did));
    assert_int_equal(train(t, folder, OUT "/a", NULL, 0), ANYDPO_OK);
    assert_int_equal(train(t, file, OUT "/b", NULL, 0), ANYDPO_OK);
    same_file(OUT "/a", OUT "/b", "model.safetensors");
    assert_int_equal(train(t, folder, OUT "/c", LORA, 2), ANYDPO_OK);
    assert_int_equal(train(t, file, OUT "/d", LORA, 2), ANYDPO_OK);
    same_file(OUT "/c", OUT "/d", "adapter_model.safetensors");
    // what was saved is a folder that trains on, here against the file
    assert_int_equal(train(t, OUT "/b", OUT "/e", REFERENCE, 2), ANYDPO_OK);
    T_OK(file_write(OUT "/bad.gguf", "GGUF", 4));
    assert_int_equal(train(t, OUT "/bad.gguf", OUT "/f", NULL, 0), ANYDPO_FAILED);
    assert_non_null(strstr(t_logged(), "bad.gguf"));
    T_OK(dir_remove(OUT));
}

int main(void)
{
    return t_each_device(body);
}
