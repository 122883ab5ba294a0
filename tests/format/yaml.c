// YAML as PyYAML 6.0.1's safe_load reads it, and what is refused.
#include "tests/format/util.h"

#include <math.h>

#include "src/format/json.h"
#include "src/format/yaml.h"

static enum rt_err parse(const char *text, cJSON **out)
{
    return fmt_yaml_parse(text, strlen(text), "f.yaml", out);
}

// Left YAML, right the same as JSON in one line (json.dumps of what PyYAML gives, 1.0 as 1).
static void accepted(void **state)
{
    static const struct {
        const char *yaml, *json;
    } ROWS[] = {
        {"", "null"},
        {"# nothing\n", "null"},
        {"[~, null, Null, NULL, '', \"~\", nUll]",
         "[null, null, null, null, \"\", \"~\", \"nUll\"]"},
        {"[yes, No, TRUE, false, On, OFF, y, tRue, 'yes']",
         "[true, false, true, false, true, false, \"y\", \"tRue\", \"yes\"]"},
        {"[0, -7, +7, 010, 0x1F, 0b101, 1_000, 1:30, -1:30, 08, 0o10, 1_, 0_, 0x, -0]",
         "[0, -7, 7, 8, 31, 5, 1000, 90, -90, \"08\", \"0o10\", 1, 0, \"0x\", 0]"},
        {"[1.5, -1.5, .5, 1., 1.0e-5, 1.5E+3, 1_0.5, 1:30.5, .inf, -.INF, .nan]",
         "[1.5, -1.5, 0.5, 1, 1e-05, 1500, 10.5, 90.5, Infinity, -Infinity, NaN]"},
        {"[5e-7, 1e5, 1.0e5, -.5, 1.5e, 1:70, 1.2.3, 1e, .e5, ., -, _1]",
         "[\"5e-7\", \"1e5\", \"1.0e5\", \"-.5\", \"1.5e\", \"1:70\", \"1.2.3\", \"1e\", \".e5\", "
         "\".\", \"-\", \"_1\"]"},
        {"[9007199254740991, 9007199254740992, 2024-01-01]",
         "[9007199254740991, \"9007199254740992\", \"2024-01-01\"]"},
        {"a: 1\nb:\n  - x\n  - {c: [2]}\nd: |\n  two\n  lines\n",
         "{\"a\": 1, \"b\": [\"x\", {\"c\": [2]}], \"d\": \"two\\nlines\\n\"}"},
        {"on: 1\n2: x\n~: y\n", "{\"on\": 1, \"2\": \"x\", \"~\": \"y\"}"},
        {"a: &x {k: 1}\nb: *x\nc: [*x, *x]\n",
         "{\"a\": {\"k\": 1}, \"b\": {\"k\": 1}, \"c\": [{\"k\": 1}, {\"k\": 1}]}"},
        {"b: &b {k: 1, m: 2}\nc: {m: 3, <<: *b}\nd: {<<: [*b, {z: 9, k: 7}]}\ne: {'<<': 1}\n",
         "{\"b\": {\"k\": 1, \"m\": 2}, \"c\": {\"m\": 3, \"k\": 1}, "
         "\"d\": {\"k\": 1, \"m\": 2, \"z\": 9}, \"e\": {\"<<\": 1}}"},
        {"a: {<<: &x {k: &y [1]}}\nb: *x\nc: *y\n", // an anchor inside a merged value outlives it
         "{\"a\": {\"k\": [1]}, \"b\": {\"k\": [1]}, \"c\": [1]}"},
        {"[!!str 5, !!float 5e-7, !!float 3, !!int 3, !!null ~, !!bool on, ! 5, !!seq [], !!map "
         "{}]",
         "[\"5\", 5e-07, 3, 3, null, true, \"5\", [], {}]"},
        {"--- {a: \"\\u00e9\\x41\"}\n...\n", "{\"a\": \"\\u00e9A\"}"},
    };
    struct str s = {0};
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct fmt_jw w = {.out = &s, .ascii = true};
        cJSON *tree;
        U_OK(parse(ROWS[i].yaml, &tree));
        str_clear(&s);
        fmt_jw_cjson(&w, tree);
        U_OK(fmt_jw_done(&w));
        assert_string_equal(s.data, ROWS[i].json);
        cJSON_Delete(tree);
    }
    str_free(&s);
}

