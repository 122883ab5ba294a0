#include "src/train/save_gguf.h"

#include <stdlib.h>

#include "src/model/gguf.h"
#include "src/text/from_gguf.h"

static enum rt_err write_text(const char *dir, const char *name, struct str *text)
{
    enum rt_err err = RT_OK;
    char *path = NULL;

    RT_TRY(str_putc(text, '\n'));
    RT_TRY(path_join(dir, name, &path));
    RT_TRY(file_write(path, text->data, text->len));
done:
    free(path);
    return err;
}

enum rt_err tr_gguf_tokenizer(const char *path, const char *dir)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf g = {0};
    struct str tokenizer = {0}, config = {0};

    RT_TRY(fmt_gguf_open(path, &g));
    RT_TRY(txt_gguf_tokenizer(&g, NULL, &tokenizer));
    RT_TRY(txt_gguf_config(&g, &config));
    RT_TRY(write_text(dir, "tokenizer.json", &tokenizer));
    RT_TRY(write_text(dir, "tokenizer_config.json", &config));
done:
    str_free(&tokenizer);
    str_free(&config);
    fmt_gguf_close(&g);
    return err;
}

enum rt_err tr_gguf_config(const char *path, const char *dir, enum fmt_dtype dtype)
{
    enum rt_err err = RT_OK;
    struct md_arch arch;
    struct str config = {0}, generation = {0};

    RT_TRY(md_gguf_arch_read(path, &arch));
    RT_TRY(md_gguf_config(&arch, dtype, &config));
    RT_TRY(md_gguf_generation_config(&arch, &generation));
    RT_TRY(write_text(dir, "config.json", &config));
    RT_TRY(write_text(dir, "generation_config.json", &generation));
done:
    str_free(&config);
    str_free(&generation);
    return err;
}
