// The special tokens that a saved model names, as align_special_tokens of transformers 5.23 made
// them of the same settings.
#include "src/train/save.h"

#include "src/format/json.h"
#include "tests/format/util.h"

static char *g_dir;

static void put(const char *name, const char *text)
{
    char *path = u_in(g_dir, name);
    U_OK(file_write(path, text, strlen(text)));
    free(path);
}

static void expect(const char *name, const char *want, size_t row)
{
    char *path = u_in(g_dir, name);
    cJSON *got = NULL, *w = cJSON_Parse(want);

    U_OK(fmt_json_read(path, &got));
    assert_non_null(w);
    if (!cJSON_Compare(got, w, true)) {
        char *text = cJSON_PrintUnformatted(got);
        fail_msg("row %zu: %s: expected %s, found %s", row, name, want, text);
    }
    cJSON_Delete(got);
    cJSON_Delete(w);
    free(path);
}

static void tokens_are_the_tokenizer_s(void **state)
{
    static const struct {
        const char *config, *generation;
        struct tr_token_ids ids;
        const char *want_config, *want_generation;
    } ROWS[] = {
        {"{\"eos_token_id\": 2}",
         "{\"eos_token_id\": 2}",
         {2, -1, -1},
         "{\"eos_token_id\": 2}",
         "{\"eos_token_id\": 2}"},
        {"{\"eos_token_id\": 2, \"rope_theta\": 1e4}",
         "{\"eos_token_id\": 2}",
         {0, -1, -1},
         "{\"eos_token_id\": 0, \"rope_theta\": 1e4}",
         "{\"eos_token_id\": [0, 2]}"},
        {"{\"eos_token_id\": [5, 2]}",
         "{\"eos_token_id\": [5, 2]}",
         {7, -1, -1},
         "{\"eos_token_id\": [7, 5, 2]}",
         "{\"eos_token_id\": [7, 5, 2]}"},
        {"{\"eos_token_id\": [5, 2]}",
         "{\"eos_token_id\": [5, 2]}",
         {2, -1, -1},
         "{\"eos_token_id\": [5, 2]}",
         "{\"eos_token_id\": [5, 2]}"},
        {"{\"eos_token_id\": 5}",
         "{\"eos_token_id\": [5, 2]}",
         {2, 1, 0},
         "{\"eos_token_id\": 2, \"bos_token_id\": 1, \"pad_token_id\": 0}",
         "{\"eos_token_id\": [2, 5], \"bos_token_id\": 1, \"pad_token_id\": 0}"},
        {"{}",
         "{}",
         {2, 1, 0},
         "{\"eos_token_id\": 2, \"bos_token_id\": 1, \"pad_token_id\": 0}",
         "{\"eos_token_id\": [2], \"bos_token_id\": 1, \"pad_token_id\": 0}"},
        {"{\"bos_token_id\": 9, \"pad_token_id\": null}",
         "{\"bos_token_id\": 1}",
         {-1, 1, 4},
         "{\"bos_token_id\": 1, \"pad_token_id\": 4}",
         "{\"bos_token_id\": 1, \"pad_token_id\": 4}"},
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        put("config.json", ROWS[i].config);
        put("generation_config.json", ROWS[i].generation);
        U_OK(tr_save_token_ids(&ROWS[i].ids, g_dir));
        expect("config.json", ROWS[i].want_config, i);
        expect("generation_config.json", ROWS[i].want_generation, i);
    }
    put("config.json", "[]");
    U_FAILS(RT_E_FORMAT, "object", tr_save_token_ids(&ROWS[0].ids, g_dir));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_are_the_tokenizer_s)};
    g_dir = u_dir();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    u_drop(g_dir);
    return failed;
}