static void refused(void **state)
{
    static const struct {
        const char *text, *word;
    } ROWS[] = {
        {"a: 1\nb: [1,\n", "f.yaml:3:1: "},
        {"a: 1\n\tb: 2\n", "f.yaml:2:1: "},
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: a key is given twice: a"},
        {"a: {<<: {}, <<: {}}", "a key is given twice: <<"},
        {"[a]: 1", "f.yaml:1:1: a key must be"},
        {"b: &x 1\n*x : 1", "f.yaml:2:1: a key must be"},
        {"&x a: 1", "f.yaml:1:1: a key cannot have an anchor"},
        {"a: *x", "f.yaml:1:4: unknown alias x"},
        {"a: &x 1\nb: &x 2\n", "f.yaml:2:4: an anchor is given twice: x"},
        {"a: &x [*x]", "f.yaml:1:8: an alias inside its own anchor: x"},
        {"a: {<<: 1}", "f.yaml:1:4: << expects"},
        {"a: {<<: [1]}", "f.yaml:1:4: << expects"},
        {"a: !!python/object:os.system x", "f.yaml:1:4: a tag that is unknown"},
        {"a: !!int x", "f.yaml:1:4: a tag that is unknown or does not fit"},
        {"a: !!float x", "f.yaml:1:4: not a number: x"},
        {"a: !!set {x}", "f.yaml:1:4: a tag that is unknown"},
        {"a: 1\n---\nb: 2\n", "f.yaml:2:1: expected one document"},
        {"a: \"\\0\"", "f.yaml:1:4: a scalar holds U+0000"},
        {"\"\\0\": 1", "f.yaml:1:1: a scalar holds U+0000"},
        {"a: \"\xff\"", "f.yaml:1:"},
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        cJSON *tree = (cJSON *) &ROWS; // must be cleared
        U_FAILS(RT_E_FORMAT, ROWS[i].word, parse(ROWS[i].text, &tree));
        assert_null(tree);
    }
}

// A billion laughs: each level repeats the one below ten times.
static void bounded(void **state)
{
    struct str s = {0};
    cJSON *tree;
    (void) state;
    U_OK(str_puts(&s, "a0: &a0 [x]\n"));
    for (int i = 1; i <= 9; i++) {
        U_OK(str_printf(&s, "a%d: &a%d [", i, i));
        for (int k = 0; k < 10; k++)
            U_OK(str_printf(&s, "%s*a%d", k ? ", " : "", i - 1));
        U_OK(str_puts(&s, "]\n"));
    }
    U_FAILS(RT_E_FORMAT, "f.yaml:5:", parse(s.data, &tree));

    str_clear(&s);
    for (unsigned i = 0; i <= FMT_YAML_DEPTH; i++)
        U_OK(str_putc(&s, '['));
    for (unsigned i = 0; i <= FMT_YAML_DEPTH; i++)
        U_OK(str_putc(&s, ']'));
    U_FAILS(RT_E_FORMAT, "f.yaml:1:65: nested deeper", parse(s.data, &tree));

    str_clear(&s);
    for (unsigned i = 0; i <= FMT_YAML_ANCHORS; i++)
        U_OK(str_printf(&s, "k%u: &k%u 1\n", i, i));
    U_FAILS(RT_E_FORMAT, "f.yaml:65:6: more than 64 anchors", parse(s.data, &tree));

    str_clear(&s);
    U_OK(str_reserve(&s, FMT_YAML_BYTES + 1));
    memset(s.data, '#', FMT_YAML_BYTES + 1);
    U_FAILS(RT_E_FORMAT, "at most 1 MiB",
            fmt_yaml_parse(s.data, FMT_YAML_BYTES + 1, "f.yaml", &tree));
    str_free(&s);
}

static void recipes(void **state)
{
    char *dir = u_dir(), *yaml = u_in(dir, "r.yaml"), *json = u_in(dir, "r.json");
    cJSON *tree;
    double lr;
    (void) state;

    U_FAILS(RT_E_NOT_FOUND, "r.yaml", fmt_recipe_read(yaml, &tree));
    U_OK(file_write(yaml, "learning_rate: 5e-7\n", 20));
    U_OK(fmt_recipe_read(yaml, &tree));
    assert_true(fmt_json_to_num(cJSON_GetObjectItem(tree, "learning_rate"), &lr) && lr == 5e-7);
    cJSON_Delete(tree);
    U_OK(file_write(json, "{\"beta\": 0.1}", 13));
    U_OK(fmt_recipe_read(json, &tree));
    cJSON_Delete(tree);
    U_OK(file_write(json, "beta: 0.1", 9)); // YAML under the name of JSON
    U_FAILS(RT_E_USAGE, "r.json:1:1: not valid JSON", fmt_recipe_read(json, &tree));
    U_OK(file_write(yaml, "- a\n", 4));
    U_FAILS(RT_E_USAGE, "expected a mapping", fmt_recipe_read(yaml, &tree));
    U_OK(file_write(yaml, "", 0));
    U_FAILS(RT_E_USAGE, "expected a mapping", fmt_recipe_read(yaml, &tree));
    assert_null(tree);
    free(yaml);
    free(json);
    u_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(accepted), cmocka_unit_test(refused),
                                       cmocka_unit_test(bounded), cmocka_unit_test(recipes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
