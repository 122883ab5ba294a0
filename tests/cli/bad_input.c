// Bad input to the program: exit status 1 or 2, one message that names the thing, nothing left
// behind.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "tests/t.h"

static char g_model[1024], g_data[1024];

// Run the program with `args` ($M = a good model, $D = good data); its messages go to `said`.
static int run(const char *args, char *said, size_t size)
{
    char command[8192];
    const char *program = os_env("ANYDPO_PROGRAM");
    snprintf(command, sizeof(command), "M='%s'; D='%s'; '%s' %s 2>&1 >/dev/null </dev/null",
             g_model, g_data, program ? program : "./anydpo", args);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    const size_t n = fread(said, 1, size - 1, f);
    said[n] = 0;
    const int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int count_lines(const char *s, const char *with)
{
    int n = 0;
    for (const char *p = s; (p = strstr(p, with)) != NULL; p++)
        n++;
    return n;
}

static void put(const char *path, const char *text)
{
    T_OK(file_write(path, text, strlen(text)));
}

// A copy of the good model with one file changed. NULL text: without it.
static void model_with(const char *dir, const char *file, const char *text)
{
    static const char *const FILES[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    char from[1100], to[1100];
    T_OK(dir_make(dir));
    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        snprintf(from, sizeof(from), "%s/%s", g_model, FILES[i]);
        snprintf(to, sizeof(to), "%s/%s", dir, FILES[i]);
        if (strcmp(FILES[i], file) != 0)
            T_OK(file_copy(from, to));
        else if (text)
            put(to, text);
        else
            remove(to);
    }
}

static const char CONFIG[] =
    "{\"model_type\": \"%s\", \"vocab_size\": 448, \"hidden_size\": %s, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 14, "
    "\"intermediate_size\": 96, "
    "\"rms_norm_eps\": 1e-6, \"rope_theta\": 100000.0, \"tie_word_embeddings\": %s}";

static void config(const char *dir, const char *type, const char *hidden, const char *more)
{
    char text[1024];
    snprintf(text, sizeof(text), CONFIG, type, hidden, more);
    model_with(dir, "config.json", text);
}

// Inputs that the rows below name.
static void make_inputs(void)
{
    put("bad/not_json.jsonl",
        "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n{\"prompt\": oops}\n");
    put("bad/no_column.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": "
                               "\"c\"}\n\n{\"prompt\": \"a\", \"chosen\": \"b\"}\n");
    put("bad/wrong_type.jsonl", "{\"prompt\": \"a\", \"chosen\": 3, \"rejected\": \"c\"}\n");
    put("bad/mixed.jsonl", "{\"prompt\": \"a\", \"chosen\": [{\"role\": \"user\", \"content\": "
                           "\"x\"}], \"rejected\": \"c\"}\n");
    put("bad/empty.jsonl", "\n\n");
    put("bad/long.jsonl", "{\"prompt\": \"one two three four five six seven eight nine ten\", "
                          "\"chosen\": \"b\", \"rejected\": \"c\"}\n");
    put("bad/recipe.yaml", "beta: 0.1\nlerning_rate: 1e-6\n");
    put("bad/broken.yaml", "beta: [0.1\n");
    put("bad/env.yaml", "env:\n  A: [1]\n");
    put("bad/file", "x");
    model_with("bad/no_config", "config.json", NULL);
    model_with("bad/no_tokenizer", "tokenizer.json", NULL);
    model_with("bad/no_weights", "model.safetensors", NULL);
    model_with("bad/cut_weights", "model.safetensors", "12345678");
    model_with("bad/lying_weights", "model.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f{}");
    config("bad/unknown_arch", "mamba2", "56", "true");
    config("bad/wrong_shape", "llama", "64", "true");
    config("bad/wrong_value", "llama", "\"wide\"", "true");
    config("bad/untied", "llama", "56", "false");
    config("bad/bias", "llama", "56", "true, \"rope_interleaved\": true");
    config("bad/scaling", "llama", "56",
           "true, \"rope_scaling\": {\"type\": \"ntk\", \"factor\": 2}");
}

#define TRAIN                                                                                      \
    "train --model_name_or_path $M --dataset_name $D --output_dir bad/out --device host "          \
    "--max_steps 1 --disable_tqdm true "
#define MODEL(dir)                                                                                 \
    "train --model_name_or_path bad/" dir                                                          \
    " --dataset_name $D --output_dir bad/out --device host --max_steps 1"
#define DATA(file)                                                                                 \
    "train --model_name_or_path $M --dataset_name bad/" file                                       \
    " --output_dir bad/out --device host --max_steps 1"

static const struct {
    const char *args;
    int status;
    const char *names[3]; // all must be in the message
} ROWS[] = {
    {"", 2, {"usage"}},
    {"trian", 2, {"trian"}},
    {"train", 2, {"model_name_or_path"}},
    {TRAIN "--lerning_rate 1", 2, {"lerning_rate", "learning_rate"}},
    {TRAIN "--beta -1", 2, {"beta", "-1"}},
    {TRAIN "--beta x", 2, {"beta", "number"}},
    {TRAIN "--max_steps 1.5", 2, {"max_steps", "integer"}},
    {TRAIN "--fp16 --bf16", 2, {"fp16", "bf16"}},
    {TRAIN "--fp16 maybe", 2, {"fp16", "maybe"}},
    {TRAIN "--rpo_alpha 1", 2, {"rpo_alpha", "sft"}},
    {TRAIN "--lr_scheduler_type wobble", 2, {"lr_scheduler_type", "wobble", "cosine"}},
    {TRAIN "--warmup_steps 2 --warmup_ratio 0.1", 2, {"warmup_steps", "warmup_ratio"}},
    {TRAIN "--lr_scheduler_kwargs '{\"power\": 2}'", 2, {"linear has no power"}},
    {TRAIN "--lr_scheduler_kwargs power=2", 2, {"lr_scheduler_kwargs", "mapping", "power=2"}},
    {TRAIN "--lr_scheduler_kwargs '{\"power\": '", 2, {"lr_scheduler_kwargs"}},
    {TRAIN "--optim paged_adamw_8bit", 2, {"optim", "paged_adamw_8bit", "8 bits"}},
    {TRAIN "--loss_type sigmoid sgmoid", 2, {"loss_type", "sgmoid", "hinge"}},
    {TRAIN "--loss_type sigmoid sft --loss_weights 1", 2, {"loss_weights", "2 numbers"}},
    {TRAIN "--loss_type 'sig\"moid' x", 2, {"loss_type", "sig\"moid"}},
    {TRAIN "--no_beta", 2, {"beta", "number"}},
    {TRAIN "--no-strikt", 2, {"strikt", "strict"}},
    {TRAIN "--no_cuda --deepspeed zero.json", 2, {"deepspeed", "one device"}},
    {TRAIN "--model_init_kwargs '{\"quantization_config\": {}}'", 2, {"quantization_config"}},
    {TRAIN "--load_in_4bit", 2, {"load_in_4bit", "quantised"}},
    {TRAIN "--max_prompt_length 3", 2, {"max_prompt_length", "max_length"}},
    {TRAIN "--evaluation_strategy steps", 2, {"evaluation_strategy", "eval_strategy"}},
    {TRAIN "--ref_adapter_name x", 2, {"ref_adapter_name", "adapter_name_or_path"}},
    {TRAIN "--reference_free --sync_ref_model", 2, {"sync_ref_model", "no reference"}},
    {TRAIN "--loss_type simpo --precompute_ref_log_probs",
     2,
     {"precompute_ref_log_probs", "no ref"}},
    {TRAIN "--config bad/env.yaml", 2, {"env", "A", "text"}},
    {TRAIN "--model_name_or_path org/none --disable nothing",
     1,
     {"org/none", "Hugging Face cache"}},
    {TRAIN "--dataset_name org/rows", 1, {"org/rows", "--repo-type dataset"}},
    {TRAIN "--config bad/none.yaml", 1, {"bad/none.yaml"}},
    {TRAIN "--config bad/recipe.yaml", 2, {"bad/recipe.yaml", "lerning_rate", "learning_rate"}},
    {TRAIN "--config bad/broken.yaml", 2, {"bad/broken.yaml"}},
    {TRAIN "--device vulkan:99", 1, {"vulkan:99", "host"}},
    {TRAIN "--device toaster", 1, {"toaster"}},
    {TRAIN "--disable everything", 2, {"everything", "fp16"}},
    {TRAIN "--clamp range=banana", 2, {"banana"}},
    {TRAIN "--clamp memory=200K", 1, {"memory", "needs"}},
    {TRAIN "--output_dir bad/file/x", 1, {"bad/file"}},
    {TRAIN "--output_dir /proc/anydpo", 1, {"/proc/anydpo"}},
    {TRAIN "--model_name_or_path bad/nowhere", 1, {"bad/nowhere"}},
    {DATA("none.jsonl"), 1, {"bad/none.jsonl"}},
    {DATA("not_json.jsonl"), 1, {"bad/not_json.jsonl:2"}},
    {DATA("no_column.jsonl"), 1, {"bad/no_column.jsonl:3", "rejected"}},
    {DATA("wrong_type.jsonl"), 1, {"bad/wrong_type.jsonl:1", "chosen", "integer"}},
    {DATA("mixed.jsonl"), 1, {"bad/mixed.jsonl:1", "rejected"}},
    {DATA("empty.jsonl"), 1, {"bad/empty.jsonl", "none"}},
    {DATA("long.jsonl") " --max_length 4", 1, {"bad/long.jsonl", "max_length"}},
    {MODEL("no_config"), 1, {"bad/no_config/config.json"}},
    {MODEL("no_tokenizer"), 1, {"bad/no_tokenizer", "tokenizer.json"}},
    {MODEL("no_weights"), 1, {"bad/no_weights", "model.safetensors"}},
    {MODEL("cut_weights"), 1, {"bad/cut_weights/model.safetensors"}},
    {MODEL("lying_weights"), 1, {"bad/lying_weights/model.safetensors"}},
    {MODEL("unknown_arch"), 1, {"mamba2", "llama"}},
    {MODEL("wrong_shape"), 1, {"model.embed_tokens.weight", "64", "56"}},
    {MODEL("wrong_value"), 1, {"hidden_size"}},
    {MODEL("untied"), 1, {"lm_head.weight"}},
    {MODEL("bias"), 1, {"rope_interleaved"}},
    {MODEL("scaling"), 1, {"ntk"}},
};

static void rows(void **state)
{
    static char said[65536];
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const int status = run(ROWS[i].args, said, sizeof(said));
        if (status != ROWS[i].status)
            fail_msg("row %zu: anydpo %s: expected status %d, found %d:\n%s", i, ROWS[i].args,
                     ROWS[i].status, status, said);
        for (size_t k = 0; k < 3 && ROWS[i].names[k]; k++)
            if (!strstr(said, ROWS[i].names[k]))
                fail_msg("row %zu: anydpo %s: the message does not name %s:\n%s", i, ROWS[i].args,
                         ROWS[i].names[k], said);
        if (i > 1 && count_lines(said, "error: ") != 1)
            fail_msg("row %zu: anydpo %s: expected one error line:\n%s", i, ROWS[i].args, said);
        if (file_exists("bad/out/model.safetensors") || file_exists("bad/out/config.json"))
            fail_msg("row %zu: anydpo %s left a model behind", i, ROWS[i].args);
    }
}

