// Where the model comes from: model_init_kwargs, env, and names on the Hub.
#include <stdlib.h>
#include <string.h>

#include "src/api/options_internal.h"
#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/hub.h"

// ---- model_init_kwargs ------------------------------------------------------------------------

static const char *const KWARGS_USED[] = {"dtype", "torch_dtype", "revision"};
static const char *const KWARGS_NOTHING[] = {
    "attn_implementation", "device_map",        "low_cpu_mem_usage",
    "use_cache",           "trust_remote_code", "use_safetensors",
    "local_files_only",    "cache_dir",         "token",
    "output_loading_info"};

static bool among(const char *const *words, size_t n, const char *w)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], w) == 0)
            return true;
    return false;
}

static const char *strip_torch(const char *dtype)
{
    return str_has_prefix(dtype, "torch.") ? dtype + strlen("torch.") : dtype;
}

// TRL's script makes the keywords of its own options and lets model_init_kwargs beat them.
enum rt_err opt_resolve_init(const struct options *o, const char **dtype, const char **revision)
{
    const cJSON *kwargs = given(o, "model_init_kwargs"), *v;

    *dtype = text_of(o, "dtype");
    *revision = text_of(o, "model_revision");
    cJSON_ArrayForEach(v, kwargs)
    {
        if (cJSON_IsNull(v) || among(KWARGS_NOTHING, COUNT_OF(KWARGS_NOTHING), v->string))
            continue;
        if (!among(KWARGS_USED, COUNT_OF(KWARGS_USED), v->string))
            return rt_fail(RT_E_USAGE,
                           "model_init_kwargs: %.60s is not supported; expected of: dtype, "
                           "revision (and what is about torch alone)",
                           v->string);
        if (!cJSON_IsString(v))
            return rt_fail(RT_E_USAGE, "model_init_kwargs: %s: expected text, found %s", v->string,
                           fmt_json_kind(v));
        *(strcmp(v->string, "revision") == 0 ? revision : dtype) = v->valuestring;
    }
    *dtype = strip_torch(*dtype);
    const struct opt_row *row = &OPT_ROWS[opt_row_index("dtype")];
    if (!opt_has_word(row->values, *dtype))
        return rt_fail(RT_E_USAGE, "model_init_kwargs: dtype: expected one of %s, found %.60s",
                       row->values, *dtype);
    return RT_OK;
}

// ---- env --------------------------------------------------------------------------------------

enum rt_err opt_set_env(const cJSON *env)
{
    enum rt_err err = RT_OK;
    const cJSON *v;

    cJSON_ArrayForEach(v, env)
    {
        char number[32];
        double x = 0.0;
        const bool is_number = cJSON_IsNumber(v) && fmt_json_to_num(v, &x);
        if (!is_number && !cJSON_IsString(v) && !cJSON_IsBool(v))
            RT_TRY(rt_fail(RT_E_USAGE, "env: %.60s: expected text, found %s", v->string,
                           fmt_json_kind(v)));
        RT_TRY(os_env_set(v->string, cJSON_IsString(v) ? v->valuestring
                                     : cJSON_IsBool(v) ? (cJSON_IsTrue(v) ? "True" : "False")
                                                       : fmt_num_print(number, x, false)));
    }
done:
    return err == RT_E_ARG ? RT_E_USAGE : err;
}

// ---- Hub --------------------------------------------------------------------------------------

// The text of a row is replaced by the snapshot's folder.
static enum rt_err find_one(struct options *o, const char *row, enum fmt_hub_kind kind,
                            const char *revision)
{
    enum rt_err err = RT_OK;
    const char *name = text_of(o, row);
    char *path = NULL;

    if (!name)
        goto done;
    RT_TRY(fmt_hub_find(kind, name, revision, &path));
    if (!path)
        goto done;
    log_info("%s: %s is %s", row, name, path);
    RT_TRY(options_set_text(o, row, path, row));
done:
    free(path);
    return err;
}

// The paths of a mixture's entries, but for names of formats.
static enum rt_err find_mixture(struct options *o)
{
    enum rt_err err = RT_OK;
    cJSON *entry, *text;
    char *path = NULL;

    cJSON_ArrayForEach(entry, o->values[opt_row_index("datasets")])
    {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(entry, "path");
        if (!cJSON_IsString(v) || opt_is_format(v->valuestring))
            continue;
        RT_TRY(fmt_hub_find(FMT_HUB_DATASET, v->valuestring, "main", &path));
        if (!path)
            continue;
        log_info("datasets: %s is %s", v->valuestring, path);
        text = cJSON_CreateString(path);
        if (!text || !cJSON_ReplaceItemInObjectCaseSensitive(entry, "path", text))
            RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: datasets"));
        free(path);
        path = NULL;
    }
done:
    free(path);
    return err;
}

enum rt_err options_find(struct options *o)
{
    enum rt_err err = RT_OK;
    const char *dtype, *revision, *model = text_of(o, "model_name_or_path"),
                                  *ref = text_of(o, "ref_model_name_or_path");

    RT_TRY(opt_resolve_init(o, &dtype, &revision));
    RT_TRY(find_one(o, "ref_model_name_or_path", FMT_HUB_MODEL,
                    model && ref && strcmp(model, ref) == 0 ? revision : "main"));
    RT_TRY(find_one(o, "model_name_or_path", FMT_HUB_MODEL, revision));
    RT_TRY(find_one(o, "adapter_name_or_path", FMT_HUB_MODEL, "main"));
    if (!given(o, "datasets"))
        RT_TRY(find_one(o, "dataset_name", FMT_HUB_DATASET, "main"));
    RT_TRY(find_mixture(o));
    RT_TRY(options_follow_adapter(o));
done:
    return err;
}
