// Options of LoRA.
#include "src/api/options_internal.h"

#include "src/api/adapter.h"
#include "src/base/arith.h"
#include "src/format/peft.h"

static enum rt_err resolve_values(const struct options *o, struct tr_lora *l)
{
    enum rt_err err = RT_OK;

    l->targets = given(o, "lora_target_modules");
    l->save = given(o, "lora_modules_to_save");
    if (l->targets)
        RT_TRY(fmt_peft_check_names(l->targets, true, "lora_target_modules"));
    if (l->save)
        RT_TRY(fmt_peft_check_names(l->save, true, "lora_modules_to_save"));
    if (given(o, "lora_r"))
        l->r = (uint32_t) num_of(o, "lora_r");
    l->has_alpha = given(o, "lora_alpha") != NULL;
    l->alpha = num_of(o, "lora_alpha");
    l->has_dropout = given(o, "lora_dropout") != NULL;
    l->dropout = num_of(o, "lora_dropout");
    l->has_rslora = given(o, "use_rslora") != NULL;
    l->use_rslora = bool_of(o, "use_rslora");
    l->has_dora = given(o, "use_dora") != NULL;
    l->use_dora = bool_of(o, "use_dora");
done:
    return err == RT_E_FORMAT ? RT_E_USAGE : err;
}

enum rt_err opt_resolve_lora(const struct options *o, struct tr_config *c)
{
    static const char *const OWN[] = {
        "lora_r",   "lora_alpha",          "lora_dropout",        "use_rslora",
        "use_dora", "lora_target_modules", "lora_modules_to_save"};
    enum rt_err err = RT_OK;
    struct tr_lora *l = &c->lora;

    l->adapter = text_of(o, "adapter_name_or_path");
    l->use = bool_of(o, "use_peft") || l->adapter;
    l->drop = !bool_of(o, "disable_dropout");
    RT_TRY(resolve_values(o, l));
    if (given(o, "use_peft") && !bool_of(o, "use_peft") && l->adapter)
        RT_TRY(rt_fail(RT_E_USAGE, "adapter_name_or_path is given and use_peft is false: expected "
                                   "one of them"));
    for (size_t i = 0; i < COUNT_OF(OWN) && !l->use; i++)
        if (given(o, OWN[i]))
            log_info("%s has no effect without use_peft, as in TRL", OWN[i]);
done:
    return err;
}

enum rt_err options_follow_adapter(struct options *o)
{
    enum rt_err err = RT_OK;
    const char *model = text_of(o, "model_name_or_path");
    struct api_adapted from = {0};

    if (!model || !fmt_peft_is(model))
        goto done;
    RT_TRY(api_adapted_open(model, text_of(o, "adapter_name_or_path"), &from));
    RT_TRY(options_set_text(o, "adapter_name_or_path", from.adapter, "model_name_or_path"));
    RT_TRY(options_set_text(o, "model_name_or_path", from.model, "model_name_or_path"));
done:
    api_adapted_close(&from);
    return err;
}
