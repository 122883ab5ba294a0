// Fuzz entry: tokenizer files out of a GGUF file; what comes out must be JSON.
#include "src/format/json.h"
#include "src/text/from_gguf.h"
#include "tests/fuzz/fuzz.h"

static void must_parse(const struct str *text)
{
    json_t *doc;
    if (fmt_jansson_parse(text->data, text->len, "fuzz", 1, &doc) != RT_OK)
        abort();
    json_decref(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fmt_gguf g;
    struct str tokenizer = {0}, config = {0};

    if (fmt_gguf_open_memory(data, size, "fuzz", &g) == RT_OK) {
        if (txt_gguf_tokenizer(&g, size % 2 ? "llama-bpe" : NULL, &tokenizer) == RT_OK)
            must_parse(&tokenizer);
        if (txt_gguf_config(&g, &config) == RT_OK)
            must_parse(&config);
    }
    str_free(&tokenizer);
    str_free(&config);
    fmt_gguf_close(&g);
    return 0;
}
