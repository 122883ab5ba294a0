// The options of the steps: schedule and warm-up, optimizer, when to log.
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "src/api/options_internal.h"
#include "src/base/arith.h"

// ---- Schedule ---------------------------------------------------------------------------------

// The keys of lr_scheduler_kwargs, for each scheduler that reads them: as transformers names them.
static const struct key {
    enum tr_scheduler kind;
    const char *name;
    size_t at; // of the double in struct tr_schedule
    double min, max;
    bool rate; // a learning rate, not a share of the peak
} KEYS[] = {
#define AT(field) offsetof(struct tr_schedule, field)
    {TR_COSINE, "num_cycles", AT(num_cycles), 0.0, 1e6, false},
    {TR_COSINE_WITH_RESTARTS, "num_cycles", AT(num_cycles), 0.0, 1e6, false},
    {TR_POLYNOMIAL, "lr_end", AT(end), 0.0, 10.0, true},
    {TR_POLYNOMIAL, "power", AT(power), 0.0, 1e3, false},
    {TR_INVERSE_SQRT, "timescale", AT(timescale), 1.0, 1e12, false},
    {TR_COSINE_WITH_MIN_LR, "num_cycles", AT(num_cycles), 0.0, 1e6, false},
    {TR_COSINE_WITH_MIN_LR, "min_lr", AT(end), 0.0, 10.0, true},
    {TR_COSINE_WITH_MIN_LR, "min_lr_rate", AT(end), 0.0, 1.0, false},
    {TR_COSINE_WARMUP_WITH_MIN_LR, "num_cycles", AT(num_cycles), 0.0, 1e6, false},
    {TR_COSINE_WARMUP_WITH_MIN_LR, "min_lr", AT(end), 0.0, 10.0, true},
    {TR_COSINE_WARMUP_WITH_MIN_LR, "min_lr_rate", AT(end), 0.0, 1.0, false},
    {TR_COSINE_WARMUP_WITH_MIN_LR, "warmup_lr_rate", AT(warmup_lr_rate), 0.0, 1.0, false},
    {TR_WARMUP_STABLE_DECAY, "num_decay_steps", AT(num_decay_steps), 0.0, 1e12, false},
    {TR_WARMUP_STABLE_DECAY, "num_stable_steps", AT(num_stable_steps), 0.0, 1e12, false},
    {TR_WARMUP_STABLE_DECAY, "min_lr_ratio", AT(end), 0.0, 1.0, false},
    {TR_WARMUP_STABLE_DECAY, "num_cycles", AT(num_cycles), 0.0, 1e6, false},
#undef AT
};

static enum rt_err fail_key(enum tr_scheduler kind, const char *name)
{
    enum rt_err err = RT_OK;
    struct str known = {0};

    for (size_t i = 0; i < COUNT_OF(KEYS); i++)
        if (KEYS[i].kind == kind)
            RT_TRY(str_printf(&known, "%s%s", known.len ? ", " : "", KEYS[i].name));
    if (kind == TR_WARMUP_STABLE_DECAY)
        RT_TRY(str_puts(&known, ", warmup_type, decay_type"));
    err = rt_fail(RT_E_USAGE, "lr_scheduler_kwargs: %s has no %.60s; expected of: %s",
                  tr_scheduler_name(kind), name, known.len ? known.data : "none");
done:
    str_free(&known);
    return err;
}

static enum rt_err read_ramp(const cJSON *v, enum tr_ramp *out)
{
    for (*out = 0; *out < TR_RAMPS; (*out)++)
        if (cJSON_IsString(v) && strcmp(v->valuestring, tr_ramp_name(*out)) == 0)
            return RT_OK;
    *out = 0;
    return rt_fail(RT_E_USAGE,
                   "lr_scheduler_kwargs: %s: expected linear, cosine or 1-sqrt, found %.60s",
                   v->string, cJSON_IsString(v) ? v->valuestring : fmt_json_kind(v));
}

static enum rt_err read_number(const struct key *k, const cJSON *v, double lr, double *out)
{
    double x;
    if (!fmt_json_to_num(v, &x) || !(x >= k->min && x <= k->max)) {
        char a[32], b[32];
        return rt_fail(RT_E_USAGE,
                       "lr_scheduler_kwargs: %s: expected a number in %s .. %s, found %.60s",
                       k->name, fmt_num_print(a, k->min, false), fmt_num_print(b, k->max, false),
                       cJSON_IsString(v)   ? v->valuestring
                       : cJSON_IsNumber(v) ? "another"
                                           : fmt_json_kind(v));
    }
    *out = !k->rate ? x : lr > 0.0 ? x / lr : 0.0;
    return RT_OK;
}

static enum rt_err read_key(const cJSON *v, double lr, struct tr_schedule *s)
{
    const bool stable = s->kind == TR_WARMUP_STABLE_DECAY;

    if (cJSON_IsNull(v))
        return RT_OK;
    if (stable && strcmp(v->string, "warmup_type") == 0)
        return read_ramp(v, &s->warmup_type);
    if (stable && strcmp(v->string, "decay_type") == 0)
        return read_ramp(v, &s->decay_type);
    for (size_t i = 0; i < COUNT_OF(KEYS); i++)
        if (KEYS[i].kind == s->kind && strcmp(KEYS[i].name, v->string) == 0)
            return read_number(&KEYS[i], v, lr, (double *) (void *) ((char *) s + KEYS[i].at));
    return fail_key(s->kind, v->string);
}

