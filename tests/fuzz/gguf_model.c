// Fuzz entry: a decoder's description out of a GGUF file's metadata, and whether its tensors fit;
// the config.json that is made of what is accepted.
#include "src/format/json.h"
#include "src/model/gguf.h"
#include "tests/fuzz/fuzz.h"

static void describe(const struct fmt_gguf *g)
{
    struct str text = {0};
    struct md_arch a;
    cJSON *tree = NULL;

    if (md_gguf_arch(g, &a) != RT_OK)
        return;
    for (uint32_t l = 0; l < a.layers; l++)
        if (a.layer[l] & MD_LAYER_WINDOW && a.window == 0)
            abort();
    (void) (md_gguf_check_weights(g, &a) == RT_OK);
    if (md_gguf_config(&a, FMT_BF16, &text) != RT_OK ||
        fmt_json_parse(text.data, text.len, "config.json", &tree) != RT_OK)
        abort();
    cJSON_Delete(tree);
    str_clear(&text);
    if (md_gguf_generation_config(&a, &text) != RT_OK)
        abort();
    str_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fmt_gguf g;

    if (fmt_gguf_open_memory(data, size, "fuzz", &g) == RT_OK) {
        describe(&g);
        fmt_gguf_close(&g);
    }
    return 0;
}