// A full disk: writing fails, says so, and no half file is left. /dev/full cannot be a folder, so a
// small limit on the size of files stands for it.
static void full_disk_while(const char *saving, const char *path)
{
    static char said[65536], limited[8192];
    const char *program = os_env("ANYDPO_PROGRAM");
    struct dirent *e;

    snprintf(limited, sizeof(limited),
             "rm -rf bad/full; trap '' XFSZ; ulimit -f 64; '%s' train --model_name_or_path '%s' "
             "--dataset_name '%s' --output_dir bad/full --device host --max_steps 1 "
             "--save_strategy %s 2>&1",
             program ? program : "./anydpo", g_model, g_data, saving);
    FILE *f = popen(limited, "r");
    assert_non_null(f);
    said[fread(said, 1, sizeof(said) - 1, f)] = 0;
    const int status = pclose(f);
    assert_int_equal(WEXITSTATUS(status), 1);
    if (!strstr(said, path) || !strstr(said, "too large"))
        fail_msg("the message does not name the file and the reason:\n%s", said);
    DIR *d = opendir("bad/full");
    assert_non_null(d);
    while ((e = readdir(d)) != NULL)
        if (strstr(e->d_name, ".tmp") || strcmp(e->d_name, "model.safetensors") == 0 ||
            strncmp(e->d_name, "checkpoint", 10) == 0)
            fail_msg("bad/full/%s was left behind", e->d_name);
    closedir(d);
}

static void full_disk(void **state)
{
    (void) state;
    full_disk_while("no", "bad/full/model.safetensors");
    full_disk_while("steps", "bad/full/checkpoint-1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows), cmocka_unit_test(full_disk)};
    const char *source = os_env("ANYDPO_SOURCE");
    snprintf(g_model, sizeof(g_model), "%s/tests/golden/models/llama", source ? source : ".");
    snprintf(g_data, sizeof(g_data), "%s/tests/golden/runs/family_llama/train.jsonl",
             source ? source : ".");
    if (dir_make("bad") != RT_OK)
        return 1;
    make_inputs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
