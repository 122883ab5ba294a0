#define PCRE2_CODE_UNIT_WIDTH 8
#include "src/format/peft.h"

#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"

enum { MATCH_LIMIT = 1 << 20, MAX_RANK = 1 << 14 };

static const char NAME[] = "adapter_config.json";

// ---- Keys -------------------------------------------------------------------------------------

enum rule {
    OTHER, // not a key of PEFT that is known here
    READ,  // read below
    ANY,   // describes; changes no number once the tensors are there
};

static const struct {
    const char *key;
    enum rule rule;
} KEYS[] = {
    {"peft_type", READ},
    {"r", READ},
    {"lora_alpha", READ},
    {"lora_dropout", READ},
    {"target_modules", READ},
    {"modules_to_save", READ},
    {"exclude_modules", READ},
    {"layers_to_transform", READ},
    {"layers_pattern", READ},
    {"use_rslora", READ},
    {"use_dora", READ},
    {"fan_in_fan_out", READ},
    {"base_model_name_or_path", READ},
    {"bias", READ},
    {"task_type", READ},
    {"init_lora_weights", READ},
    {"auto_mapping", ANY},
    {"inference_mode", ANY},
    {"megatron_core", ANY},
    {"peft_version", ANY},
    {"qalora_group_size", ANY},
    {"revision", ANY},
};

static enum rule rule_of(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(KEYS); i++)
        if (strcmp(KEYS[i].key, key) == 0)
            return KEYS[i].rule;
    return OTHER;
}

// null, false, {} or []: the feature is off.
static bool is_empty(const cJSON *v)
{
    return cJSON_IsNull(v) || cJSON_IsFalse(v) ||
           ((cJSON_IsObject(v) || cJSON_IsArray(v)) && !v->child);
}

static enum rt_err check_keys(const cJSON *root, const char *path)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, root)
    {
        if (rule_of(v->string) == OTHER && !is_empty(v))
            return rt_fail(RT_E_UNSUPPORTED,
                           "%s: %s: not supported: expected null, false or empty, found %s", path,
                           v->string, fmt_json_kind(v));
    }
    return RT_OK;
}

// A key whose value must be a string out of `allowed` (ends with NULL), if it is there.
static enum rt_err check_word(const struct fmt_json *j, const char *key, const char *const *allowed)
{
    enum rt_err err = RT_OK;
    const char *s;

    RT_TRY(fmt_json_str_or(j, key, allowed[0], &s));
    for (size_t i = 0; allowed[i]; i++)
        if (strcmp(allowed[i], s) == 0)
            return RT_OK;
    err =
        rt_fail(RT_E_UNSUPPORTED, "%s: %s: expected %s, found %.60s", j->where, key, allowed[0], s);
done:
    return err;
}

// Ways to begin that leave the base as it is; the others (pissa, olora, corda, ...) change it.
static enum rt_err check_init(const struct fmt_json *j)
{
    const cJSON *v = fmt_json_get(j, "init_lora_weights");
    if (!v || cJSON_IsBool(v) || (cJSON_IsString(v) && (strcmp(v->valuestring, "gaussian") == 0)))
        return RT_OK;
    return rt_fail(RT_E_UNSUPPORTED,
                   "%s: init_lora_weights: expected true, false or gaussian, found %.60s", j->where,
                   cJSON_IsString(v) ? v->valuestring : fmt_json_kind(v));
}

enum rt_err fmt_peft_check_names(const cJSON *v, bool pattern, const char *names)
{
    const cJSON *x;
    if (pattern && cJSON_IsString(v) && v->valuestring[0])
        return RT_OK;
    if (!cJSON_IsArray(v))
        return rt_fail(RT_E_FORMAT, "%s: expected %sa list of names, found %s", names,
                       pattern ? "a name, a pattern or " : "", fmt_json_kind(v));
    cJSON_ArrayForEach(x, v)
    {
        if (!cJSON_IsString(x) || !x->valuestring[0])
            return rt_fail(RT_E_FORMAT, "%s: expected names of modules, found %s", names,
                           cJSON_IsString(x) ? "an empty one" : fmt_json_kind(x));
    }
    return RT_OK;
}

