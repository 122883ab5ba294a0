// Recipes: any JSON object as options, checked and translated.
#include <stdlib.h>
#include <string.h>

#include "src/api/options.h"
#include "src/format/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void silent(void *user, enum log_level level, const char *line)
{
    (void) user, (void) level, (void) line;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc, (void) argv;
    log_set_sink(silent, NULL);
    return 0;
}

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
