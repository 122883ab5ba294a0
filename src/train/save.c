#include "src/train/save.h"

#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"

// What is copied as it is, where it exists.
static const char *const FILES[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "tokenizer.model", "chat_template.jinja", "generation_config.json",
};

static enum rt_err copy_files(const char *source, const char *dir)
{
    enum rt_err err = RT_OK;
    char *from = NULL, *to = NULL;

    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        RT_TRY(path_join(source, FILES[i], &from));
        RT_TRY(path_join(dir, FILES[i], &to));
        if (file_exists(from))
            RT_TRY(file_copy(from, to));
        free(from);
        free(to);
        from = to = NULL;
    }
done:
    free(from);
    free(to);
    return err;
}

static enum rt_err write_json(const char *dir, const char *name, const cJSON *node)
{
    enum rt_err err = RT_OK;
    struct str s = { 0 };
    struct fmt_jw w = { .out = &s, .indent = 2 };
    char *path = NULL;

    fmt_jw_cjson(&w, node);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(str_putc(&s, '\n'));
    RT_TRY(path_join(dir, name, &path));
    RT_TRY(file_write(path, s.data, s.len));
done:
    free(path);
    str_free(&s);
    return err;
}

// config.json with the saved type, in the spelling that it had.
static enum rt_err write_config(const char *source, const char *dir, enum rt_type dtype)
{
    static const char *const NAME[] = { [RT_F32] = "float32", [RT_F16] = "float16", [RT_BF16] = "bfloat16" };
    enum rt_err err = RT_OK;
    char *path = NULL;
    cJSON *root = NULL, *old;

    RT_TRY(path_join(source, "config.json", &path));
    RT_TRY(fmt_json_read(path, &root));
    old = cJSON_CreateString(NAME[dtype]);
    RT_REQUIRE(old, RT_E_NOMEM);
    const char *key = cJSON_GetObjectItemCaseSensitive(root, "torch_dtype") ? "torch_dtype" : "dtype";
    if (cJSON_GetObjectItemCaseSensitive(root, key))
        cJSON_ReplaceItemInObjectCaseSensitive(root, key, old);
    else
        cJSON_AddItemToObject(root, key, old);
    RT_TRY(write_json(dir, "config.json", root));
done:
    cJSON_Delete(root);
    free(path);
    return err;
}

// What transformers derives from config.json when the folder has no generation_config.json.
static enum rt_err write_generation_config(const struct md_arch *a, const char *dir)
{
    enum rt_err err = RT_OK;
    char *path = NULL;
    cJSON *root = NULL, *eos;

    RT_TRY(path_join(dir, "generation_config.json", &path));
    if (file_exists(path))
        goto done;
    root = cJSON_CreateObject();
    RT_REQUIRE(root, RT_E_NOMEM);
    cJSON_AddBoolToObject(root, "_from_model_config", 1);
    if (a->bos >= 0)
        cJSON_AddNumberToObject(root, "bos_token_id", a->bos);
    if (a->n_eos == 1)
        cJSON_AddNumberToObject(root, "eos_token_id", a->eos[0]);
    eos = a->n_eos > 1 ? cJSON_AddArrayToObject(root, "eos_token_id") : NULL;
    for (uint32_t i = 0; eos && i < a->n_eos; i++)
        cJSON_AddItemToArray(eos, cJSON_CreateNumber(a->eos[i]));
    if (a->pad >= 0)
        cJSON_AddNumberToObject(root, "pad_token_id", a->pad);
    RT_TRY(write_json(dir, "generation_config.json", root));
done:
    cJSON_Delete(root);
    free(path);
    return err;
}

enum rt_err tr_save_model(const struct md_model *model, const char *source, const char *dir, enum rt_type dtype)
{
    enum rt_err err = RT_OK;
    RT_TRY(dir_make(dir));
    RT_TRY(copy_files(source, dir));
    RT_TRY(write_config(source, dir, dtype));
    RT_TRY(write_generation_config(&model->arch, dir));
    RT_TRY(md_weights_save(&model->params, model->master.n ? &model->master : &model->work, dir, NULL, dtype, 1.0));
done:
    return err;
}