// ---- Reading ----------------------------------------------------------------------------------

bool fmt_peft_is(const char *folder)
{
    char *path = NULL;
    const bool is = path_join(folder, NAME, &path) == RT_OK && file_exists(path);
    free(path);
    return is;
}

static enum rt_err take_names(const struct fmt_json *j, const char *key, bool pattern, cJSON **out)
{
    enum rt_err err = RT_OK;
    const cJSON *v = fmt_json_get(j, key);
    struct str where = {0};

    if (!v || (!pattern && is_empty(v)))
        goto done;
    RT_TRY(str_printf(&where, "%s: %s", j->where, key));
    RT_TRY(fmt_peft_check_names(v, pattern, where.data));
    *out = cJSON_Duplicate(v, 1);
    RT_REQUIRE(*out, RT_E_NOMEM);
done:
    str_free(&where);
    return err;
}

// layers_to_transform, a number or some, and layers_pattern, a name or some: as arrays.
static enum rt_err take_layers(const struct fmt_json *j, struct fmt_peft *p)
{
    enum rt_err err = RT_OK;
    const cJSON *v = fmt_json_get(j, "layers_to_transform"), *x;
    const cJSON *names = fmt_json_get(j, "layers_pattern");
    const bool one = cJSON_IsNumber(v), word = cJSON_IsString(names) && names->valuestring[0];

    if (v && !one && !is_empty(v)) {
        RT_TRY(fmt_json_array_or_null(j, "layers_to_transform", &v));
        cJSON_ArrayForEach(x, v)
        {
            if (!cJSON_IsNumber(x))
                RT_TRY(rt_fail(RT_E_FORMAT, "%s: layers_to_transform: expected numbers, found %s",
                               j->where, fmt_json_kind(x)));
        }
    }
    if (one || (v && !is_empty(v))) {
        p->layers = one ? cJSON_CreateIntArray(&v->valueint, 1) : cJSON_Duplicate(v, 1);
        RT_REQUIRE(p->layers, RT_E_NOMEM);
    }
    if (p->layers && cJSON_IsString(p->targets))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: layers_to_transform: expected target_modules as names, "
                       "as PEFT does, found a pattern",
                       j->where));
    if (word)
        p->pattern = cJSON_CreateStringArray((const char *const *) &names->valuestring, 1);
    else if (!cJSON_IsString(names))
        RT_TRY(take_names(j, "layers_pattern", false, &p->pattern));
    RT_REQUIRE(!word || p->pattern, RT_E_NOMEM);
done:
    return err;
}

static enum rt_err read_numbers(const struct fmt_json *j, struct fmt_peft *p)
{
    enum rt_err err = RT_OK;

    RT_TRY(fmt_json_u32_or(j, "r", 8, &p->r));
    RT_TRY(fmt_json_num_or(j, "lora_alpha", 8.0, &p->alpha));
    RT_TRY(fmt_json_num_or(j, "lora_dropout", 0.0, &p->dropout));
    if (p->r < 1 || p->r > MAX_RANK)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: r: expected 1 .. %d, found %u", j->where, MAX_RANK, p->r));
    if (!isfinite(p->alpha))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: lora_alpha: expected a number, found %g", j->where,
                       p->alpha));
    if (!(p->dropout >= 0.0 && p->dropout < 1.0))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: lora_dropout: expected 0 .. below 1, found %g", j->where,
                       p->dropout));
    RT_TRY(fmt_json_bool_or(j, "use_rslora", false, &p->use_rslora));
    RT_TRY(fmt_json_bool_or(j, "use_dora", false, &p->use_dora));
    RT_TRY(fmt_json_bool_or(j, "fan_in_fan_out", false, &p->fan_in_fan_out));
done:
    return err;
}

static enum rt_err read_config(const struct fmt_json *j, struct fmt_peft *p)
{
    static const char *const TYPE[] = {"LORA", NULL}, *const TASK[] = {"CAUSAL_LM", NULL},
                             *const BIAS[] = {"none", NULL};
    enum rt_err err = RT_OK;
    const char *base;

