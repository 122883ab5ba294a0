// Fuzz entry: YAML recipes; what is accepted is bounded and can be written as JSON.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/format/json.h"
#include "src/format/yaml.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(void *user, enum log_level level, const char *line)
{
    (void) user;
    (void) level;
    if (strlen(line) == 0) // a message says something
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;
    log_set_sink(quiet, NULL);
    return 0;
}

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
