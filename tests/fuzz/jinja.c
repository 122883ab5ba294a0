// Fuzz entry. The input is a template, rendered for a conversation with tools. What comes out must
// be UTF-8, and the same again the second time; a template that fails must leave nothing behind.
// More seeds: tests/golden/templates.
#include "src/text/chat.h"
#include "src/text/jinja_internal.h"
#include "tests/fuzz/fuzz.h"

static enum rt_err render(const struct txt_chat *chat, const json_t *row, struct str *out)
{
    struct str error = {0};
    const enum rt_err err =
        txt_chat_render(chat,
                        &(struct txt_chat_args){.messages = json_object_get(row, "messages"),
                                                .tools = json_object_get(row, "tools"),
                                                .kwargs = json_object_get(row, "kwargs"),
                                                .add_generation_prompt = true,
                                                .now = 1751620087},
                        out, &error);
    if (err != RT_OK && (out->len != 0 || error.len == 0))
        abort();
    str_free(&error);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char ROW[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be br\\u00efef.\"},{\"role\":\"user\","
        "\"content\":[{\"type\":\"text\",\"text\":\" a\\n\\u0000\"}]},{\"role\":\"assistant\","
        "\"content\":\"<think>\\nx</think> y\",\"reasoning_content\":\"r\",\"tool_calls\":[{"
        "\"function\":{\"name\":\"f\",\"arguments\":{\"n\":1,\"x\":2.5,\"ok\":true,\"l\":[1,null]}}"
        "}"
        "]}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{"
        "\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}}}],\"kwargs\":{"
        "\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"x\":[3,1,2],\"s\":\"\\u00df "
        "\\ud83d\\ude00\"}}";
    json_t *row = json_loadb(ROW, sizeof(ROW) - 1, JSON_ALLOW_NUL, NULL);
    struct str first = {0}, second = {0};
    struct txt_chat *chat = NULL;

    if (row && txt_chat_open_text((const char *) data, size, "fuzz", &chat) == RT_OK &&
        render(chat, row, &first) == RT_OK) {
        if (first.len && !jcp_valid(first.data, first.len))
            abort();
        if (render(chat, row, &second) != RT_OK || second.len != first.len ||
            (first.len && memcmp(first.data, second.data, first.len) != 0))
            abort();
    }
    txt_chat_close(&chat);
    str_free(&first);
    str_free(&second);
    json_decref(row);
    return 0;
}
