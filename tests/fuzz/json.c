// Fuzz entry: both JSON readers, and that what they accept is written so that it reads back equal.
#include "src/format/json.h"
#include "tests/fuzz/fuzz.h"

static void write_twice(const cJSON *tree, unsigned indent)
{
    struct str first = {0}, second = {0};
    struct fmt_jw w = {.out = &first, .indent = indent, .ascii = indent == 0};
    cJSON *again = NULL;

    fmt_jw_cjson(&w, tree);
    if (fmt_jw_done(&w) != RT_OK || fmt_json_parse(first.data, first.len, "again", &again) != RT_OK)
        abort();
    w = (struct fmt_jw){.out = &second, .indent = indent, .ascii = indent == 0};
    fmt_jw_cjson(&w, again);
    if (fmt_jw_done(&w) != RT_OK || first.len != second.len ||
        memcmp(first.data, second.data, first.len) != 0)
        abort();
    cJSON_Delete(again);
    str_free(&first);
    str_free(&second);
}

static void write_jansson(const json_t *tree)
{
    struct str text = {0};
    struct fmt_jw w = {.out = &text, .ascii = true};
    json_t *again = NULL;

    fmt_jw_jansson(&w, tree);
    if (fmt_jw_done(&w) != RT_OK ||
        fmt_jansson_parse(text.data, text.len, "again", 1, &again) != RT_OK ||
        !json_equal(tree, again))
        abort();
    json_decref(again);
    str_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;
    cJSON *tree = NULL;
    json_t *row = NULL;

    if (fmt_json_parse(text, size, "fuzz", &tree) == RT_OK) {
        write_twice(tree, 2);
        write_twice(tree, 0);
    }
    cJSON_Delete(tree);
    if (fmt_jansson_parse(text, size, "fuzz", 7, &row) == RT_OK)
        write_jansson(row);
    json_decref(row);
    return 0;
}
