// Going on from a checkpoint by the options of a user: TRL's own case of it where the goldens are,
// and which options may change on the way.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anydpo.h"
#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/format/safetensors.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/t.h"

static void set(struct anydpo_job *job, const char *name, const char *value)
{
    if (anydpo_set(job, name, value) != ANYDPO_OK)
        fail_msg("%s %s: %s", name, value, t_logged());
}

static void same_weights(const char *a, const char *b)
{
    struct str x = {0}, y = {0};
    T_OK(file_read(a, &x));
    T_OK(file_read(b, &y));
    if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0)
        fail_msg("%s and %s differ", a, b);
    str_free(&x);
    str_free(&y);
}

// ---- TRL's case -------------------------------------------------------------------------------

// A job with the case's options; paths are relative to the goldens.
static struct anydpo_job *job_of(struct t *t, const char *dir, const char *out, const char *dump)
{
    struct anydpo_job *job;
    cJSON *args, *v;
    char path[1200];

    snprintf(path, sizeof(path), "%s/args.json", dir);
    T_OK(fmt_json_read(path, &args));
    assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
    cJSON_ArrayForEach(v, args)
    {
        char *text = cJSON_IsString(v) ? NULL : cJSON_PrintUnformatted(v);
        if (!cJSON_IsNull(v) && strcmp(v->string, "model") != 0)
            set(job, v->string, text ? text : v->valuestring);
        cJSON_free(text);
    }
    snprintf(path, sizeof(path), "%s/../../%s", dir,
             cJSON_GetObjectItem(args, "model")->valuestring);
    set(job, "model_name_or_path", path);
    snprintf(path, sizeof(path), "%s/train.jsonl", dir);
    set(job, "dataset_name", path);
    set(job, "output_dir", out);
    set(job, "dump_dir", dump);
    set(job, "device", t_name(t));
    set(job, "disable_tqdm", "true");
    cJSON_Delete(args);
    return job;
}

// TRL's Adam state at step 3 beside ours: relative distance of each tensor. Means of gradients and
// of their squares deviate as gradients do, and twice that: the bound is that of a gradient.
static void same_adam(const char *dir)
{
    struct fmt_st want, got;
    char path[1200];
    double worst = 0.0;

    snprintf(path, sizeof(path), "%s/checkpoint_adam.safetensors", dir);
    T_OK(fmt_st_open(path, &want));
    T_OK(fmt_st_open("resume/out/checkpoint-3/optimizer.safetensors", &got));
    assert_int_equal(want.n, got.n);
    for (uint32_t i = 0; i < want.n; i++) {
        const struct fmt_tensor *w = &want.tensors[i], *g;
        const char *kind = strstr(w->name, ".exp_avg");
        char name[300];
        double d2 = 0.0, w2 = 0.0;
        assert_non_null(kind);
        snprintf(name, sizeof(name), "%s.%.*s", kind + 1, (int) (kind - w->name), w->name);
        T_OK(fmt_st_get(&got, name, &g));
        assert_int_equal(g->count, w->count);
        float *x = malloc(w->count * sizeof(*x)), *y = malloc(w->count * sizeof(*y));
        assert_true(x && y);
        T_OK(fmt_tensor_to_f32(w, 0, w->count, x));
        T_OK(fmt_tensor_to_f32(g, 0, w->count, y));
        for (uint64_t k = 0; k < w->count; k++) {
            d2 += ((double) x[k] - (double) y[k]) * ((double) x[k] - (double) y[k]);
            w2 += (double) x[k] * (double) x[k];
        }
        free(x);
        free(y);
        if (!(sqrt(d2 / w2) < 3e-5))
            fail_msg("%s is %g away from TRL's", name, sqrt(d2 / w2));
        worst = fmax(worst, sqrt(d2 / w2));
    }
    printf("Adam's state at step 3 is at most %.2g away from TRL's\n", worst);
    fmt_st_close(&want);
    fmt_st_close(&got);
}

static void trl_case(struct t *t)
{
    const char *dir = golden_path("runs/resume");
    struct anydpo_job *job;
    char root[1100], tolerances[1200];
    double worst;

    if (!dir) {
        printf("  resume is not in tests/golden: left out\n");
        return;
    }
    snprintf(root, sizeof(root), "%s/../..", dir);
    snprintf(tolerances, sizeof(tolerances), "%s/precision/tolerances.json", root);
    job = job_of(t, dir, "resume/out", "resume/dump");
    set(job, "bf16", "false");
    if (anydpo_train(job) != ANYDPO_OK)
        fail_msg("does not run:\n%s", t_logged());
    assert_int_equal(golden_compare(&(struct compare_args){.case_dir = dir,
                                                           .goldens = root,
                                                           .tolerances = tolerances,
                                                           .dump_dir = "resume/dump",
                                                           .output_dir = "resume/out",
                                                           .scale = 1.0},
                                    &worst),
                     0);
    same_adam(dir);
    anydpo_job_destroy(&job);
    job = job_of(t, dir, "resume/again", "resume/dump2");
    set(job, "bf16", "false");
    set(job, "resume_from_checkpoint", "resume/out/checkpoint-3");
    if (anydpo_train(job) != ANYDPO_OK)
        fail_msg("does not go on:\n%s", t_logged());
    same_weights("resume/out/model.safetensors", "resume/again/model.safetensors");
    anydpo_job_destroy(&job);
}

