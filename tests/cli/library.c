// A whole training run through the C library, with its public header alone.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "anydpo.h"

static void on_metrics(void *user, const struct anydpo_metrics *m)
{
    if (m->step == 1 && !isnan(m->loss))
        *(double *) user = m->loss;
    printf("step %llu loss %.6f margin %.4f\n", (unsigned long long) m->step, m->loss,
           m->rewards_margins);
}

int main(void)
{
    static const char *const OPTIONS[][2] = {
        {"output_dir", "library-out"},
        {"device", "host"},
        {"max_steps", "2"},
        {"logging_steps", "1"},
        {"per_device_train_batch_size", "2"},
        {"learning_rate", "1e-3"},
        {"bf16", "false"},
        {"disable_tqdm", "true"},
    };
    const char *source = getenv("ANYDPO_SOURCE");
    char model[1024], data[1024];
    struct anydpo_job *job;
    double first = 0.0;

    snprintf(model, sizeof(model), "%s/tests/golden/models/llama", source ? source : ".");
    snprintf(data, sizeof(data), "%s/tests/golden/runs/family_llama/train.jsonl",
             source ? source : ".");
    enum anydpo_status status = anydpo_job_create(&job);
    for (size_t i = 0; status == ANYDPO_OK && i < sizeof(OPTIONS) / sizeof(OPTIONS[0]); i++)
        status = anydpo_set(job, OPTIONS[i][0], OPTIONS[i][1]);
    if (status == ANYDPO_OK && (status = anydpo_set(job, "model_name_or_path", model)) == ANYDPO_OK)
        status = anydpo_set(job, "dataset_name", data);
    anydpo_on_metrics(job, on_metrics, &first);
    if (status == ANYDPO_OK)
        status = anydpo_train(job);
    anydpo_job_destroy(&job);
    // Policy and reference are the same at step 1, so the loss is ln 2, and was seen through the
    // callback.
    return status == ANYDPO_OK && fabs(first - 0.69314718055994531) < 1e-7 ? 0 : 1;
}
