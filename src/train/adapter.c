#include "src/train/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"

// A word that could be a module's name: no pattern.
static bool is_name(const char *s)
{
    return s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.")] == 0;
}

// A copy of an option's value. One text is "all-linear", a pattern, or (ours: PEFT finds nothing
// then) a list of one name; a list of one pattern is that pattern, as in TRL.
static enum rt_err copy_names(const cJSON *v, bool patterns, cJSON **out)
{
    const cJSON *one = cJSON_IsArray(v) && cJSON_GetArraySize(v) == 1 ? v->child : v;
    const char *text = cJSON_IsString(one) ? one->valuestring : NULL;

    *out = NULL;
    if (!v)
        return RT_OK;
    if (!text)
        *out = cJSON_Duplicate(v, 1);
    else if (patterns && (fmt_peft_all_linear(one) || !is_name(text)))
        *out = cJSON_CreateString(text);
    else
        *out = cJSON_CreateStringArray(&text, 1);
    return *out ? RT_OK : rt_fail(RT_E_NOMEM, "out of memory: names of modules");
}

// An option that was given and says something else than the adapter's file.
static enum rt_err check_number(const char *adapter, const char *option, bool given, double want,
                                double file)
{
    if (!given || fabs(want - file) <= 1e-12 * fabs(file))
        return RT_OK;
    return rt_fail(RT_E_USAGE,
                   "%s: %g, but the adapter %s has %g: leave the option out to go on with it",
                   option, want, adapter, file);
}

static enum rt_err check_file(const struct tr_lora *l, const struct fmt_peft *p)
{
    enum rt_err err = RT_OK;
    const char *const a = l->adapter;
    cJSON *save = NULL;

    RT_TRY(check_number(a, "lora_r", l->r > 0, l->r, p->r));
    RT_TRY(check_number(a, "lora_alpha", l->has_alpha, l->alpha, p->alpha));
    RT_TRY(check_number(a, "lora_dropout", l->has_dropout, l->dropout, p->dropout));
    RT_TRY(check_number(a, "use_rslora", l->has_rslora, l->use_rslora, p->use_rslora));
    RT_TRY(check_number(a, "use_dora", l->has_dora, l->use_dora, p->use_dora));
    RT_TRY(copy_names(l->save, false, &save));
    if (save && !(p->save && cJSON_Compare(save, p->save, true)))
        RT_TRY(rt_fail(RT_E_USAGE,
                       "lora_modules_to_save: the adapter %s has others: leave the "
                       "option out to go on with it",
                       a));
done:
    cJSON_Delete(save);
    return err;
}

enum rt_err tr_adapter_settings(const struct tr_config *c, struct fmt_peft *out)
{
    enum rt_err err = RT_OK;
    const struct tr_lora *l = &c->lora;

    *out = (struct fmt_peft){0};
    if (l->adapter) {
        RT_TRY(fmt_peft_read(l->adapter, out));
        RT_TRY(check_file(l, out));
        goto done;
    }
    *out = (struct fmt_peft){.r = l->r ? l->r : 16,
                             .alpha = l->has_alpha ? l->alpha : 32.0,
                             .dropout = l->has_dropout ? l->dropout : 0.05,
                             .use_rslora = l->use_rslora,
                             .use_dora = l->use_dora};
    RT_TRY(copy_names(l->targets, true, &out->targets));
    RT_TRY(copy_names(l->save, false, &out->save));
done:
    if (err != RT_OK)
        fmt_peft_free(out);
    return err;
}

enum rt_err tr_adapter_check(const struct tr_config *c, const struct md_model *m)
{
    enum rt_err err = RT_OK;
    cJSON *targets = NULL;
    bool same;

    if (!c->lora.adapter || !c->lora.targets)
        goto done;
    RT_TRY(copy_names(c->lora.targets, true, &targets));
    RT_TRY(md_adapter_same_targets(&m->adapter, &m->arch, &m->params, targets, &same));
    if (!same)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "lora_target_modules: the adapter %s has others: leave the "
                       "option out to go on with it",
                       c->lora.adapter));
done:
    cJSON_Delete(targets);
    return err;
}

enum rt_err tr_dropout_check(const struct tr_config *c)
{
    static const char *const KEYS[] = {"attention_dropout", "attn_pdrop", "embd_pdrop",
                                       "resid_pdrop", "hidden_dropout"};
    enum rt_err err = RT_OK;
    char *path = NULL;
    cJSON *root = NULL;
    double p;

    if (!c->lora.drop)
        goto done;
    RT_TRY(path_join(c->model_name_or_path, "config.json", &path));
    RT_TRY(fmt_json_read(path, &root));
    const struct fmt_json j = {root, path};
    for (size_t i = 0; i < COUNT_OF(KEYS); i++) {
        RT_TRY(fmt_json_num_or(&j, KEYS[i], 0.0, &p));
        if (p > 0.0)
            RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                           "disable_dropout is false and %s has %s %g: dropout within the model is "
                           "not supported, only lora_dropout",
                           path, KEYS[i], p));
    }
done:
    cJSON_Delete(root);
    free(path);
    return err;
}

enum rt_err tr_adapter_save(struct md_model *m, const char *source, const char *dir)
{
    enum rt_err err = RT_OK;
    char *ref = NULL;

    if (m->adapter_ref.n) {
        RT_TRY(path_join(dir, "ref", &ref));
        RT_TRY(dir_make(ref));
        RT_TRY(md_adapter_save(&m->adapter, &m->adapter_ref, source, ref));
    }
    RT_TRY(md_adapter_save(&m->adapter, md_trained_of(m).work, source, dir));
done:
    free(ref);
    return err;
}
