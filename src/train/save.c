#include "src/train/save.h"

#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/train/adapter.h"
#include "src/train/save_gguf.h"

// What is copied as it is, where it exists.
static const char *const FILES[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json", // the last: not of an adapter
};

enum rt_err tr_save_files(const char *source, const char *dir, bool generation)
{
    enum rt_err err = RT_OK;
    char *from = NULL, *to = NULL;

    if (fmt_gguf_is(source))
        return tr_gguf_tokenizer(source, dir);
    for (size_t i = 0; i < COUNT_OF(FILES) - !generation; i++) {
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

static enum rt_err write_json(const char *dir, const char *name, const json_t *node)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    struct fmt_jw w = {.out = &s, .indent = 2};
    char *path = NULL;

    fmt_jw_jansson(&w, node);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(str_putc(&s, '\n'));
    RT_TRY(path_join(dir, name, &path));
    RT_TRY(file_write(path, s.data, s.len));
done:
    free(path);
    str_free(&s);
    return err;
}

// config.json with the saved type, in the spelling that it had. Read with jansson, which keeps 1
// and 1.0 apart.
enum rt_err tr_save_config(const char *source, const char *dir, enum fmt_dtype dtype, bool untied)
{
    static const char *const NAME[] = {
        [FMT_F32] = "float32", [FMT_F16] = "float16", [FMT_BF16] = "bfloat16"};
    enum rt_err err = RT_OK;
    struct str text = {0};
    char *path = NULL;
    json_t *root = NULL;

    if (fmt_gguf_is(source))
        return tr_gguf_config(source, dir, dtype);
    RT_TRY(path_join(source, "config.json", &path));
    RT_TRY(file_read(path, &text));
    RT_TRY(fmt_jansson_parse(text.data, text.len, path, 1, &root));
    const char *key = json_object_get(root, "torch_dtype") ? "torch_dtype" : "dtype";
    if (dtype <= FMT_BF16)
        RT_REQUIRE(json_object_set_new(root, key, json_string(NAME[dtype])) == 0, RT_E_NOMEM);
    if (untied)
        RT_REQUIRE(json_object_set_new(root, "tie_word_embeddings", json_false()) == 0, RT_E_NOMEM);
    RT_TRY(write_json(dir, "config.json", root));
done:
    json_decref(root);
    str_free(&text);
    free(path);
    return err;
}

// What transformers derives from config.json when the folder has no generation_config.json.
static enum rt_err write_generation_config(const struct md_arch *a, const char *dir)
{
    enum rt_err err = RT_OK;
    char *path = NULL;
    json_t *root = NULL, *eos = json_array();

    RT_TRY(path_join(dir, "generation_config.json", &path));
    if (file_exists(path))
        goto done;
    root = json_pack("{s:b}", "_from_model_config", 1);
    RT_REQUIRE(root && eos, RT_E_NOMEM);
    if (a->bos >= 0)
        json_object_set_new(root, "bos_token_id", json_integer(a->bos));
    for (uint32_t i = 0; i < a->n_eos; i++)
        json_array_append_new(eos, json_integer(a->eos[i]));
    if (a->n_eos)
        json_object_set(root, "eos_token_id", a->n_eos == 1 ? json_array_get(eos, 0) : eos);
    if (a->pad >= 0)
        json_object_set_new(root, "pad_token_id", json_integer(a->pad));
    RT_TRY(write_json(dir, "generation_config.json", root));
done:
    json_decref(eos);
    json_decref(root);
    free(path);
    return err;
}

enum rt_err tr_save_model(struct md_model *model, const char *source, const char *dir,
                          enum rt_type dtype)
{
    enum rt_err err = RT_OK;
    RT_TRY(dir_make(dir));
    RT_TRY(tr_save_files(source, dir, !md_adapter_any(&model->adapter)));
    if (md_adapter_any(&model->adapter)) {
        RT_TRY(tr_adapter_save(model, source, dir));
        goto done;
    }
    RT_TRY(tr_save_config(source, dir,
                          dtype == RT_F16    ? FMT_F16
                          : dtype == RT_BF16 ? FMT_BF16
                                             : FMT_F32,
                          false));
    RT_TRY(write_generation_config(&model->arch, dir));
    const struct md_trained t = md_trained_of(model);
    RT_TRY(md_weights_save(t.params, t.work, dir, NULL, dtype, 1.0));
done:
    return err;
}