    if (!cJSON_IsObject(j->node))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected an object, found %s", j->where,
                       fmt_json_kind(j->node)));
    RT_TRY(check_word(j, "peft_type", TYPE));
    RT_TRY(check_word(j, "task_type", TASK));
    RT_TRY(check_word(j, "bias", BIAS));
    RT_TRY(check_init(j));
    RT_TRY(check_keys(j->node, j->where));
    RT_TRY(read_numbers(j, p));
    RT_TRY(take_names(j, "target_modules", true, &p->targets));
    RT_TRY(take_names(j, "modules_to_save", false, &p->save));
    if (!is_empty(fmt_json_get(j, "exclude_modules")))
        RT_TRY(take_names(j, "exclude_modules", true, &p->exclude));
    RT_TRY(take_layers(j, p));
    RT_TRY(fmt_json_str_or(j, "base_model_name_or_path", NULL, &base));
    if (base)
        RT_TRY(str_dup(base, &p->base_model));
done:
    return err;
}

enum rt_err fmt_peft_parse(const char *text, size_t len, const char *where, struct fmt_peft *out)
{
    enum rt_err err = RT_OK;
    struct fmt_peft p = {0};
    cJSON *root = NULL;

    *out = p;
    RT_TRY(fmt_json_parse(text, len, where, &root));
    RT_TRY(read_config(&(struct fmt_json){root, where}, &p));
    *out = p;
    p = (struct fmt_peft){0};
done:
    fmt_peft_free(&p);
    cJSON_Delete(root);
    return err;
}

enum rt_err fmt_peft_read(const char *folder, struct fmt_peft *out)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    char *path = NULL;

    *out = (struct fmt_peft){0};
    RT_TRY(path_join(folder, NAME, &path));
    RT_TRY(file_map_open(path, &map));
    RT_TRY(fmt_peft_parse((const char *) map.data, map.size, path, out));
done:
    file_map_close(&map);
    free(path);
    return err;
}

void fmt_peft_free(struct fmt_peft *p)
{
    cJSON_Delete(p->targets);
    cJSON_Delete(p->save);
    cJSON_Delete(p->exclude);
    cJSON_Delete(p->layers);
    cJSON_Delete(p->pattern);
    free(p->base_model);
    *p = (struct fmt_peft){0};
}

static bool copy(const cJSON *v, cJSON **out)
{
    *out = v ? cJSON_Duplicate(v, 1) : NULL;
    return !v == !*out;
}

enum rt_err fmt_peft_copy(const struct fmt_peft *p, struct fmt_peft *out)
{
    enum rt_err err = RT_OK;
    bool all;

    *out = *p;
    all = copy(p->targets, &out->targets);
    all = copy(p->save, &out->save) && all;
    all = copy(p->exclude, &out->exclude) && all;
    all = copy(p->layers, &out->layers) && all;
    all = copy(p->pattern, &out->pattern) && all;
    out->base_model = NULL;
    if (p->base_model)
        RT_TRY(str_dup(p->base_model, &out->base_model));
    RT_REQUIRE(all, RT_E_NOMEM);
done:
    if (err != RT_OK)
        fmt_peft_free(out);
    return err;
}

// ---- Writing ----------------------------------------------------------------------------------

static void put_number(struct fmt_jw *w, double v)
{
    if (fabs(v) < 0x1p53 && fabs(v - nearbyint(v)) <= 0.0)
        fmt_jw_int(w, (int64_t) v);
    else
        fmt_jw_num(w, v);
}

static void put_names(struct fmt_jw *w, const cJSON *v)
{
    if (v)
        fmt_jw_cjson(w, v);
    else
        fmt_jw_null(w);
}

