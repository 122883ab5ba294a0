// Renderings of transformers: those in tests/golden/templates, and those of ANYDPO_GOLDENS when it
// is there, with the folders that keep templates and tokens in different places.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/text/chat.h"

static const int64_t NOW = 1751620087; // 2025-07-04 09:08:07

static void silent(void *user, enum log_level level, const char *line)
{
    (void) user, (void) level, (void) line;
}

static json_t *read_json(const char *dir, const char *file)
{
    struct str text = {0};
    char *path;
    json_t *doc = NULL;

    assert_int_equal(path_join(dir, file, &path), RT_OK);
    assert_int_equal(file_read(path, &text), RT_OK);
    assert_int_equal(fmt_jansson_parse(text.data, text.len, path, 1, &doc), RT_OK);
    free(path);
    str_free(&text);
    return doc;
}

// NULL: the template does not parse.
static struct txt_chat *open_template(const char *dir, const char *file)
{
    struct str text = {0};
    struct txt_chat *chat = NULL;
    char *path;

    assert_int_equal(path_join(dir, file, &path), RT_OK);
    assert_int_equal(file_read(path, &text), RT_OK);
    if (txt_chat_open_text(text.data, text.len, path, &chat) != RT_OK)
        assert_null(chat);
    free(path);
    str_free(&text);
    return chat;
}

static bool holds(const struct str *s, const char *part)
{
    return s->data && strstr(s->data, part) != NULL;
}

// Does one case come out as it should? Prints it if not.
static bool case_agrees(const struct txt_chat *chat, const json_t *c, const char *where)
{
    struct str out = {0}, error = {0};
    const json_t *want = json_object_get(c, "rendered"), *fault = json_object_get(c, "error");
    enum rt_err err = RT_E_FORMAT;
    bool ok;

    if (chat)
        err = txt_chat_render(
            chat,
            &(struct txt_chat_args){.messages = json_object_get(c, "messages"),
                                    .tools = json_object_get(c, "tools"),
                                    .documents = json_object_get(c, "documents"),
                                    .kwargs = json_object_get(c, "kwargs"),
                                    .add_generation_prompt =
                                        json_is_true(json_object_get(c, "add_generation_prompt")),
                                    .continue_final_message =
                                        json_is_true(json_object_get(c, "continue_final_message")),
                                    .now = NOW},
            &out, &error);
    if (want)
        ok = err == RT_OK && out.len == json_string_length(want) &&
             (out.len == 0 || memcmp(out.data, json_string_value(want), out.len) == 0);
    else
        ok = err != RT_OK && out.len == 0 &&
             (!json_is_true(json_object_get(fault, "raised_by_template")) ||
              holds(&error, json_string_value(json_object_get(fault, "message"))));
    if (!ok)
        print_error("%s, %s: wanted %s, got %s\n", where,
                    json_string_value(json_object_get(c, "name")),
                    want ? json_string_value(want) : "an error",
                    out.data     ? out.data
                    : error.data ? error.data
                                 : "nothing");
    str_free(&out);
    str_free(&error);
    return ok;
}

static void run_cases(const char *dir)
{
    json_t *cases = read_json(dir, "cases.json"), *c;
    struct txt_chat *chat = NULL;
    const char *open = "";
    size_t i, bad = 0;

    assert_true(json_array_size(cases) > 200);
    json_array_foreach(cases, i, c)
    {
        const char *name = json_string_value(json_object_get(c, "template"));
        if (strcmp(name, open) != 0) {
            txt_chat_close(&chat);
            chat = open_template(dir, name);
            open = name;
        }
        bad += !case_agrees(chat, c, name);
    }
    print_message("%s: %zu of %zu cases agree\n", dir, json_array_size(cases) - bad,
                  json_array_size(cases));
    assert_int_equal(bad, 0);
    txt_chat_close(&chat);
    json_decref(cases);
}

static void repository(void **state)
{
    const char *source = os_env("ANYDPO_SOURCE");
    char *dir;

    (void) state;
    assert_int_equal(path_join(source ? source : ".", "tests/golden/templates", &dir), RT_OK);
    run_cases(dir);
    free(dir);
}

// The folder of goldens, or NULL, said once.
static char *goldens(const char *sub)
{
    const char *root = os_env("ANYDPO_GOLDENS");
    char *dir = NULL;

    if (root)
        assert_int_equal(path_join(root, sub, &dir), RT_OK);
    if (dir && dir_exists(dir))
        return dir;
    print_message("ANYDPO_GOLDENS has no %s: skipped\n", sub);
    free(dir);
    return NULL;
}

static void whole_set(void **state)
{
    char *dir = goldens("templates");
    (void) state;
    if (dir)
        run_cases(dir);
    free(dir);
}

static void check_folder(const char *root, const json_t *folder)
{
    const char *name = json_string_value(json_object_get(folder, "folder"));
    static const char *const TOKENS[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};
    struct txt_chat *chat;
    json_t *c;
    size_t i;
    char *dir;

    assert_int_equal(path_join(root, name, &dir), RT_OK);
    assert_int_equal(txt_chat_open(dir, &chat), RT_OK);
    assert_true(txt_chat_has_template(chat) == (strcmp(name, "no_template") != 0));
    for (i = 0; i < COUNT_OF(TOKENS); i++) {
        const json_t *want = json_object_get(json_object_get(folder, "special_tokens"), TOKENS[i]);
        const char *got = txt_chat_token(chat, TOKENS[i], NULL);
        if (!want)
            assert_null(got);
        else
            assert_string_equal(got, json_string_value(want));
    }
    json_array_foreach(json_object_get(folder, "cases"), i, c)
        assert_true(case_agrees(chat, c, name));
    txt_chat_close(&chat);
    free(dir);
}

static void folders(void **state)
{
    char *dir = goldens("templates/folders");
    json_t *list, *folder;
    size_t i;

    (void) state;
    if (!dir)
        return;
    list = read_json(dir, "cases.json");
    json_array_foreach(list, i, folder) check_folder(dir, folder);
    assert_true(json_array_size(list) >= 10);
    json_decref(list);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repository),
        cmocka_unit_test(whole_set),
        cmocka_unit_test(folders),
    };
    log_set_sink(silent, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
