// src/cli/generate.c -- `anydpo generate`: answer prompts with a model folder.
#include <stdio.h>
#include <string.h>

#include "src/api/generate.h"
#include "src/cli/cmd.h"

enum {
    MODEL,
    ADAPTER,
    PROMPT,
    SYSTEM,
    RAW,
    MAX_NEW,
    MAX_LENGTH,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    SEED,
    DTYPE,
    DEVICE,
    DISABLE,
    CLAMP,
    CACHE
};

static const struct cmd_opt OPTS[] = {
    [MODEL] = {"model_name_or_path", CMD_STR, NULL, 0, 0,
               "Hugging Face model folder, or GGUF file (required)"},
    [ADAPTER] = {"adapter_name_or_path", CMD_STR, NULL, 0, 0, "folder of a PEFT adapter of it"},
    [PROMPT] = {"prompt", CMD_STR, NULL, 0, 0,
                "the prompt; without it each line of standard input is one"},
    [SYSTEM] = {"system", CMD_STR, NULL, 0, 0, "text of a system turn before the prompt"},
    [RAW] = {"raw", CMD_FLAG, "false", 0, 0,
             "continue the text as it is, without the chat template"},
    [MAX_NEW] = {"max_new_tokens", CMD_INT, "128", 1, 1 << 20, "longest answer, tokens"},
    [MAX_LENGTH] = {"max_length", CMD_INT, "1024", 2, 1 << 20,
                    "prompt and answer together, tokens"},
    [TEMPERATURE] = {"temperature", CMD_NUM, "0", 0, 100, "0: always the likeliest token"},
    [TOP_K] = {"top_k", CMD_INT, "0", 0, 1 << 24, "sample among so many tokens; 0: all"},
    [TOP_P] = {"top_p", CMD_NUM, "1", 1e-6, 1, "sample among the likeliest tokens of this share"},
    [SEED] = {"seed", CMD_INT, "42", 0, 4294967295.0, "of the sampling"},
    [DTYPE] = {"dtype", CMD_STR, "float32", 0, 0,
               "float32 | float16 | bfloat16: storage of weights and activations"},
    [DEVICE] = CMD_OPT_DEVICE,
    [DISABLE] = CMD_OPT_DISABLE,
    [CLAMP] = CMD_OPT_CLAMP,
    [CACHE] = CMD_OPT_CACHE,
    {0},
};

static void print_piece(void *user, const char *text, size_t len)
{
    (void) user;
    fwrite(text, 1, len, stdout);
    fflush(stdout);
}

static enum rt_err answer(struct api_generator *g, const union cmd_val *opt, const char *prompt,
                          size_t len)
{
    struct str out = {0};
    const enum rt_err err =
        api_generate(g,
                     &(struct api_generate_args){.prompt = prompt,
                                                 .prompt_len = len,
                                                 .system = opt[SYSTEM].str,
                                                 .chat = !opt[RAW].flag,
                                                 .max_new_tokens = (uint32_t) opt[MAX_NEW].num,
                                                 .temperature = (float) opt[TEMPERATURE].real,
                                                 .top_p = (float) opt[TOP_P].real,
                                                 .top_k = (uint32_t) opt[TOP_K].num,
                                                 .seed = (uint64_t) opt[SEED].num,
                                                 .on_text = print_piece},
                     &out);
    putchar('\n');
    str_free(&out);
    return err;
}

static enum rt_err answer_lines(struct api_generator *g, const union cmd_val *opt)
{
    enum rt_err err = RT_OK;
    struct str line = {0};
    int c;

    do {
        str_clear(&line);
        while ((c = getchar()) != EOF && c != '\n')
            RT_TRY(str_putc(&line, (char) c));
        if (line.len)
            RT_TRY(answer(g, opt, line.data, line.len));
    } while (c != EOF);
done:
    str_free(&line);
    return err;
}

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;
    struct api_generator *g = NULL;
    const char *dtype = opt[DTYPE].str;
    const enum rt_type storage = strcmp(dtype, "float16") == 0    ? RT_F16
                                 : strcmp(dtype, "bfloat16") == 0 ? RT_BF16
                                                                  : RT_F32;

    if (n > 0)
        RT_TRY(rt_fail(RT_E_USAGE, "generate: expected --OPTION, found %.60s", words[0]));
    if (!opt[MODEL].str)
        RT_TRY(rt_fail(RT_E_USAGE, "generate: --model_name_or_path is not given"));
    if (storage == RT_F32 && strcmp(dtype, "float32") != 0)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "generate: --dtype: expected float32, float16 or bfloat16, found %.60s",
                       dtype));
    RT_TRY(api_generator_open(
        &(struct api_generator_desc){.folder = opt[MODEL].str,
                                     .adapter = opt[ADAPTER].str,
                                     .device = opt[DEVICE].str,
                                     .disable = opt[DISABLE].str,
                                     .clamp = opt[CLAMP].str,
                                     .cache_dir = opt[CACHE].str,
                                     .storage = storage,
                                     .max_tokens = (uint32_t) opt[MAX_LENGTH].num},
        &g));
    if (opt[PROMPT].str)
        RT_TRY(answer(g, opt, opt[PROMPT].str, strlen(opt[PROMPT].str)));
    else
        RT_TRY(answer_lines(g, opt));
done:
    api_generator_close(&g);
    return err;
}

const struct cmd cmd_generate = {"generate", "answer prompts with a model",
                                 "--model_name_or_path DIR [--prompt TEXT]", OPTS, run};