// Values of the keys that are always the same, as JSON; in the order of the file, with what differs
// in between.
static void put_config(struct fmt_jw *w, const struct fmt_peft *p)
{
    static const struct {
        const char *key;
        char kind; // n null, o {}, f false, t true, s text, x = of the adapter
        const char *text;
    } FIELDS[] = {
        {"alora_invocation_tokens", 'n', NULL},
        {"alpha_pattern", 'o', NULL},
        {"arrow_config", 'n', NULL},
        {"auto_mapping", 'n', NULL},
        {"base_model_name_or_path", 'x', NULL},
        {"bias", 's', "none"},
        {"corda_config", 'n', NULL},
        {"ensure_weight_tying", 'f', NULL},
        {"eva_config", 'n', NULL},
        {"exclude_modules", 'x', NULL},
        {"fan_in_fan_out", 'x', NULL},
        {"inference_mode", 't', NULL},
        {"init_lora_weights", 't', NULL},
        {"layer_replication", 'n', NULL},
        {"layers_pattern", 'x', NULL},
        {"layers_to_transform", 'x', NULL},
        {"loftq_config", 'o', NULL},
        {"lora_alpha", 'x', NULL},
        {"lora_bias", 'f', NULL},
        {"lora_dropout", 'x', NULL},
        {"megatron_config", 'n', NULL},
        {"megatron_core", 's', "megatron.core"},
        {"modules_to_save", 'x', NULL},
        {"peft_type", 's', "LORA"},
        {"peft_version", 's', "0.18.0"},
        {"qalora_group_size", 'x', NULL},
        {"r", 'x', NULL},
        {"rank_pattern", 'o', NULL},
        {"revision", 'n', NULL},
        {"target_modules", 'x', NULL},
        {"target_parameters", 'n', NULL},
        {"task_type", 's', "CAUSAL_LM"},
        {"trainable_token_indices", 'n', NULL},
        {"use_dora", 'x', NULL},
        {"use_qalora", 'f', NULL},
        {"use_rslora", 'x', NULL},
    };
    for (size_t i = 0; i < COUNT_OF(FIELDS); i++) {
        const char *key = FIELDS[i].key;
        fmt_jw_key(w, key);
        if (FIELDS[i].kind == 'n')
            fmt_jw_null(w);
        else if (FIELDS[i].kind == 'o') {
            fmt_jw_object(w);
            fmt_jw_end(w);
        } else if (FIELDS[i].kind == 's')
            fmt_jw_str(w, FIELDS[i].text);
        else if (FIELDS[i].kind != 'x')
            fmt_jw_bool(w, FIELDS[i].kind == 't');
        else if (strcmp(key, "base_model_name_or_path") == 0)
            fmt_jw_str(w, p->base_model);
        else if (strcmp(key, "lora_dropout") == 0)
            fmt_jw_num(w, p->dropout);
        else if (strcmp(key, "modules_to_save") == 0)
            put_names(w, p->save);
        else if (strcmp(key, "target_modules") == 0)
            put_names(w, p->targets);
        else if (strcmp(key, "exclude_modules") == 0)
            put_names(w, p->exclude);
        else if (strncmp(key, "layers_", 7) == 0)
            put_names(w, key[7] == 'p' ? p->pattern : p->layers);
        else if (strncmp(key, "use_", 4) == 0 || key[0] == 'f')
            fmt_jw_bool(w, key[0] == 'f'                  ? p->fan_in_fan_out
                           : strcmp(key, "use_dora") == 0 ? p->use_dora
                                                          : p->use_rslora);
        else
            put_number(w, key[0] == 'r' ? p->r : key[0] == 'l' ? p->alpha : 16.0);
    }
}

enum rt_err fmt_peft_text(const struct fmt_peft *p, struct str *out)
{
    struct fmt_jw w = {.out = out, .indent = 2};

    fmt_jw_object(&w);
    put_config(&w, p);
    fmt_jw_end(&w);
    return fmt_jw_done(&w);
}

enum rt_err fmt_peft_write(const struct fmt_peft *p, const char *dir)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    char *path = NULL;

    RT_TRY(fmt_peft_text(p, &s));
    RT_TRY(path_join(dir, NAME, &path));
    RT_TRY(file_write(path, s.data, s.len));
done:
    free(path);
    str_free(&s);
    return err;
}

