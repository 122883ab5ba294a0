// Fuzz entry: adapter_config.json. What is accepted is written so that it reads back as it was;
// which modules it means is found in bounded time.
#include "src/format/peft.h"
#include "tests/fuzz/fuzz.h"

static void write_twice(const struct fmt_peft *p)
{
    struct str first = {0}, second = {0};
    struct fmt_peft again;

    if (fmt_peft_text(p, &first) != RT_OK ||
        fmt_peft_parse(first.data, first.len, "again", &again) != RT_OK ||
        fmt_peft_text(&again, &second) != RT_OK)
        abort();
    if (again.r != p->r || again.use_dora != p->use_dora || again.use_rslora != p->use_rslora ||
        first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
        abort();
    fmt_peft_free(&again);
    str_free(&first);
    str_free(&second);
}

static void use(const struct fmt_peft *p)
{
    static const char *const PATHS[] = {"model.layers.0.self_attn.q_proj",
                                        "model.layers.11.mlp.down_proj", "lm_head",
                                        "transformer.h.3.attn.c_attn"};
    struct fmt_peft copy;
    bool hit;

    for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++) {
        if (p->targets && !fmt_peft_all_linear(p->targets) &&
            fmt_peft_targets(p->targets, PATHS[i], &hit) != RT_OK)
            break;
        (void) fmt_peft_saves(p->save, PATHS[i]);
    }
    if (fmt_peft_copy(p, &copy) != RT_OK)
        abort();
    write_twice(&copy);
    fmt_peft_free(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fmt_peft p;

    if (fmt_peft_parse((const char *) data, size, "fuzz", &p) == RT_OK)
        use(&p);
    else if (p.targets || p.save || p.base_model)
        abort();
    fmt_peft_free(&p);
    return 0;
}
