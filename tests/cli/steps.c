// Whole runs against the log histories of TRL's DPOTrainer (tests/golden/steps.json): options of
// schedule, optimizer, log and loss that the runs in tests/golden/runs do not have.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "anydpo.h"
#include "src/format/json.h"
#include "tests/support/golden.h"
#include "tests/t.h"

static void set(struct anydpo_job *job, const char *name, const char *value)
{
    if (anydpo_set(job, name, value) != ANYDPO_OK)
        fail_msg("--%s %s is refused:\n%s", name, value, t_logged());
}

static void run(struct t *t, const cJSON *options, const char *out)
{
    const char *const more[][2] = {{"model_name_or_path", golden_own_path("models/llama")},
                                   {"dataset_name", NULL},
                                   {"output_dir", out},
                                   {"device", t_name(t)},
                                   {"bf16", "false"},
                                   {"save_strategy", "no"},
                                   {"disable_tqdm", "true"}};
    struct anydpo_job *job;
    const cJSON *v;
    assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        set(job, more[i][0],
            more[i][1] ? more[i][1] : golden_own_path("runs/family_llama/train.jsonl"));
    cJSON_ArrayForEach(v, options)
    {
        char *text = cJSON_PrintUnformatted(v);
        set(job, v->string, cJSON_IsString(v) ? v->valuestring : text);
        cJSON_free(text);
    }
    if (anydpo_train(job) != ANYDPO_OK)
        fail_msg("%s does not run:\n%s", out, t_logged());
    anydpo_job_destroy(&job);
}

// TRL computes in f32, and so do we but for the host: sums over a few hundred tokens of 6 nats.
// Learning rates are the same double arithmetic.
static const struct {
    const char *key;
    double atol, rtol;
} BOUNDS[] = {
    {"step", 0.0, 0.0},           {"epoch", 1e-12, 0.0},        {"loss", 1e-4, 2e-5},
    {"train_loss", 1e-4, 2e-5},   {"grad_norm", 1e-4, 2e-4},    {"learning_rate", 1e-15, 1e-9},
    {"rewards/margins", 4e-4, 0}, {"logps/chosen", 2e-3, 1e-5},
};

static void compare(const char *name, int entry, const cJSON *want, const cJSON *got)
{
    for (size_t i = 0; i < sizeof(BOUNDS) / sizeof(BOUNDS[0]); i++) {
        const cJSON *w = cJSON_GetObjectItemCaseSensitive(want, BOUNDS[i].key),
                    *g = cJSON_GetObjectItemCaseSensitive(got, BOUNDS[i].key);
        if (!w)
            continue;
        if (!g || !(fabs(g->valuedouble - w->valuedouble) <=
                    BOUNDS[i].atol + BOUNDS[i].rtol * fabs(w->valuedouble)))
            fail_msg("%s, entry %d: %s is %.9g, TRL's %.9g", name, entry, BOUNDS[i].key,
                     g ? g->valuedouble : (double) NAN, w->valuedouble);
    }
}

static void follow(struct t *t, const cJSON *c)
{
    const cJSON *want = cJSON_GetObjectItem(c, "log_history"), *got;
    char out[200], path[300];
    cJSON *state;
    snprintf(out, sizeof(out), "steps-out/%s", c->string);
    run(t, cJSON_GetObjectItem(c, "options"), out);
    snprintf(path, sizeof(path), "%s/trainer_state.json", out);
    T_OK(fmt_json_read(path, &state));
    got = cJSON_GetObjectItem(state, "log_history");
    if (cJSON_GetArraySize(got) != cJSON_GetArraySize(want))
        fail_msg("%s: %d entries, TRL has %d", c->string, cJSON_GetArraySize(got),
                 cJSON_GetArraySize(want));
    for (int i = 0; i < cJSON_GetArraySize(want); i++)
        compare(c->string, i, cJSON_GetArrayItem(want, i), cJSON_GetArrayItem(got, i));
    cJSON_Delete(state);
}

static void body(struct t *t)
{
    cJSON *root;
    const cJSON *c;
    T_OK(fmt_json_read(golden_own_path("steps.json"), &root));
    cJSON_ArrayForEach(c, root) follow(t, c);
    printf("%d histories of TRL are followed on %s\n", cJSON_GetArraySize(root), t_name(t));
    cJSON_Delete(root);
}

int main(void)
{
    return t_each_device(body);
}