static bool has(const cJSON *kwargs, const char *key)
{
    const cJSON *v = kwargs ? cJSON_GetObjectItemCaseSensitive(kwargs, key) : NULL;
    return v && !cJSON_IsNull(v);
}

// What transformers refuses when it makes the schedule.
static enum rt_err check_schedule(const struct tr_schedule *s, const cJSON *kwargs, double lr)
{
    const char *name = tr_scheduler_name(s->kind);
    const bool min = s->kind == TR_COSINE_WITH_MIN_LR || s->kind == TR_COSINE_WARMUP_WITH_MIN_LR;

    if (min && has(kwargs, "min_lr") == has(kwargs, "min_lr_rate"))
        return rt_fail(RT_E_USAGE,
                       "lr_scheduler_kwargs: %s needs min_lr or min_lr_rate, and one of them alone",
                       name);
    if (s->kind == TR_WARMUP_STABLE_DECAY && !has(kwargs, "num_decay_steps"))
        return rt_fail(RT_E_USAGE, "lr_scheduler_kwargs: %s needs num_decay_steps", name);
    if (s->kind == TR_POLYNOMIAL && !(s->end < 1.0))
        return rt_fail(RT_E_USAGE,
                       "lr_scheduler_kwargs: lr_end: expected below learning_rate, %g, found %g",
                       lr, s->end * lr);
    return RT_OK;
}

enum rt_err opt_resolve_schedule(const struct options *o, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    const char *name = text_of(o, "lr_scheduler_type");
    const cJSON *kwargs = given(o, "lr_scheduler_kwargs"), *v;
    enum tr_scheduler kind = 0;
    struct tr_schedule s;

    if (strcmp(name, "reduce_lr_on_plateau") == 0 || strcmp(name, "greedy") == 0)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "lr_scheduler_type: %s is not supported: it follows measured losses; "
                       "expected a schedule by steps, such as linear or cosine",
                       name));
    while (strcmp(tr_scheduler_name(kind), name) != 0) // one of the row's words
        kind++;
    s = tr_schedule_default(kind);
    s.end = kind == TR_POLYNOMIAL && c->learning_rate > 0.0 ? 1e-7 / c->learning_rate : 0.0;
    cJSON_ArrayForEach(v, kwargs) RT_TRY(read_key(v, c->learning_rate, &s));
    RT_TRY(check_schedule(&s, kwargs, c->learning_rate));
    if (given(o, "warmup_steps") && given(o, "warmup_ratio") && num_of(o, "warmup_steps") > 0.0)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "warmup_steps and warmup_ratio are both given: expected one of them"));
    s.warmup_steps =
        given(o, "warmup_steps") ? num_of(o, "warmup_steps") : num_of(o, "warmup_ratio");
    c->schedule = s;
done:
    return err;
}

// ---- Optimizer --------------------------------------------------------------------------------

static const struct {
    const char *part, *why; // of a name
} NOT_THERE[] = {
    {"8bit", "its state of 8 bits is not supported"},
    {"4bit", "its state of 4 bits is not supported"},
    {"paged", "a paged state is not supported"},
    {"lion", "Lion is not supported"},
    {"adafactor", "Adafactor is not supported"},
    {"ademamix", "AdEMAMix is not supported"},
    {"adagrad", "Adagrad is not supported"},
    {"rmsprop", "RMSprop is not supported"},
    {"galore", "GaLore is not supported"},
    {"apollo", "APOLLO is not supported"},
    {"lomo", "LOMO is not supported"},
    {"schedule_free", "schedule-free optimizers are not supported"},
    {"grokadamw", "GrokAdamW is not supported"},
    {"stable_adamw", "StableAdamW is not supported"},
    {"anyprecision", "an AdamW with state in half precision is not supported"},
};

enum rt_err opt_resolve_optim(const struct options *o, struct tr_config *c)
{
    static const char *const ADAMW[] = {"adamw_torch_fused", "adamw_torch", "adamw_hf",
                                        "adamw_torch_xla", "adamw_torch_npu_fused"};
    const char *name = text_of(o, "optim");

    c->optim = strcmp(name, "sgd") == 0 ? TR_SGD : TR_ADAMW;
    if (c->optim == TR_SGD)
        return RT_OK;
    for (size_t i = 0; i < COUNT_OF(ADAMW); i++)
        if (strcmp(name, ADAMW[i]) == 0)
            return RT_OK;
    for (size_t i = 0; i < COUNT_OF(NOT_THERE); i++)
        if (strstr(name, NOT_THERE[i].part))
            return rt_fail(RT_E_USAGE, "optim: %.60s: %s; expected adamw_torch or sgd", name,
                           NOT_THERE[i].why);
    return rt_fail(RT_E_USAGE,
                   "optim: expected adamw_torch_fused, adamw_torch, adamw_hf or sgd, found %.60s",
                   name);
}

// ---- Log --------------------------------------------------------------------------------------

enum rt_err opt_resolve_logging(const struct options *o, struct tr_config *c)
{
    const char *strategy = text_of(o, "logging_strategy");
    const double every = num_of(o, "logging_steps");

    c->logging_epochs = strcmp(strategy, "epoch") == 0;
    if (strcmp(strategy, "steps") != 0)
        return RT_OK;
    if (!(every > 0.0) || (every > 1.0 && fabs(every - nearbyint(every)) > 0.0))
        return rt_fail(RT_E_USAGE,
                       "logging_steps: expected a whole number of steps, or a share of all steps "
                       "below 1, found %g (logging_strategy no: none)",
                       every);
    c->logging_steps = every;
    return RT_OK;
}
