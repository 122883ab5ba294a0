#include "src/train/save.h"

#include <stdlib.h>
#include <string.h>

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

// Read with jansson, which keeps 1 and 1.0 apart.
static enum rt_err read_object(const char *dir, const char *name, json_t **out)
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    char *path = NULL;

    *out = NULL;
    RT_TRY(path_join(dir, name, &path));
    RT_TRY(file_read(path, &text));
    RT_TRY(fmt_jansson_parse(text.data, text.len, path, 1, out));
    if (!json_is_object(*out))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected an object", path));
done:
    str_free(&text);
    free(path);
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

// config.json with the saved type, in the spelling that it had.
enum rt_err tr_save_config(const char *source, const char *dir, enum fmt_dtype dtype, bool untied)
{
    static const char *const NAME[] = {
        [FMT_F32] = "float32", [FMT_F16] = "float16", [FMT_BF16] = "bfloat16"};
    enum rt_err err = RT_OK;
    json_t *root = NULL;

    if (fmt_gguf_is(source))
        return tr_gguf_config(source, dir, dtype);
    RT_TRY(read_object(source, "config.json", &root));
    const char *key = json_object_get(root, "torch_dtype") ? "torch_dtype" : "dtype";
    if (dtype <= FMT_BF16)
        RT_REQUIRE(json_object_set_new(root, key, json_string(NAME[dtype])) == 0, RT_E_NOMEM);
    if (untied)
        RT_REQUIRE(json_object_set_new(root, "tie_word_embeddings", json_false()) == 0, RT_E_NOMEM);
    RT_TRY(write_json(dir, "config.json", root));
done:
    json_decref(root);
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

static bool names(const json_t *v, int64_t id)
{
    const json_t *x;
    size_t i;

    json_array_foreach(v, i, x) if (json_is_integer(x) && json_integer_value(x) == id) return true;
    return json_is_integer(v) && json_integer_value(v) == id;
}

// v's ids with another before them. NULL: out of memory.
static json_t *with_first(const json_t *v, int64_t id)
{
    json_t *out = json_array();
    json_t *x;
    size_t i;

    json_array_append_new(out, json_integer(id));
    if (json_is_integer(v) && !names(v, id))
        json_array_append_new(out, json_integer(json_integer_value(v)));
    json_array_foreach((json_t *) v, i, x) if (!names(x, id)) json_array_append(out, x);
    return out;
}

static enum rt_err align(json_t *config, json_t *generation, const char *key, int64_t id)
{
    enum rt_err err = RT_OK;
    const json_t *c = json_object_get(config, key), *g = json_object_get(generation, key);
    const bool several = strcmp(key, "eos_token_id") == 0;

    if (id < 0 || (names(c, id) && names(g, id)))
        goto done;
    json_t *mine = several && json_is_array(c) ? with_first(c, id) : json_integer(id);
    json_t *theirs = several ? with_first(g, id) : json_integer(id);
    const int a = json_object_set_new(config, key, mine);
    const int b = json_object_set_new(generation, key, theirs);
    RT_REQUIRE(a == 0 && b == 0, RT_E_NOMEM);
done:
    return err;
}

enum rt_err tr_save_token_ids(const struct tr_token_ids *ids, const char *dir)
{
    enum rt_err err = RT_OK;
    json_t *config = NULL, *generation = NULL, *before[2] = {NULL, NULL};

    RT_TRY(read_object(dir, "config.json", &config));
    RT_TRY(read_object(dir, "generation_config.json", &generation));
    before[0] = json_deep_copy(config);
    before[1] = json_deep_copy(generation);
    RT_TRY(align(config, generation, "eos_token_id", ids->eos));
    RT_TRY(align(config, generation, "bos_token_id", ids->bos));
    RT_TRY(align(config, generation, "pad_token_id", ids->pad));
    if (!json_equal(config, before[0]))
        RT_TRY(write_json(dir, "config.json", config));
    if (!json_equal(generation, before[1]))
        RT_TRY(write_json(dir, "generation_config.json", generation));
done:
    json_decref(before[0]);
    json_decref(before[1]);
    json_decref(config);
    json_decref(generation);
    return err;
}

// As TRL, a tokenizer without a token for padding pads with its end.
static enum rt_err align_tokens(const struct txt_tokenizer *tok, const char *dir)
{
    int64_t id[TXT_SPECIAL_COUNT];

    for (int i = 0; i < TXT_SPECIAL_COUNT; i++) {
        const struct txt_special_token t = txt_special(tok, (enum txt_special) i);
        id[i] = t.has_id ? (int64_t) t.id : -1;
    }
    return tr_save_token_ids(
        &(struct tr_token_ids){.eos = id[TXT_EOS],
                               .bos = id[TXT_BOS],
                               .pad = id[TXT_PAD] >= 0 ? id[TXT_PAD] : id[TXT_EOS]},
        dir);
}

enum rt_err tr_save_model(struct md_model *model, const struct txt_tokenizer *tok,
                          const char *source, const char *dir, enum rt_type dtype)
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
    if (tok)
        RT_TRY(align_tokens(tok, dir));
    const struct md_trained t = md_trained_of(model);
    RT_TRY(md_weights_save(t.params, t.work, dir, NULL, dtype, 1.0));
done:
    return err;
}
