// A made-up Hugging Face cache: which folder a name leads to, and what is said where none does.
#include "src/format/hub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/log.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER "89abcdef0123456789abcdef0123456789abcdef"

static char g_said[4096];

static void listen(void *user, enum log_level level, const char *line)
{
    (void) user;
    if (level == LOG_ERROR)
        strncat(g_said, line, sizeof(g_said) - strlen(g_said) - 1);
}

static void put(const char *path, const char *text)
{
    assert_int_equal(file_write(path, text, strlen(text)), RT_OK);
}

static void names(void **state)
{
    static const char *const GOOD[] = {"gpt2", "org/name", "HuggingFaceTB/SmolLM2-135M_x.y"};
    static const char *const BAD[] = {"",          "/abs/path", "a/b/c", "./a",  "../a",
                                      "a/..",      "a/.b",      "a/",    "~/x",  "a b/c",
                                      "a/b.jsonl", "b.gguf",    "a/b\n", "a//b", "x/y.json"};
    (void) state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++)
        if (!fmt_hub_is_name(GOOD[i]))
            fail_msg("%s is no name", GOOD[i]);
    for (size_t i = 0; i < COUNT_OF(BAD); i++)
        if (fmt_hub_is_name(BAD[i]))
            fail_msg("%s is a name", BAD[i]);
}

// Each variable beats those after it, as in huggingface_hub.
static void places(void **state)
{
    static const char *const ORDER[][3] = {
        {"HOME", "home", "home/.cache/huggingface/hub"},
        {"XDG_CACHE_HOME", "xdg", "xdg/huggingface/hub"},
        {"HF_HOME", "hf", "hf/hub"},
        {"HUGGINGFACE_HUB_CACHE", "old", "old"},
        {"HF_HUB_CACHE", "cache", "cache"},
    };
    char *at;
    (void) state;
    for (size_t i = COUNT_OF(ORDER); i-- > 0;)
        assert_int_equal(os_env_set(ORDER[i][0], ""), RT_OK);
    g_said[0] = 0;
    assert_int_equal(fmt_hub_cache(&at), RT_E_NOT_FOUND);
    assert_null(at);
    for (size_t i = 0; i < COUNT_OF(ORDER); i++) {
        assert_int_equal(os_env_set(ORDER[i][0], ORDER[i][1]), RT_OK);
        assert_int_equal(fmt_hub_cache(&at), RT_OK);
        assert_string_equal(at, ORDER[i][2]);
        free(at);
    }
}

static const struct {
    enum fmt_hub_kind kind;
    const char *name, *revision, *leads_to; // below the cache; NULL: nowhere
} FINDS[] = {
    {FMT_HUB_MODEL, "org/model", "main", "models--org--model/snapshots/" COMMIT},
    {FMT_HUB_MODEL, "org/model", "v2", "models--org--model/snapshots/" OTHER},
    {FMT_HUB_MODEL, "org/model", "refs/pr/1", NULL},
    {FMT_HUB_MODEL, "org/model", "pr/1", "models--org--model/snapshots/" OTHER},
    {FMT_HUB_MODEL, "org/model", COMMIT, "models--org--model/snapshots/" COMMIT},
    {FMT_HUB_MODEL, "org/model", "v3", NULL},
    {FMT_HUB_MODEL, "org/model", "..", NULL},
    {FMT_HUB_MODEL, "org/model", "x/../../../secret", NULL},
    {FMT_HUB_MODEL, "org/gone", "main", NULL}, // a ref whose snapshot was deleted
    {FMT_HUB_MODEL, "model", "main", "models--model/snapshots/" COMMIT},
    {FMT_HUB_DATASET, "org/rows", "main", "datasets--org--rows/snapshots/" COMMIT},
    {FMT_HUB_DATASET, "org/model", "main", NULL},
    {FMT_HUB_MODEL, "org/rows", "main", NULL},
};

static void snapshots(void **state)
{
    static const char *const FOLDERS[] = {"hub/models--org--model/refs/pr",
                                          "hub/models--org--model/snapshots/" COMMIT,
                                          "hub/models--org--model/snapshots/" OTHER,
                                          "hub/models--org--gone/refs",
                                          "hub/models--model/refs",
                                          "hub/models--model/snapshots/" COMMIT,
                                          "hub/datasets--org--rows/refs",
                                          "hub/datasets--org--rows/snapshots/" COMMIT,
                                          "hub/models--org--bad/refs",
                                          "hub/secret",
                                          "hub/models--org--model/snapshots/x"};
    char want[300], *at;
    (void) state;
    for (size_t i = 0; i < COUNT_OF(FOLDERS); i++)
        assert_int_equal(dir_make(FOLDERS[i]), RT_OK);
    put("hub/models--org--model/refs/main", COMMIT "\n");
    put("hub/models--org--model/refs/v2", OTHER);
    put("hub/models--org--model/refs/pr/1", OTHER);
    put("hub/models--org--gone/refs/main", OTHER);
    put("hub/models--model/refs/main", COMMIT);
    put("hub/datasets--org--rows/refs/main", COMMIT);
    put("hub/models--org--bad/refs/main", "../../secret");
    for (size_t i = 0; i < COUNT_OF(FINDS); i++) {
        assert_int_equal(
            fmt_hub_snapshot("hub", FINDS[i].kind, FINDS[i].name, FINDS[i].revision, &at), RT_OK);
        snprintf(want, sizeof(want), "hub/%s", FINDS[i].leads_to ? FINDS[i].leads_to : "");
        if (FINDS[i].leads_to ? !at || strcmp(at, want) != 0 : at != NULL)
            fail_msg("%s at %s leads to %s, expected %s", FINDS[i].name, FINDS[i].revision,
                     at ? at : "nothing", FINDS[i].leads_to ? want : "nothing");
        free(at);
    }
    assert_int_equal(fmt_hub_snapshot("hub", FMT_HUB_MODEL, "org/bad", "main", &at), RT_E_FORMAT);
    assert_null(at);
}

static void finds(void **state)
{
    char *at;
    (void) state;
    assert_int_equal(os_env_set("HF_HUB_CACHE", "hub"), RT_OK);
    assert_int_equal(fmt_hub_find(FMT_HUB_MODEL, "org/model", "main", &at), RT_OK);
    assert_string_equal(at, "hub/models--org--model/snapshots/" COMMIT);
    free(at);
    assert_int_equal(dir_make("org/model"), RT_OK); // a folder here beats the cache
    assert_int_equal(fmt_hub_find(FMT_HUB_MODEL, "org/model", "main", &at), RT_OK);
    assert_null(at);
    assert_int_equal(dir_remove("org"), RT_OK);
    assert_int_equal(fmt_hub_find(FMT_HUB_MODEL, "nowhere", "main", &at), RT_OK);
    assert_null(at);
    g_said[0] = 0;
    assert_int_equal(fmt_hub_find(FMT_HUB_DATASET, "org/none", "v9", &at), RT_E_NOT_FOUND);
    assert_null(at);
    assert_non_null(strstr(g_said, "org/none: no such file or folder"));
    assert_non_null(strstr(g_said, "cache hub;"));
    assert_non_null(strstr(g_said, "huggingface-cli download --repo-type dataset org/none "
                                   "--revision v9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(places),
                                       cmocka_unit_test(snapshots), cmocka_unit_test(finds)};
    log_set_sink(listen, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
