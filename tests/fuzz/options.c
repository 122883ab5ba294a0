// Recipes: any JSON object as options, checked and translated.
#include "src/api/options.h"
#include "src/format/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options o = {0};
    struct tr_config c;
    cJSON *root = NULL, *v;

    if (fmt_json_parse((const char *) data, size, "fuzz", &root) != RT_OK)
        return 0;
    if (options_create(&o) != RT_OK)
        abort();
    cJSON_ArrayForEach(v, root)
    {
        char *text = cJSON_IsString(v) ? v->valuestring : cJSON_PrintUnformatted(v);
        if (text && v->string)
            (void) !options_set_text(&o, v->string, text, "fuzz");
        if (text && !cJSON_IsString(v))
            cJSON_free(text);
    }
    if (options_resolve(&o, true, &c) == RT_OK && (c.n_parts < 1 || c.n_parts > DS_PARTS))
        abort();
    options_destroy(&o);
    cJSON_Delete(root);
    return 0;
}
