// The options of the loss: what they become, and what TRL refuses too.
#include <math.h>
#include <string.h>

#include "src/api/options_internal.h"
#include "src/base/arith.h"

// Item i of a list option; a bare value is a list of one. NULL: there is none.
static const cJSON *item(const cJSON *v, int i)
{
    if (cJSON_IsArray(v))
        return cJSON_GetArrayItem(v, i);
    return i == 0 ? v : NULL;
}

// Other names, and what became of names that TRL had.
static const struct {
    const char *name, *is, *why; // is NULL: refused
} OTHER_NAMES[] = {
    {"dpo_norm", "sigmoid_norm", NULL},
    {"aot_pair", NULL, "TRL renamed it: aot_unpaired"},
    {"kto_pair", NULL, "TRL removed it; bco_pair is near"},
};

static enum rt_err loss_of(const char *name, enum op_loss_type *out)
{
    struct str known = {0};
    enum rt_err err;

    for (size_t i = 0; i < COUNT_OF(OTHER_NAMES); i++)
        if (strcmp(OTHER_NAMES[i].name, name) == 0) {
            if (!OTHER_NAMES[i].is)
                return rt_fail(RT_E_USAGE, "loss_type: %s: %s", name, OTHER_NAMES[i].why);
            name = OTHER_NAMES[i].is;
        }
    for (*out = 0; *out < OP_LOSS_TYPES; (*out)++)
        if (strcmp(op_loss_name(*out), name) == 0)
            return RT_OK;
    err = str_puts(&known, op_loss_name(0));
    for (enum op_loss_type t = 1; t < OP_LOSS_TYPES && err == RT_OK; t++)
        err = str_printf(&known, ", %s", op_loss_name(t));
    if (err == RT_OK)
        err = rt_fail(RT_E_USAGE, "loss_type: expected of %s, found %.60s", known.data, name);
    str_free(&known);
    return err;
}

// loss_type and loss_weights.
static enum rt_err resolve_terms(const struct options *o, struct op_loss_spec *s)
{
    enum rt_err err = RT_OK;
    const cJSON *types = given(o, "loss_type"), *weights = given(o, "loss_weights"), *v;

    for (s->n_terms = 0; (v = item(types, (int) s->n_terms)) != NULL; s->n_terms++) {
        struct op_loss_term *t = &s->terms[s->n_terms < OP_LOSS_TERMS ? s->n_terms : 0];
        if (!cJSON_IsString(v) || s->n_terms == OP_LOSS_TERMS)
            RT_TRY(rt_fail(RT_E_USAGE, "loss_type: expected up to %d names, found %s as item %u",
                           OP_LOSS_TERMS, fmt_json_kind(v), s->n_terms));
        RT_TRY(loss_of(v->valuestring, &t->type));
        t->weight = 1.0;
    }
    if (types && s->n_terms == 0)
        RT_TRY(rt_fail(RT_E_USAGE, "loss_type: expected at least one name, found an empty list"));
    if (!types)
        s->terms[s->n_terms++] = (struct op_loss_term){OP_LOSS_SIGMOID, 1.0};
    uint32_t n = 0;
    for (; (v = item(weights, (int) n)) != NULL; n++)
        if (n < s->n_terms &&
            (!fmt_json_to_num(v, &s->terms[n].weight) || !isfinite(s->terms[n].weight)))
            RT_TRY(rt_fail(RT_E_USAGE, "loss_weights: expected numbers, found %s as item %u",
                           fmt_json_kind(v), n));
    if (weights && n != s->n_terms)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "loss_weights: expected %u numbers, one for each loss_type, found %u",
                       s->n_terms, n));
done:
    return err;
}

// Where label_smoothing is read, it must be in range. TRL warns of robust's, whose loss is not
// bounded below from 1/2 on.
static enum rt_err check_smoothing(const struct op_loss_spec *s)
{
    const double e = s->label_smoothing;
    if (op_loss_has(s, OP_LOSS_EXO_PAIR) && !(e > 0.0 && e < 1.0))
        return rt_fail(
            RT_E_USAGE,
            "label_smoothing: exo_pair needs it above 0 and below 1 (TRL: 1e-3), found %g", e);
    if (op_loss_has(s, OP_LOSS_ROBUST) && fabs(e - 0.5) < 1e-6)
        return rt_fail(RT_E_USAGE,
                       "label_smoothing: robust divides by 1 - 2 * label_smoothing: expected below "
                       "0.5, found %g",
                       e);
    if (op_loss_has(s, OP_LOSS_ROBUST) && e > 0.5)
        log_warn("label_smoothing: robust wants it in 0 .. 0.5, found %g", e);
    return RT_OK;
}

