#include "src/api/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/format/yaml.h"

static size_t row_count(void)
{
    size_t n = 0;
    while (OPT_ROWS[n].name)
        n++;
    return n;
}

static size_t find_row(const char *name)
{
    size_t i = 0;
    while (OPT_ROWS[i].name && strcmp(OPT_ROWS[i].name, name) != 0)
        i++;
    return i;
}

enum rt_err options_create(struct options *out)
{
    out->values = calloc(row_count(), sizeof(*out->values));
    return out->values ? RT_OK : rt_fail(RT_E_NOMEM, "out of memory: options");
}

void options_destroy(struct options *o)
{
    for (size_t i = 0; o->values && OPT_ROWS[i].name; i++)
        cJSON_Delete(o->values[i]);
    free(o->values);
    *o = (struct options){0};
}

// ---- One value --------------------------------------------------------------------------------

static bool to_bool(const cJSON *v, bool *out)
{
    static const char *const WORDS[] = {"false", "true", "False", "True", "no", "yes", "0", "1"};
    if (cJSON_IsBool(v)) {
        *out = cJSON_IsTrue(v) != 0;
        return true;
    }
    for (size_t i = 0; cJSON_IsString(v) && i < COUNT_OF(WORDS); i++)
        if (strcmp(v->valuestring, WORDS[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    return false;
}

static bool has_word(const char *words, const char *w)
{
    const size_t n = strlen(w);
    for (; words; words = strchr(words, '|') ? strchr(words, '|') + 1 : NULL)
        if (strncmp(words, w, n) == 0 && (words[n] == '|' || words[n] == 0))
            return true;
    return false;
}

static enum rt_err check_number(const struct opt_row *row, const cJSON *v, const char *from)
{
    double x;
    char a[32], b[32];
    if (!fmt_json_to_num(v, &x))
        return rt_fail(RT_E_USAGE, "%s: %s: expected a number, found %s %.60s", from, row->name,
                       fmt_json_kind(v), cJSON_IsString(v) ? v->valuestring : "");
    if (row->kind == OPT_INT && fabs(x - nearbyint(x)) > 0.0)
        return rt_fail(RT_E_USAGE, "%s: %s: expected an integer, found %s", from, row->name,
                       fmt_num_print(a, x, false));
    if (!(x >= row->min && x <= row->max)) {
        char c[32];
        return rt_fail(RT_E_USAGE, "%s: %s: expected %s .. %s, found %s", from, row->name,
                       fmt_num_print(a, row->min, false), fmt_num_print(b, row->max, false),
                       fmt_num_print(c, x, false));
    }
    return RT_OK;
}

static enum rt_err check_value(const struct opt_row *row, const cJSON *v, const char *from)
{
    bool b;
    if (row->kind == OPT_INT || row->kind == OPT_NUM)
        return check_number(row, v, from);
    if (row->kind == OPT_BOOL && !to_bool(v, &b))
        return rt_fail(RT_E_USAGE, "%s: %s: expected true or false, found %s %.60s", from,
                       row->name, fmt_json_kind(v), cJSON_IsString(v) ? v->valuestring : "");
    if (row->kind == OPT_STR && row->rule == OPT_USED && !cJSON_IsString(v))
        return rt_fail(RT_E_USAGE, "%s: %s: expected text, found %s", from, row->name,
                       fmt_json_kind(v));
    if (row->values && !has_word(row->values, v->valuestring))
        return rt_fail(RT_E_USAGE, "%s: %s: expected one of %s, found %.60s", from, row->name,
                       row->values, v->valuestring);
    return RT_OK;
}

// Is a valid value the row's default? Lists of one count as their item.
static bool is_default(const struct opt_row *row, const cJSON *v)
{
    bool b, d;
    double x;
    if (!row->def)
        return false;
    if (cJSON_IsArray(v))
        return cJSON_GetArraySize(v) == 1 && is_default(row, v->child);
    if (row->kind == OPT_BOOL)
        return to_bool(v, &b) &&
               to_bool(&(cJSON){.type = cJSON_String, .valuestring = (char *) (uintptr_t) row->def},
                       &d) &&
               b == d;
    if (row->kind == OPT_INT || row->kind == OPT_NUM)
        return fmt_json_to_num(v, &x) && fabs(x - strtod(row->def, NULL)) <= 0.0;
    return cJSON_IsString(v) && strcmp(v->valuestring, row->def) == 0;
}

static enum rt_err fail_unknown(const char *name, const char *from)
{
    const char *best = NULL;
    unsigned least = 255;
    for (size_t i = 0; OPT_ROWS[i].name; i++) {
        const unsigned d = str_distance(name, OPT_ROWS[i].name);
        if (d < least) {
            least = d;
            best = OPT_ROWS[i].name;
        }
    }
    if (best && least <= 4)
        return rt_fail(RT_E_USAGE, "%s: unknown option %.60s; did you mean %s?", from, name, best);
    return rt_fail(RT_E_USAGE, "%s: unknown option %.60s; anydpo train --help lists them", from,
                   name);
}

// Takes ownership of `v`, also on error.
static enum rt_err set(struct options *o, const char *name, cJSON *v, const char *from)
{
    enum rt_err err = RT_OK;
    const size_t i = find_row(name);
    const struct opt_row *row = &OPT_ROWS[i];

    if (!row->name)
        RT_TRY(fail_unknown(name, from));
    if (cJSON_IsNull(v) && strcmp(name, "max_length") != 0) // not given
        goto done;
    if (row->rule == OPT_GONE)
        RT_TRY(rt_fail(RT_E_USAGE, "%s: %s: %s", from, name, row->help));
    if (!cJSON_IsNull(v))
        RT_TRY(check_value(row, v, from));
    if (row->rule == OPT_DEFAULT && !is_default(row, v))
        RT_TRY(rt_fail(RT_E_USAGE, "%s: %s: %s (default: %s)", from, name, row->help,
                       row->def ? row->def : "not given"));
    cJSON_Delete(o->values[i]);
    o->values[i] = v;
    v = NULL;
done:
    cJSON_Delete(v);
    return err;
}

enum rt_err options_set_text(struct options *o, const char *name, const char *text,
                             const char *from)
{
    enum rt_err err = RT_OK;
    cJSON *v = NULL;

    if (text[0] == '[')
        RT_TRY(fmt_json_parse(text, strlen(text), from, &v));
    else if (strcmp(text, "null") == 0 || strcmp(text, "None") == 0)
        v = cJSON_CreateNull();
    else
        v = cJSON_CreateString(text);
    RT_REQUIRE(v, RT_E_NOMEM);
    err = set(o, name, v, from);
done:
    return err == RT_E_FORMAT ? RT_E_USAGE : err;
}

enum rt_err options_load(struct options *o, const char *path)
{
    enum rt_err err = RT_OK;
    cJSON *root = NULL, *v;

    RT_TRY(fmt_recipe_read(path, &root));
    cJSON_ArrayForEach(v, root)
    {
        const size_t i = find_row(v->string);
        if (OPT_ROWS[i].name && o->values[i])
            continue;
        cJSON *copy = cJSON_Duplicate(v, 1);
        RT_REQUIRE(copy, RT_E_NOMEM);
        RT_TRY(set(o, v->string, copy, path));
    }
done:
    cJSON_Delete(root);
    return err;
}

// ---- The whole --------------------------------------------------------------------------------

static const cJSON *given(const struct options *o, const char *name)
{
    const cJSON *v = o->values[find_row(name)];
    return cJSON_IsNull(v) ? NULL : v;
}

static const char *text_of(const struct options *o, const char *name)
{
    const cJSON *v = given(o, name);
    return v ? v->valuestring : OPT_ROWS[find_row(name)].def;
}

static double num_of(const struct options *o, const char *name)
{
    const cJSON *v = given(o, name);
    const char *def = OPT_ROWS[find_row(name)].def;
    double x = def ? strtod(def, NULL) : 0.0;
    if (v && !fmt_json_to_num(v, &x))
        x = (double) NAN; // checked when it was set
    return x;
}

static bool bool_of(const struct options *o, const char *name)
{
    const cJSON *v = given(o, name);
    const char *def = OPT_ROWS[find_row(name)].def;
    bool b = def && strcmp(def, "true") == 0;
    if (v)
        (void) to_bool(v, &b);
    return b;
}

static enum rt_err resolve_storage(const struct options *o, enum rt_type *out)
{
    const bool fp16 = bool_of(o, "fp16"), named = given(o, "bf16") != NULL,
               bf16 = named ? bool_of(o, "bf16") : !fp16;
    if (fp16 && bf16)
        return rt_fail(RT_E_USAGE, "fp16 and bf16 are both true: expected one of them");
    *out = fp16 ? RT_F16 : bf16 ? RT_BF16 : RT_F32;
    return RT_OK;
}

static enum rt_type dtype_of(const char *name)
{
    return name && strcmp(name, "float16") == 0    ? RT_F16
           : name && strcmp(name, "bfloat16") == 0 ? RT_BF16
                                                   : RT_F32;
}

static enum tr_scheduler scheduler_of(const char *name)
{
    static const char *const NAMES[] = {"linear", "cosine", "constant", "constant_with_warmup"};
    enum tr_scheduler s = TR_LINEAR;
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (strcmp(NAMES[i], name) == 0)
            s = (enum tr_scheduler) i;
    return s;
}

// ---- The loss ---------------------------------------------------------------------------------

// Item i of a list option; a bare value is a list of one. NULL: there is none.
static const cJSON *item(const cJSON *v, int i)
{
    if (cJSON_IsArray(v))
        return cJSON_GetArrayItem(v, i);
    return i == 0 ? v : NULL;
}

static enum rt_err loss_of(const char *name, enum op_loss_type *out)
{
    struct str known = {0};
    enum rt_err err;

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

static bool has_term(const struct op_loss_spec *s, enum op_loss_type t)
{
    for (uint32_t i = 0; i < s->n_terms; i++)
        if (s->terms[i].type == t)
            return true;
    return false;
}

// Where label_smoothing is read, it must be in range. TRL warns of robust's, whose loss is not
// bounded below from 1/2 on.
static enum rt_err check_smoothing(const struct op_loss_spec *s)
{
    const double e = s->label_smoothing;
    if (has_term(s, OP_LOSS_EXO_PAIR) && !(e > 0.0 && e < 1.0))
        return rt_fail(
            RT_E_USAGE,
            "label_smoothing: exo_pair needs it above 0 and below 1 (TRL: 1e-3), found %g", e);
    if (has_term(s, OP_LOSS_ROBUST) && fabs(e - 0.5) < 1e-6)
        return rt_fail(RT_E_USAGE,
                       "label_smoothing: robust divides by 1 - 2 * label_smoothing: expected below "
                       "0.5, found %g",
                       e);
    if (has_term(s, OP_LOSS_ROBUST) && e > 0.5)
        log_warn("label_smoothing: robust wants it in 0 .. 0.5, found %g", e);
    return RT_OK;
}

// What weights of tokens and of pairs do not go with.
static enum rt_err check_weights(const struct tr_config *c)
{
    static const enum op_loss_type NOT_WPO[] = {OP_LOSS_AOT, OP_LOSS_AOT_UNPAIRED, OP_LOSS_SFT};
    for (size_t i = 0; c->use_weighting && i < COUNT_OF(NOT_WPO); i++)
        if (has_term(&c->loss, NOT_WPO[i]))
            return rt_fail(RT_E_USAGE, "use_weighting is not defined for loss_type %s, as in TRL",
                           op_loss_name(NOT_WPO[i]));
    if (c->ld && has_term(&c->loss, OP_LOSS_SFT))
        return rt_fail(
            RT_E_USAGE,
            "ld_alpha with loss_type sft is not supported yet: sft counts all tokens alike");
    if (c->ld && c->use_weighting)
        return rt_fail(RT_E_USAGE, "ld_alpha with use_weighting is not supported yet");
    return RT_OK;
}

// Values that no term reads: said once.
static void note_unread(const struct options *o, const struct op_loss_spec *s)
{
    const bool smooth = has_term(s, OP_LOSS_EXO_PAIR) || has_term(s, OP_LOSS_ROBUST) ||
                        has_term(s, OP_LOSS_AOT) || has_term(s, OP_LOSS_AOT_UNPAIRED);
    if (s->label_smoothing > 0.0 && !smooth)
        log_info("label_smoothing has no effect on the loss_type given, as in TRL");
    if (given(o, "discopop_tau") && fabs(s->discopop_tau - 0.05) > 0.0 &&
        !has_term(s, OP_LOSS_DISCOPOP))
        log_info("discopop_tau has no effect on the loss_type given");
}

static enum rt_err resolve_loss(const struct options *o, struct op_loss_spec *s)
{
    enum rt_err err = RT_OK;
    const char *divergence = text_of(o, "f_divergence_type");

    RT_TRY(resolve_terms(o, s));
    s->label_smoothing = num_of(o, "label_smoothing");
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

static enum rt_err list_without_effect(const struct options *o)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    for (size_t i = 0; OPT_ROWS[i].name; i++)
        if (OPT_ROWS[i].rule == OPT_NOTHING && o->values[i] &&
            !is_default(&OPT_ROWS[i], o->values[i]))
            RT_TRY(
                str_printf(&s, "%s%s (%s)", s.len ? ", " : "", OPT_ROWS[i].name, OPT_ROWS[i].help));
    if (s.len)
        log_info("options without effect here: %s", s.data);
done:
    str_free(&s);
    return err;
}

static enum rt_err require(const struct options *o, bool train)
{
    static const char *const NEEDED[] = {"model_name_or_path", "dataset_name", "output_dir"};
    for (size_t i = 0; i < COUNT_OF(NEEDED) - !train; i++)
        if (!given(o, NEEDED[i]))
            return rt_fail(RT_E_USAGE, "%s is not given: expected --%s or a recipe with it",
                           NEEDED[i], NEEDED[i]);
    return RT_OK;
}

static void resolve_numbers(const struct options *o, struct tr_config *c)
{
    const cJSON *length = o->values[find_row("max_length")];
    c->max_length = cJSON_IsNull(length) ? 0 : (uint32_t) num_of(o, "max_length");
    c->seed = (uint64_t) num_of(o, "seed");
    c->data_seed = given(o, "data_seed") ? (uint64_t) num_of(o, "data_seed") : c->seed;
    c->per_device_train_batch_size = (uint32_t) num_of(o, "per_device_train_batch_size");
    c->gradient_accumulation_steps = (uint32_t) num_of(o, "gradient_accumulation_steps");
    c->num_train_epochs = num_of(o, "num_train_epochs");
    c->max_steps = (int64_t) num_of(o, "max_steps");
    c->beta = num_of(o, "beta");
    c->ld = given(o, "ld_alpha") != NULL;
    c->ld_alpha = num_of(o, "ld_alpha");
    c->use_weighting = bool_of(o, "use_weighting");
    c->learning_rate = num_of(o, "learning_rate");
    c->warmup_steps =
        given(o, "warmup_steps") ? num_of(o, "warmup_steps") : num_of(o, "warmup_ratio");
    c->weight_decay = num_of(o, "weight_decay");
    c->adam_beta1 = num_of(o, "adam_beta1");
    c->adam_beta2 = num_of(o, "adam_beta2");
    c->adam_epsilon = num_of(o, "adam_epsilon");
    c->max_grad_norm = num_of(o, "max_grad_norm");
    c->pass_tokens = (uint32_t) num_of(o, "pass_tokens");
    c->loss_scale = num_of(o, "loss_scale");
}

static void resolve_words(const struct options *o, struct tr_config *c)
{
    c->model_name_or_path = text_of(o, "model_name_or_path");
    c->ref_model_name_or_path = text_of(o, "ref_model_name_or_path");
    c->dataset_name = text_of(o, "dataset_name");
    c->output_dir = text_of(o, "output_dir");
    c->dump_dir = text_of(o, "dump_dir");
    c->device = text_of(o, "device");
    c->disable = text_of(o, "disable");
    c->clamp = text_of(o, "clamp");
    c->cache_dir = text_of(o, "cache_dir");
    c->load_dtype = dtype_of(text_of(o, "dtype"));
    c->save_dtype = text_of(o, "save_dtype") ? dtype_of(text_of(o, "save_dtype")) : c->load_dtype;
    c->truncation_mode =
        strcmp(text_of(o, "truncation_mode"), "keep_end") == 0 ? DS_KEEP_END : DS_KEEP_START;
    c->sequential = strcmp(text_of(o, "train_sampling_strategy"), "sequential") == 0;
    c->lr_scheduler_type = scheduler_of(text_of(o, "lr_scheduler_type"));
    c->strict = bool_of(o, "strict");
    c->dataloader_drop_last = bool_of(o, "dataloader_drop_last");
    c->logging_first_step = bool_of(o, "logging_first_step");
    c->disable_tqdm = given(o, "disable_tqdm") ? bool_of(o, "disable_tqdm") : !os_is_terminal();
}

enum rt_err options_resolve(const struct options *o, bool train, struct tr_config *out)
{
    enum rt_err err = RT_OK;
    struct tr_config c = {0};
    double every;

    RT_TRY(require(o, train));
    RT_TRY(resolve_storage(o, &c.storage));
    resolve_words(o, &c);
    resolve_numbers(o, &c);
    RT_TRY(resolve_loss(o, &c.loss));
    RT_TRY(check_weights(&c));
    if (given(o, "warmup_steps") && given(o, "warmup_ratio") && num_of(o, "warmup_steps") > 0.0)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "warmup_steps and warmup_ratio are both given: expected one of them"));
    every = num_of(o, "logging_steps");
    if (every > 0.0 && every < 1.0)
        RT_TRY(rt_fail(
            RT_E_USAGE,
            "logging_steps: a share of all steps (%g) is not supported yet; give a number of steps",
            every));
    c.logging_steps = strcmp(text_of(o, "logging_strategy"), "no") == 0 ? 0 : (uint32_t) every;
    RT_TRY(list_without_effect(o));
    *out = c;
done:
    return err;
}

enum rt_err options_help(struct str *out, bool markdown)
{
    static const char *const RULE[] = {"", "no effect: ", "only the default: ", "refused: "};
    enum rt_err err = RT_OK;

    if (markdown)
        RT_TRY(str_puts(out, "| option | default | meaning |\n|---|---|---|\n"));
    for (const struct opt_row *r = OPT_ROWS; r->name; r++)
        RT_TRY(str_printf(out, markdown ? "| `%s` | %s | %s%s |\n" : "  --%-30s %-18s %s%s\n",
                          r->name, r->def ? r->def : "-", RULE[r->rule], r->help));
done:
    return err;
}
