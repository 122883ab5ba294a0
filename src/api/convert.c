#include "src/api/convert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/model/gguf.h"
#include "src/text/from_gguf.h"

// The small files of the folder, in the order in which they are written.
enum { CONFIG, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG, TEXTS };
static const char *const NAMES[TEXTS] = {
    [CONFIG] = "config.json",
    [GENERATION_CONFIG] = "generation_config.json",
    [TOKENIZER] = "tokenizer.json",
    [TOKENIZER_CONFIG] = "tokenizer_config.json",
};

// What an earlier model may have left in the folder and readers would prefer.
static const char *const STALE[] = {
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
};

static enum rt_err make_texts(const struct fmt_gguf *g, const struct md_arch *arch,
                              enum fmt_dtype dtype, const char *pre, struct str text[TEXTS])
{
    enum rt_err err = RT_OK;
    const struct fmt_gguf_kv *tokens;

    RT_TRY(md_gguf_config(arch, dtype, &text[CONFIG]));
    RT_TRY(md_gguf_generation_config(arch, &text[GENERATION_CONFIG]));
    RT_TRY(txt_gguf_tokenizer(g, pre, &text[TOKENIZER]));
    RT_TRY(txt_gguf_config(g, &text[TOKENIZER_CONFIG]));
    RT_TRY(fmt_gguf_array(g, "tokenizer.ggml.tokens", FMT_GGUF_STR, &tokens));
    if (tokens->count > arch->vocab)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: tokenizer.ggml.tokens: %llu tokens, token_embd.weight has %u rows",
                       g->path, (unsigned long long) tokens->count, arch->vocab));
    for (size_t i = 0; i < TEXTS; i++)
        RT_TRY(str_putc(&text[i], '\n'));
done:
    return err;
}

static enum rt_err write_texts(const char *dir, const struct str text[TEXTS])
{
    enum rt_err err = RT_OK;
    char *path = NULL;

    for (size_t i = 0; i < COUNT_OF(STALE); i++) {
        free(path);
        RT_TRY(path_join(dir, STALE[i], &path));
        if (file_exists(path) && remove(path) != 0)
            RT_TRY(rt_fail(RT_E_IO, "%s: cannot be removed: %s", path, strerror(errno)));
    }
    for (size_t i = 0; i < TEXTS; i++) {
        free(path);
        RT_TRY(path_join(dir, NAMES[i], &path));
        RT_TRY(file_write(path, text[i].data, text[i].len));
    }
done:
    free(path);
    return err;
}

enum rt_err api_convert(const struct api_convert_args *a, struct api_converted *out)
{
    enum rt_err err = RT_OK;
    const enum fmt_dtype dtype = a->dtype == RT_F16    ? FMT_F16
                                 : a->dtype == RT_BF16 ? FMT_BF16
                                                       : FMT_F32;
    struct fmt_gguf g = {0};
    struct md_arch arch;
    struct str text[TEXTS] = {0};
    struct fmt_st_writer *w = NULL;
    struct api_converted did = {0};

    *out = did;
    RT_REQUIRE(a->dtype == RT_F32 || a->dtype == RT_F16 || a->dtype == RT_BF16, RT_E_ARG);
    RT_TRY(fmt_gguf_open(a->from, &g));
    RT_TRY(md_gguf_arch(&g, &arch));
    RT_TRY(md_gguf_check_weights(&g, &arch));
    RT_TRY(make_texts(&g, &arch, dtype, a->pre, text));
    RT_TRY(dir_make(a->to));
    RT_TRY(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = a->to}, &w));
    RT_TRY(md_gguf_weights(&g, &arch, dtype, w)); // under temporary names
    RT_TRY(write_texts(a->to, text));
    RT_TRY(fmt_st_writer_commit(w));
    for (uint32_t i = 0; i < g.n_tensors; i++)
        did.parameters += g.tensors[i].count;
    did.tensors = g.n_tensors;
    *out = did;
done:
    fmt_st_writer_destroy(&w);
    for (size_t i = 0; i < TEXTS; i++)
        str_free(&text[i]);
    fmt_gguf_close(&g);
    return err;
}
