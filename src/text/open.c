#include "src/text/open.h"

#include "src/base/file.h"
#include "src/format/json.h"
#include "src/text/chat_internal.h"
#include "src/text/from_gguf.h"
#include "src/text/tokenizer_parts.h"

// A GGUF file's tokenizer_config.json.
static enum rt_err read_config(const char *path, const struct fmt_gguf *g, cJSON **out)
{
    enum rt_err err = RT_OK;
    struct str text = {0};

    RT_TRY(txt_gguf_config(g, &text));
    RT_TRY(fmt_json_parse(text.data, text.len, path, out));
done:
    str_free(&text);
    return err;
}

enum rt_err txt_tokenizer_open_any(const char *path, struct txt_tokenizer **out)
{
    enum rt_err err = RT_OK;
    struct txt_tokenizer *tok = NULL;
    struct fmt_gguf g = {0};
    struct str text = {0};
    cJSON *config = NULL;

    *out = NULL;
    if (!file_exists(path))
        return txt_tokenizer_open(path, out);
    RT_TRY(fmt_gguf_open(path, &g));
    RT_TRY(txt_gguf_tokenizer(&g, NULL, &text));
    RT_TRY(txt_tokenizer_parse(text.data, text.len, path, &tok));
    RT_TRY(read_config(path, &g, &config));
    RT_TRY(txt_specials_read(tok, config));
    *out = tok;
    tok = NULL;
done:
    txt_tokenizer_close(&tok);
    cJSON_Delete(config);
    str_free(&text);
    fmt_gguf_close(&g);
    return err;
}

enum rt_err txt_chat_open_any(const char *path, struct txt_chat **out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf g = {0};
    cJSON *config = NULL;

    *out = NULL;
    if (!file_exists(path))
        return txt_chat_open(path, out);
    RT_TRY(fmt_gguf_open(path, &g));
    RT_TRY(read_config(path, &g, &config));
    RT_TRY(txt_chat_open_config(config, path, out));
done:
    cJSON_Delete(config);
    fmt_gguf_close(&g);
    return err;
}