// ---- Options ----------------------------------------------------------------------------------

// A short run into `out`, with two more options.
static enum anydpo_status run(struct t *t, const char *out, const char *const more[2][2])
{
    struct anydpo_job *job;
    const char *const all[][2] = {
        {"model_name_or_path", golden_own_path("models/llama")},
        {"dataset_name", golden_own_path("runs/family_llama/train.jsonl")},
        {"output_dir", out},
        {"device", t_name(t)},
        {"max_steps", "3"},
        {"save_steps", "2"},
        {"per_device_train_batch_size", "1"},
        {"learning_rate", "1e-3"},
        {"disable_tqdm", "true"},
        {more[0][0], more[0][1]},
        {more[1][0], more[1][1]},
    };
    assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i][0])
            set(job, all[i][0], all[i][1]);
    (void) t_logged();
    const enum anydpo_status status = anydpo_train(job);
    anydpo_job_destroy(&job);
    return status;
}

static void options(struct t *t)
{
    static const struct {
        const char *name, *value;
        bool fits; // a run with this option may go on from one without it
    } ROWS[] = {
        {"learning_rate", "0.001", true}, // another spelling
        {"loss_type", "[\"sigmoid\"]", true},
        {"bf16", "true", true},
        {"logging_steps", "1", true},
        {"save_total_limit", "9", true},
        {"max_steps", "4", true},
        {"beta", "0.2", false},
        {"learning_rate", "2e-3", false},
        {"loss_type", "[\"sigmoid\", \"sft\"]", false},
        {"seed", "43", false},
        {"gradient_accumulation_steps", "2", false},
        {"fp16", "true", false},
        {"max_steps", "1", false},
        {"max_length", "20", false},
        {"weight_decay", "0.01", false},
    };
    static const char *const FROM = "resume/options/checkpoint-2", *const RESUME =
                                                                       "resume_from_checkpoint";

    assert_int_equal(run(t, "resume/options", (const char *const[2][2]){{NULL}}), ANYDPO_OK);
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const enum anydpo_status status =
            run(t, "resume/options2",
                (const char *const[2][2]){{RESUME, FROM}, {ROWS[i].name, ROWS[i].value}});
        const char *said = t_logged();
        if (status != (ROWS[i].fits ? ANYDPO_OK : ANYDPO_USAGE))
            fail_msg("%s %s: status %d:\n%s", ROWS[i].name, ROWS[i].value, (int) status, said);
        if (!ROWS[i].fits && (!strstr(said, ROWS[i].name) || !strstr(said, "checkpoint-2")))
            fail_msg("%s %s: the message does not name it:\n%s", ROWS[i].name, ROWS[i].value, said);
        if (i < 5)
            same_weights("resume/options/model.safetensors", "resume/options2/model.safetensors");
    }
    // "true" and "false" are words, and a recipe's booleans.
    static const char *const WORDS[] = {"true", "false"};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(run(t, "resume/options", (const char *const[2][2]){{RESUME, WORDS[i]}}),
                         ANYDPO_OK);
    T_OK(file_write("resume/recipe.yaml", "resume_from_checkpoint: true\n", 29));
    struct anydpo_job *job;
    assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
    assert_int_equal(anydpo_load(job, "resume/recipe.yaml"), ANYDPO_OK);
    anydpo_job_destroy(&job);
}

// What load_best_model_at_end and save_strategy best do not go with, as in transformers.
static void strategies(struct t *t)
{
    static const char *const ROWS[][2][2] = {
        {{"load_best_model_at_end", "true"}, {"eval_strategy", "no"}},
        {{"load_best_model_at_end", "true"}, {"eval_strategy", "epoch"}},
        {{"save_strategy", "best"}, {"eval_strategy", "steps"}}, // of which metric?
        {{"save_strategy", "best"}, {"metric_for_best_model", "loss"}},
        {{"save_strategy", "sometimes"}, {NULL}},
        {{"save_steps", "2.5"}, {NULL}},
    };
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct anydpo_job *job;
        enum anydpo_status status = ANYDPO_OK;
        assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
        set(job, "model_name_or_path", golden_own_path("models/llama"));
        set(job, "dataset_name", golden_own_path("runs/family_llama/train.jsonl"));
        set(job, "output_dir", "resume/none");
        set(job, "device", t_name(t));
        for (size_t k = 0; k < 2 && ROWS[i][k][0] && status == ANYDPO_OK; k++)
            status = anydpo_set(job, ROWS[i][k][0], ROWS[i][k][1]);
        if (status == ANYDPO_OK)
            status = anydpo_train(job);
        const char *said = t_logged();
        if (status != ANYDPO_USAGE || !strstr(said, ROWS[i][0][0]))
            fail_msg("%s %s: status %d:\n%s", ROWS[i][0][0], ROWS[i][0][1], (int) status, said);
        anydpo_job_destroy(&job);
    }
    assert_false(dir_exists("resume/none"));
}

static void body(struct t *t)
{
    T_OK(dir_remove("resume"));
    trl_case(t);
    options(t);
    strategies(t);
}

int main(void)
{
    return t_each_device(body);
}