// What weights of tokens and of pairs do not go with.
static enum rt_err check_weights(const struct tr_config *c)
{
    static const enum op_loss_type NOT_WPO[] = {OP_LOSS_AOT, OP_LOSS_AOT_UNPAIRED, OP_LOSS_SFT};
    for (size_t i = 0; c->use_weighting && i < COUNT_OF(NOT_WPO); i++)
        if (op_loss_has(&c->loss, NOT_WPO[i]))
            return rt_fail(RT_E_USAGE, "use_weighting is not defined for loss_type %s, as in TRL",
                           op_loss_name(NOT_WPO[i]));
    for (uint32_t i = 0; i < c->loss.n_terms; i++)
        if (op_loss_is_alone(c->loss.terms[i].type) && (c->ld || c->use_weighting))
            return rt_fail(RT_E_USAGE, "%s is not defined for loss_type %s, which TRL's DPO lacks",
                           c->ld ? "ld_alpha" : "use_weighting",
                           op_loss_name(c->loss.terms[i].type));
    return RT_OK;
}

// Is there a reference? An explicit one is kept for the rewards of a loss that reads none.
static enum rt_err resolve_reference(const struct options *o, struct tr_config *c)
{
    static const char *const NEEDS[] = {"ref_model_name_or_path", "precompute_ref_log_probs",
                                        "sync_ref_model"};
    const bool asked = bool_of(o, "reference_free");
    bool alone = false, reads = false;

    for (uint32_t i = 0; i < c->loss.n_terms; i++) {
        const enum op_loss_type t = c->loss.terms[i].type;
        alone = alone || op_loss_is_alone(t);
        reads = reads || !(op_loss_is_alone(t) || t == OP_LOSS_SFT);
    }
    c->reference_free = asked || (alone && !reads && !c->ref_model_name_or_path);
    for (size_t i = 0; c->reference_free && i < COUNT_OF(NEEDS); i++)
        if (i == 0 ? c->ref_model_name_or_path != NULL : bool_of(o, NEEDS[i]))
            return rt_fail(RT_E_USAGE, "%s: there is no reference with %s", NEEDS[i],
                           asked ? "reference_free" : "a loss_type of simpo or orpo");
    return RT_OK;
}

// Values that no term reads: said once.
static void note_unread(const struct options *o, const struct op_loss_spec *s)
{
    const bool smooth = op_loss_has(s, OP_LOSS_EXO_PAIR) || op_loss_has(s, OP_LOSS_ROBUST) ||
                        op_loss_has(s, OP_LOSS_AOT) || op_loss_has(s, OP_LOSS_AOT_UNPAIRED) ||
                        op_loss_has(s, OP_LOSS_CDPO) || op_loss_has(s, OP_LOSS_SIMPO);
    if (s->label_smoothing > 0.0 && !smooth)
        log_info("label_smoothing has no effect on the loss_type given, as in TRL (cdpo is sigmoid "
                 "with it)");
    if (given(o, "simpo_gamma") && !op_loss_has(s, OP_LOSS_SIMPO))
        log_info("simpo_gamma has no effect on the loss_type given");
    if (given(o, "discopop_tau") && fabs(s->discopop_tau - 0.05) > 0.0 &&
        !op_loss_has(s, OP_LOSS_DISCOPOP))
        log_info("discopop_tau has no effect on the loss_type given");
}

static enum rt_err resolve_loss(const struct options *o, struct op_loss_spec *s)
{
    enum rt_err err = RT_OK;
    const char *divergence = text_of(o, "f_divergence_type");

    RT_TRY(resolve_terms(o, s));
    s->label_smoothing = num_of(o, "label_smoothing");
    s->simpo_gamma = num_of(o, "simpo_gamma");
    s->discopop_tau = num_of(o, "discopop_tau");
    s->alpha = num_of(o, "f_alpha_divergence_coef");
    while (strcmp(op_divergence_name(s->divergence), divergence) != 0) // one of the row's words
        s->divergence++;
    for (uint32_t i = 0; i < s->n_terms; i++) {
        const enum op_loss_type t = s->terms[i].type;
        if (s->divergence != OP_REVERSE_KL && !op_loss_takes_divergence(t))
            RT_TRY(rt_fail(
                RT_E_USAGE,
                "f_divergence_type: %s is not defined for loss_type %s; expected reverse_kl",
                divergence, op_loss_name(t)));
    }
    RT_TRY(check_smoothing(s));
    note_unread(o, s);
done:
    return err;
}

enum rt_err opt_resolve_loss(const struct options *o, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    RT_TRY(resolve_loss(o, &c->loss));
    RT_TRY(check_weights(c));
    RT_TRY(resolve_reference(o, c));
done:
    return err;
}
