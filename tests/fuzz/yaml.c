// Fuzz entry: YAML recipes; what is accepted is bounded and can be written as JSON.
#include "src/format/json.h"
#include "src/format/yaml.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = {0};
    struct fmt_jw w = {.out = &s, .indent = 2};
    cJSON *tree = NULL, *again = NULL;

    if (fmt_yaml_parse((const char *) data, size, "fuzz", &tree) == RT_OK) {
        fmt_jw_cjson(&w, tree);
        if (fmt_jw_done(&w) != RT_OK || fmt_json_parse(s.data, s.len, "again", &again) != RT_OK)
            abort();
    }
    cJSON_Delete(tree);
    cJSON_Delete(again);
    str_free(&s);
    return 0;
}
