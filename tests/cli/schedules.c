// lr_scheduler_type and lr_scheduler_kwargs: what they become, step by step, against transformers'
// own schedules (tests/golden/schedules.json); what is refused; logging_steps as a share; optim.
#include <math.h>
#include <stdio.h>

#include "src/format/json.h"
#include "tests/cli/options.h"
#include "tests/support/golden.h"

static void set_number(struct options *o, const char *name, double x)
{
    char text[32];
    T_OK(options_set_text(o, name, fmt_num_print(text, x, false), "test"));
}

// Both programs compute in double: a few roundings of numbers of size 1.
static double follow(const cJSON *c)
{
    struct options o = options_start();
    struct tr_config t = {0};
    char *kwargs = cJSON_PrintUnformatted(cJSON_GetObjectItem(c, "kwargs"));
    const char *type = cJSON_GetObjectItem(c, "type")->valuestring;
    const int steps = cJSON_GetObjectItem(c, "steps")->valueint;
    const cJSON *v;
    double worst = 0.0;
    uint64_t k = 0;

    T_OK(options_set_text(&o, "lr_scheduler_type", type, "test"));
    T_OK(options_set_text(&o, "lr_scheduler_kwargs", kwargs, "test"));
    set_number(&o, "warmup_steps", cJSON_GetObjectItem(c, "warmup_steps")->valuedouble);
    set_number(&o, "learning_rate", cJSON_GetObjectItem(c, "lr")->valuedouble);
    T_OK(options_resolve(&o, true, &t));
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(c, "factors"))
    {
        const double got = tr_schedule_factor(&t.schedule, k, (uint64_t) steps);
        if (!(fabs(got - v->valuedouble) <= 1e-12))
            fail_msg("%s %s, %d steps, warm-up %g: step %llu: factor %.17g, transformers' %.17g",
                     type, kwargs, steps, cJSON_GetObjectItem(c, "warmup_steps")->valuedouble,
                     (unsigned long long) k, got, v->valuedouble);
        worst = fmax(worst, fabs(got - v->valuedouble));
        k++;
    }
    assert_int_equal(k, steps);
    cJSON_free(kwargs);
    options_destroy(&o);
    return worst;
}

static void schedules(void)
{
    cJSON *root;
    const cJSON *c;
    double worst = 0.0;
    T_OK(fmt_json_read(golden_own_path("schedules.json"), &root));
    cJSON_ArrayForEach(c, root) worst = fmax(worst, follow(c));
    printf("%d schedules of transformers: worst deviation %.2g\n", cJSON_GetArraySize(root), worst);
    cJSON_Delete(root);
}

static const struct row REFUSED[] = {
    {{{"lr_scheduler_type", "reduce_lr_on_plateau"}}, "follows measured losses"},
    {{{"lr_scheduler_type", "greedy"}}, "follows measured losses"},
    {{{"lr_scheduler_type", "linear"}, {"lr_scheduler_kwargs", "{\"num_cycles\": 1}"}},
     "linear has no num_cycles; expected of: none"},
    {{{"lr_scheduler_type", "polynomial"}, {"lr_scheduler_kwargs", "{\"lr_ends\": 1}"}},
     "expected of: lr_end, power"},
    {{{"lr_scheduler_type", "polynomial"}, {"lr_scheduler_kwargs", "{\"power\": \"x\"}"}},
     "found x"},
    {{{"lr_scheduler_type", "polynomial"}, {"lr_scheduler_kwargs", "{\"lr_end\": 0.1}"}},
     "below learning_rate"},
    {{{"lr_scheduler_type", "polynomial"}, {"learning_rate", "1e-7"}}, "below learning_rate"},
    {{{"lr_scheduler_type", "cosine_with_min_lr"}}, "needs min_lr or min_lr_rate"},
    {{{"lr_scheduler_type", "cosine_warmup_with_min_lr"},
      {"lr_scheduler_kwargs", "{\"min_lr\": 1e-7, \"min_lr_rate\": 0.1}"}},
     "one of them alone"},
    {{{"lr_scheduler_type", "cosine_with_min_lr"},
      {"lr_scheduler_kwargs", "{\"min_lr_rate\": 1.5}"}},
     "0 .. 1"},
    {{{"lr_scheduler_type", "warmup_stable_decay"}}, "needs num_decay_steps"},
    {{{"lr_scheduler_type", "warmup_stable_decay"},
      {"lr_scheduler_kwargs", "{\"num_decay_steps\": 5, \"decay_type\": \"steep\"}"}},
     "linear, cosine or 1-sqrt, found steep"},
    {{{"warmup_steps", "2"}, {"warmup_ratio", "0.1"}}, "expected one of them"},
    {{{"logging_steps", "1.5"}}, "whole number"},
    {{{"logging_steps", "0"}}, "logging_strategy no"},
    {{{"optim", "lion_8bit"}}, "8 bits"},
    {{{"optim", "paged_adamw_32bit"}}, "paged"},
    {{{"optim", "adafactor"}}, "Adafactor"},
    {{{"optim", "galore_adamw"}}, "GaLore"},
    {{{"optim", "adamw_anyprecision"}}, "half precision"},
    {{{"optim", "sgdd"}}, "found sgdd"},
};

static void refusals(void)
{
    struct options o = options_start();
    options_refuse(REFUSED, COUNT_OF(REFUSED));
    T_ERR(RT_E_USAGE, options_set_text(&o, "lr_scheduler_type", "wobble", "test"));
    T_ERR(RT_E_USAGE, options_set_text(&o, "optim_args", "momentum=0.9", "test"));
    T_ERR(RT_E_USAGE, options_set_text(&o, "lr_scheduler_kwargs", "[1]", "test"));
    T_ERR(RT_E_USAGE, options_set_text(&o, "lr_scheduler_kwargs", "{\"a\": ", "test"));
    T_ERR(RT_E_USAGE, options_set_text(&o, "lr_scheduler_kwargs", "0.5", "test"));
    options_destroy(&o);
}

// transformers: math.ceil(max_steps * share), else the number itself.
static void becomes(void)
{
    struct tr_config c;
    assert_int_equal(tr_schedule_every(0.1, 100), 10);
    assert_int_equal(tr_schedule_every(0.1, 101), 11);
    assert_int_equal(tr_schedule_every(0.001, 5), 1);
    assert_int_equal(tr_schedule_every(1.0, 5), 1);
    assert_int_equal(tr_schedule_every(7.0, 5), 7);
    assert_int_equal(tr_schedule_every(0.0, 5), 0);
    T_OK(options_become(&(struct row){.set = {{"logging_steps", "0.25"}}}, &c));
    assert_true(c.logging_steps == 0.25 && !c.logging_epochs && c.optim == TR_ADAMW);
    T_OK(options_become(&(struct row){.set = {{"logging_strategy", "epoch"}, {"optim", "sgd"}}},
                        &c));
    assert_true(c.logging_epochs && c.logging_steps == 0.0 && c.optim == TR_SGD);
    T_OK(options_become(&(struct row){.set = {{"logging_strategy", "no"}, {"optim", "adamw_hf"}}},
                        &c));
    assert_true(!c.logging_epochs && c.logging_steps == 0.0 && c.optim == TR_ADAMW);
    T_OK(options_become(&(struct row){.set = {{"warmup_ratio", "0.5"}}}, &c));
    assert_true(c.schedule.kind == TR_LINEAR && c.schedule.warmup_steps == 0.5);
}

static void body(struct t *t)
{
    (void) t;
    schedules();
    refusals();
    becomes();
}

int main(void)
{
    return t_each_device(body);
}
