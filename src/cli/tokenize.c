// src/cli/tokenize.c -- `anydpo tokenize`: texts to token ids and back, line by line.
#include "src/api/text.h"
#include "src/cli/cmd.h"

enum { MODEL, NO_SPECIAL, DECODE, SKIP_SPECIAL };

static const struct cmd_opt OPTS[] = {
    [MODEL] = {"model_name_or_path", CMD_STR, NULL, 0, 0,
               "folder with tokenizer.json, or a GGUF file (required)"},
    [NO_SPECIAL] = {"no_special", CMD_FLAG, "false", 0, 0,
                    "without the special tokens that the tokenizer adds"},
    [DECODE] = {"decode", CMD_FLAG, "false", 0, 0,
                "lists of ids in, texts out; else texts in, lists of ids out"},
    [SKIP_SPECIAL] = {"skip_special", CMD_FLAG, "false", 0, 0,
                      "with --decode: leave special tokens out of the text"},
    {0},
};

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;

    if (n > 0)
        RT_TRY(rt_fail(RT_E_USAGE, "tokenize: expected --OPTION, found %.60s", words[0]));
    if (!opt[MODEL].str)
        RT_TRY(rt_fail(RT_E_USAGE, "tokenize: --model_name_or_path is not given"));
    if (opt[DECODE].flag ? opt[NO_SPECIAL].flag : opt[SKIP_SPECIAL].flag)
        RT_TRY(rt_fail(RT_E_USAGE, "tokenize: --no_special is for encoding, --skip_special for "
                                   "--decode"));
    RT_TRY(api_tokenize(&(struct api_tokenize_args){.model = opt[MODEL].str,
                                                    .no_special = opt[NO_SPECIAL].flag,
                                                    .decode = opt[DECODE].flag,
                                                    .skip_special = opt[SKIP_SPECIAL].flag,
                                                    .in = stdin,
                                                    .out = stdout}));
done:
    return err;
}

const struct cmd cmd_tokenize = {"tokenize", "texts to token ids and back: JSON lines in and out",
                                 "--model_name_or_path DIR [--decode] <LINES", OPTS, run};
