// Every recipe of configs/ runs, with another model and data, two steps and the host: it must end
// with a finite loss, leave a model behind, and set nothing that has no effect.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anydpo.h"
#include "src/base/file.h"
#include "src/base/str.h"
#include "tests/support/golden.h"
#include "tests/t.h"

// The first loss where policy and reference are the same, or NaN: another.
static const struct {
    const char *name;
    double first;
} RECIPES[] = {
    {"full.yaml", 0.69314718},    {"trl_quickstart.yaml", 0.69314718},
    {"tiny.yaml", 0.69314718},    {"quickstart.yaml", (double) NAN},
    {"lora.yaml", 0.69314718},    {"fp16_small_gpu.yaml", 0.69314718},
    {"simpo.yaml", (double) NAN}, {"ipo.yaml", 25.0},
    {"robust.yaml", 0.69314718},  {"mpo.yaml", (double) NAN},
};
enum { COUNT = sizeof(RECIPES) / sizeof(RECIPES[0]) };

static char g_said[8192]; // errors, and what has no effect

static void listen(void *user, int level, const char *line)
{
    const size_t n = strlen(g_said);
    (void) user;
    if (level == 0 || strstr(line, "no effect") || strstr(line, "without effect"))
        snprintf(g_said + n, sizeof(g_said) - n, "%s\n", line);
}

struct seen {
    double first;
    int n;
};

static void on_metrics(void *user, const struct anydpo_metrics *m)
{
    struct seen *s = user;
    if (isnan(m->loss))
        return;
    if (s->n++ == 0)
        s->first = m->loss;
    assert_true(isfinite(m->loss) && isfinite(m->grad_norm) && m->grad_norm > 0.0);
}

// A few rows are enough, and make steps short.
static void few_rows(const char *to)
{
    struct str all = {0};
    size_t n = 0;
    T_OK(file_read(golden_own_path("runs/family_llama/train.jsonl"), &all));
    for (int row = 0; row < 6; row++)
        n += strcspn(all.data + n, "\n") + 1;
    T_OK(file_write(to, all.data, n));
    str_free(&all);
}

static void run(const char *name, struct seen *s)
{
    char path[1200], out[100], file[200];
    const char *source = os_env("ANYDPO_SOURCE");
    snprintf(path, sizeof(path), "%s/configs/%s", source ? source : ".", name);
    snprintf(out, sizeof(out), "recipes-out/%s", name);
    const char *const more[][2] = {{"model_name_or_path", golden_own_path("models/llama")},
                                   {"dataset_name", "recipes-rows.jsonl"},
                                   {"output_dir", out},
                                   {"device", "host"},
                                   {"max_steps", "2"},
                                   {"logging_steps", "1"},
                                   {"disable_tqdm", "true"}};
    struct anydpo_job *job;
    g_said[0] = 0;
    assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        assert_int_equal(
            anydpo_set(job, more[i][0],
                       more[i][1] ? more[i][1] : golden_own_path("runs/family_llama/train.jsonl")),
            ANYDPO_OK);
    if (anydpo_load(job, path) != ANYDPO_OK)
        fail_msg("%s is refused:\n%s", name, g_said);
    anydpo_on_metrics(job, on_metrics, s);
    if (anydpo_train(job) != ANYDPO_OK)
        fail_msg("%s does not run:\n%s", name, g_said);
    anydpo_job_destroy(&job);
    if (g_said[0])
        fail_msg("%s sets what has no effect:\n%s", name, g_said);
    snprintf(file, sizeof(file), "%s/model.safetensors", out);
    const bool model = file_exists(file);
    snprintf(file, sizeof(file), "%s/adapter_model.safetensors", out);
    if (!model && !file_exists(file))
        fail_msg("%s left no model in %s", name, out);
}

static void all_run(void **state)
{
    (void) state;
    few_rows("recipes-rows.jsonl");
    for (size_t i = 0; i < COUNT; i++) {
        struct seen s = {(double) NAN, 0};
        run(RECIPES[i].name, &s);
        if (s.n != 2)
            fail_msg("%s logged %d losses, expected 2", RECIPES[i].name, s.n);
        if (!isnan(RECIPES[i].first) &&
            !(fabs(s.first - RECIPES[i].first) <= 1e-6 * RECIPES[i].first))
            fail_msg("%s: the first loss is %.9g, expected %.9g", RECIPES[i].name, s.first,
                     RECIPES[i].first);
    }
}

// No recipe is left out of the table above.
static void all_listed(void **state)
{
    char path[1200];
    const char *source = os_env("ANYDPO_SOURCE");
    struct dir_names names;
    (void) state;
    snprintf(path, sizeof(path), "%s/configs", source ? source : ".");
    T_OK(dir_list(path, &names));
    for (size_t i = 0; i < names.n; i++) {
        bool known = !str_has_suffix(names.name[i], ".yaml");
        for (size_t k = 0; k < COUNT; k++)
            known = known || strcmp(names.name[i], RECIPES[k].name) == 0;
        if (!known)
            fail_msg("configs/%s is run by no test", names.name[i]);
    }
    dir_names_free(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_listed), cmocka_unit_test(all_run)};
    anydpo_set_log(listen, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
