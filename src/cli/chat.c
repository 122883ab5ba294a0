// src/cli/chat.c -- `anydpo chat`: render conversations with a chat template, line by line.
#include "src/api/text.h"
#include "src/cli/cmd.h"

enum { MODEL, TEMPLATE };

static const struct cmd_opt OPTS[] = {
    [MODEL] = {"model_name_or_path", CMD_STR, NULL, 0, 0,
               "folder or GGUF file whose template and special tokens are taken"},
    [TEMPLATE] = {"template", CMD_STR, NULL, 0, 0,
                  "a template file instead; its special tokens come with each line's kwargs"},
    {0},
};

static enum rt_err run(const union cmd_val *opt, int n, char **words)
{
    enum rt_err err = RT_OK;

    if (n > 0)
        RT_TRY(rt_fail(RT_E_USAGE, "chat: expected --OPTION, found %.60s", words[0]));
    if (!opt[MODEL].str == !opt[TEMPLATE].str)
        RT_TRY(rt_fail(RT_E_USAGE, "chat: expected --model_name_or_path or --template, found %s",
                       opt[MODEL].str ? "both" : "neither"));
    RT_TRY(api_chat(&(struct api_chat_args){
        .model = opt[MODEL].str, .template_file = opt[TEMPLATE].str, .in = stdin, .out = stdout}));
done:
    return err;
}

const struct cmd cmd_chat = {
    "chat", "render conversations with a chat template: JSON lines in and out",
    "(--model_name_or_path DIR | --template FILE.jinja) <LINES", OPTS, run};
