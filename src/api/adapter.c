#include "src/api/adapter.h"

#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/gguf.h"
#include "src/format/hub.h"

static enum rt_err find_tokenizer(struct api_adapted *a)
{
    enum rt_err err = RT_OK;
    char *path = NULL;

    if (a->adapter)
        RT_TRY(path_join(a->adapter, "tokenizer.json", &path));
    RT_TRY(str_dup(path && file_exists(path) ? a->adapter : a->model, &a->tokenizer));
done:
    free(path);
    return err;
}

// *path, or where the Hugging Face cache has it: *found, the caller's.
static enum rt_err find_on_hub(const char **path, char **found)
{
    enum rt_err err = RT_OK;
    if (*path)
        err = fmt_hub_find(FMT_HUB_MODEL, *path, "main", found);
    if (*found)
        *path = *found;
    return err;
}

enum rt_err api_adapted_open(const char *model, const char *adapter, struct api_adapted *out)
{
    enum rt_err err = RT_OK;
    struct api_adapted a = {0};
    char *found[3] = {NULL, NULL, NULL};
    const char *base = NULL;
    bool itself;

    *out = a;
    RT_TRY(find_on_hub(&model, &found[0]));
    RT_TRY(find_on_hub(&adapter, &found[1]));
    itself = fmt_peft_is(model);
    if (itself && adapter)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "model_name_or_path %s is an adapter itself, and adapter_name_or_path is "
                       "given: expected the base model and one adapter",
                       model));
    if (itself)
        adapter = model;
    if (adapter)
        RT_TRY(fmt_peft_read(adapter, &a.peft));
    base = a.peft.base_model;
    if (itself)
        RT_TRY(find_on_hub(&base, &found[2]));
    if (itself && (!base || (!dir_exists(base) && !fmt_gguf_is(base))))
        RT_TRY(rt_fail(
            RT_E_NOT_FOUND,
            "%s is an adapter of %s, which is no folder or GGUF file here: give that base as "
            "model_name_or_path and this as adapter_name_or_path",
            model, base ? base : "an unnamed base"));
    if (itself)
        log_info("%s is an adapter of %s", model, base);
    RT_TRY(str_dup(itself ? base : model, &a.model));
    if (adapter)
        RT_TRY(str_dup(adapter, &a.adapter));
    RT_TRY(find_tokenizer(&a));
    *out = a;
    a = (struct api_adapted){0};
done:
    for (size_t i = 0; i < COUNT_OF(found); i++)
        free(found[i]);
    api_adapted_close(&a);
    return err;
}

void api_adapted_close(struct api_adapted *a)
{
    free(a->model);
    free(a->adapter);
    free(a->tokenizer);
    fmt_peft_free(&a->peft);
    *a = (struct api_adapted){0};
}