// ---- Matching ---------------------------------------------------------------------------------

bool fmt_peft_all_linear(const cJSON *targets)
{
    return cJSON_IsString(targets) && strcasecmp(targets->valuestring, "all-linear") == 0;
}

static enum rt_err full_match(const char *pattern, const char *path, bool *out)
{
    enum rt_err err = RT_OK;
    int code = 0;
    PCRE2_SIZE at = 0;
    PCRE2_UCHAR text[120];
    pcre2_match_data *data = NULL;
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR) pattern, PCRE2_ZERO_TERMINATED,
                      PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &code, &at, NULL);
    if (!re) {
        pcre2_get_error_message(code, text, sizeof(text));
        RT_TRY(rt_fail(RT_E_FORMAT, "target_modules: %.200s: character %zu: %s", pattern, at + 1,
                       (const char *) text));
    }
    data = pcre2_match_data_create_from_pattern(re, NULL);
    RT_REQUIRE(data && limits, RT_E_NOMEM);
    pcre2_set_match_limit(limits, MATCH_LIMIT);
    code = pcre2_match(re, (PCRE2_SPTR) path, strlen(path), 0, 0, data, limits);
    if (code < 0 && code != PCRE2_ERROR_NOMATCH)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "target_modules: %.200s: too costly to match with %s",
                       pattern, path));
    *out = code >= 0;
done:
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    pcre2_code_free(re);
    return err;
}

enum rt_err fmt_peft_targets(const cJSON *targets, const char *path, bool *out)
{
    const cJSON *x;

    *out = false;
    if (cJSON_IsString(targets))
        return full_match(targets->valuestring, path, out);
    cJSON_ArrayForEach(x, targets)
    {
        const size_t n = strlen(x->valuestring), all = strlen(path);
        if (n <= all && strcmp(path + all - n, x->valuestring) == 0 &&
            (n == all || path[all - n - 1] == '.'))
            *out = true;
    }
    return RT_OK;
}

// The layer of a module: the number behind the first word (of `pattern`) that has one behind it.
static bool layer_of(const cJSON *pattern, const char *path, int *out)
{
    const cJSON *x;
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.')) {
        const size_t digits = strspn(dot + 1, "0123456789");
        const char *word = dot;
        bool known = !pattern;
        if (!digits || digits > 6 || dot[1 + digits] != '.')
            continue;
        while (word > path && word[-1] != '.')
            word--;
        cJSON_ArrayForEach(x, pattern)
        {
            const size_t n = strlen(x->valuestring);
            known = known || (n == (size_t) (dot - word) && memcmp(word, x->valuestring, n) == 0);
        }
        *out = atoi(dot + 1);
        if (known && (pattern || word > path)) // without a pattern PEFT wants a word before it too
            return true;
    }
    return false;
}

enum rt_err fmt_peft_admits(const struct fmt_peft *p, const char *path, bool *out)
{
    enum rt_err err = RT_OK;
    const cJSON *x;
    bool excluded = false;
    int layer = -1;

    *out = true;
    if (p->exclude)
        RT_TRY(fmt_peft_targets(p->exclude, path, &excluded));
    if (p->layers && cJSON_IsArray(p->targets)) {
        bool in = false;
        if (layer_of(p->pattern, path, &layer))
            cJSON_ArrayForEach(x, p->layers) in = in || x->valueint == layer;
        cJSON_ArrayForEach(x, p->targets) in = in || strcmp(x->valuestring, path) == 0;
        *out = in;
    }
    *out = *out && !excluded;
done:
    return err;
}

bool fmt_peft_saves(const cJSON *names, const char *path)
{
    const cJSON *x;
    cJSON_ArrayForEach(x, names)
    {
        const size_t n = strlen(x->valuestring);
        // The path itself, then each module that holds it.
        for (size_t end = strlen(path); end > 0; end--)
            if ((path[end] == 0 || path[end] == '.') && n <= end &&
                memcmp(path + end - n, x->valuestring, n) == 0)
                return true;
    }
    return false;
}
