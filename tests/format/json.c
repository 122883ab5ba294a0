// JSON: what is accepted and refused, typed members, number printing, escaping, layout.
#include "tests/format/util.h"

#include <float.h>
#include <math.h>

#include "src/base/rng.h"
#include "src/format/json.h"

static enum rt_err parse(const char *text, cJSON **out)
{
    return fmt_json_parse(text, strlen(text), "f.json", out);
}

static enum rt_err parse_row(const char *text, size_t line, json_t **out)
{
    return fmt_jansson_parse(text, strlen(text), "d.jsonl", line, out);
}

static void refused(void **state)
{
    static const struct {
        const char *text, *word;
    } ROWS[] = {
        {"", "f.json:1:1: not valid JSON"},
        {"{\n  \"a\": 1,\n  \"b\" 2\n}", "f.json:3:7: not valid JSON"},
        {"{\"a\": 1} x", "f.json:1:10: text behind"},
        {"{\"a\": 1, \"b\": 2, \"a\": 3}", "key \"a\" is given twice"},
        {"[{\"x\": {\"k\": 1, \"k\": 1}}]", "key \"k\" is given twice"},
        {"{\"a\": \"x\\u0000y\"}", "f.json:1:9: a string holds U+0000"},
        {"{\"a\": \"x\ty\"}", "f.json:1:9: control character"},
        {"{\"a\": \"\xff\"}", "f.json:1:8: expected UTF-8"},
        {"{\"a\": \"\xc0\x80\"}", "expected UTF-8"},
        {"{\"a\": \"\xe0\x9f\xbf\"}", "expected UTF-8"},
        {"{\"a\": \"\xf0\x8f\xbf\xbf\"}", "expected UTF-8"},
        {"{\"a\": \"\xed\xa0\x80\"}", "expected UTF-8"},
        {"{\"a\": \"\xf4\x90\x80\x80\"}", "expected UTF-8"},
        {"{\"a\": \"\xe2\x82\"}", "expected UTF-8"},
        {"{\"a\": \"x", "f.json:1:7: a string has no end"},
        {"{\"a\": \"x\\", "a string has no end"},
        {"[1, 2", "not valid JSON"},
        {"[1 2]", "not valid JSON"},
        {"[tru]", "not valid JSON"},
        {"{NaN: 1}", "not a string"},
        {"[NaNs]", "not valid JSON"},
        {"[\"\\ud800\"]", "not valid JSON"},
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        cJSON *tree = (cJSON *) &ROWS; // must be cleared
        U_FAILS(RT_E_FORMAT, ROWS[i].word, parse(ROWS[i].text, &tree));
        assert_null(tree);
    }
}

// One level below the limit parses, one above does not; the same for jansson.
static void deep(void **state)
{
    char text[2 * (FMT_JSON_DEPTH + 1) + 1];
    (void) state;
    for (size_t depth = FMT_JSON_DEPTH; depth <= FMT_JSON_DEPTH + 1; depth++) {
        cJSON *tree;
        json_t *row;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = 0;
        if (depth == FMT_JSON_DEPTH) {
            U_OK(parse(text, &tree));
            U_OK(fmt_jansson_parse(text, 2 * depth, "r", 1, &row));
            cJSON_Delete(tree);
            json_decref(row);
        } else {
            U_FAILS(RT_E_FORMAT, "f.json:1:129: nested deeper", parse(text, &tree));
            U_FAILS(RT_E_FORMAT, "r:9:129: nested deeper",
                    fmt_jansson_parse(text, 2 * depth, "r", 9, &row));
        }
    }
}

static void constants(void **state)
{
    cJSON *tree;
    (void) state;
    U_OK(parse("{\"a\": [NaN, Infinity, -Infinity, -1], \"b\": \"NaN Infinity\"}", &tree));
    const cJSON *a = cJSON_GetObjectItem(tree, "a");
    assert_true(isnan(cJSON_GetArrayItem(a, 0)->valuedouble));
    assert_true(cJSON_GetArrayItem(a, 1)->valuedouble == (double) INFINITY);
    assert_true(cJSON_GetArrayItem(a, 2)->valuedouble == -(double) INFINITY);
    assert_true(cJSON_GetArrayItem(a, 3)->valuedouble == -1.0);
    assert_string_equal(cJSON_GetObjectItem(tree, "b")->valuestring, "NaN Infinity");
    cJSON_Delete(tree);
}

static void wrong_types(const struct fmt_json *j)
{
    double n;
    int64_t i;
    uint32_t u;
    bool b;
    const char *s;
    const cJSON *l;
    struct fmt_json o;
    U_FAILS(RT_E_NOT_FOUND, "c.json: key \"none\" is missing", fmt_json_num(j, "none", &n));
    U_FAILS(RT_E_FORMAT, "c.json: key \"s\": expected a number, found a string",
            fmt_json_num(j, "s", &n));
    U_FAILS(RT_E_FORMAT, "key \"s\"", fmt_json_num_or(j, "s", 1.0, &n));
    U_FAILS(RT_E_FORMAT, "key \"z\": expected a number, found null", fmt_json_num(j, "z", &n));
    U_FAILS(RT_E_FORMAT, "expected an integer, found 1.5", fmt_json_int(j, "n", &i));
    U_FAILS(RT_E_FORMAT, "found 9007199254740992", fmt_json_int(j, "big", &i));
    U_FAILS(RT_E_FORMAT, "key \"i\"", fmt_json_u32(j, "i", &u));
    U_FAILS(RT_E_FORMAT, "key \"n\": expected true or false", fmt_json_bool(j, "n", &b));
    U_FAILS(RT_E_FORMAT, "expected a string, found a boolean", fmt_json_str(j, "t", &s));
    U_FAILS(RT_E_FORMAT, "expected an object, found an array", fmt_json_object(j, "l", &o));
    U_FAILS(RT_E_FORMAT, "expected an array, found an object", fmt_json_array(j, "o", &l));
}

static void members(void **state)
{
    static const char TEXT[] =
        "{\"n\": 1.5, \"i\": -7, \"u\": 4294967295, \"big\": 9007199254740992, \"t\": true,"
        " \"s\": \"x\", \"z\": null, \"o\": {\"k\": 1}, \"l\": [1], \"e\": \"5e-7\"}";
    cJSON *tree;
    double n;
    int64_t i;
    uint32_t u;
    bool b;
    const char *s;
    const cJSON *l;
    struct fmt_json o;
    (void) state;

    U_OK(parse(TEXT, &tree));
    const struct fmt_json j = {tree, "c.json"};
    U_OK(fmt_json_num(&j, "n", &n));
    assert_true(n == 1.5);
    U_OK(fmt_json_num_or(&j, "z", 4.0, &n));
    assert_true(n == 4.0);
    U_OK(fmt_json_int(&j, "i", &i));
    assert_int_equal(i, -7);
    U_OK(fmt_json_u32(&j, "u", &u));
    assert_int_equal(u, UINT32_MAX);
    U_OK(fmt_json_u32_or(&j, "none", 3, &u));
    assert_int_equal(u, 3);
    U_OK(fmt_json_bool(&j, "t", &b));
    assert_true(b);
    U_OK(fmt_json_str(&j, "s", &s));
    assert_string_equal(s, "x");
    U_OK(fmt_json_str_or(&j, "z", "d", &s));
    assert_string_equal(s, "d");
    U_OK(fmt_json_object(&j, "o", &o));
    U_OK(fmt_json_int(&o, "k", &i));
    assert_int_equal(i, 1);
    U_OK(fmt_json_object_or_null(&j, "none", &o));
    assert_null(o.node);
    U_OK(fmt_json_array(&j, "l", &l));
    assert_int_equal(cJSON_GetArraySize(l), 1);
    assert_null(fmt_json_get(&j, "z"));
    assert_null(fmt_json_get(&j, "N")); // case matters

    wrong_types(&j);
    assert_true(fmt_json_to_num(fmt_json_get(&j, "e"), &n) && n == 5e-7);
    assert_true(fmt_json_to_num(fmt_json_get(&j, "i"), &n) && n == -7.0);
    assert_false(fmt_json_to_num(fmt_json_get(&j, "s"), &n));
    assert_false(fmt_json_to_num(fmt_json_get(&j, "t"), &n));
    cJSON_Delete(tree);
}

// Left: what Python 3's repr() prints.
static void numbers(void **state)
{
    static const struct {
        const char *text;
        double v;
    } ROWS[] = {
        {"0.0", 0.0},
        {"-0.0", -0.0},
        {"1.0", 1.0},
        {"0.1", 0.1},
        {"1e-05", 1e-5},
        {"0.0001", 1e-4},
        {"1e-06", 1e-6},
        {"5e-07", 5e-7},
        {"10000.0", 1e4},
        {"123456.789", 123456.789},
        {"1000000000000000.0", 1e15},
        {"1e+16", 1e16},
        {"1.2345678901234568e+16", 12345678901234567.0},
        {"1e+100", 1e100},
        {"0.6931471805599453", 0.6931471805599453},
        {"0.30000000000000004", 0.1 + 0.2},
        {"5e-324", 4.9406564584124654e-324},
        {"1.7976931348623157e+308", DBL_MAX},
        {"NaN", (double) NAN},
        {"Infinity", (double) INFINITY},
        {"-Infinity", -(double) INFINITY},
    };
    char buf[32];
    struct rng r;
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        assert_string_equal(fmt_num_print(buf, ROWS[i].v, true), ROWS[i].text);
    assert_string_equal(fmt_num_print(buf, 3.0, false), "3");
    assert_string_equal(fmt_num_print(buf, -40000.0, false), "-40000");
    rng_seed(&r, 7);
    for (int i = 0; i < 20000; i++) { // any bits read back equal
        const uint64_t bits = (uint64_t) rng_u32(&r) << 32 | rng_u32(&r);
        double v;
        memcpy(&v, &bits, sizeof(v));
        if (isfinite(v))
            assert_true(strtod(fmt_num_print(buf, v, i & 1), NULL) == v);
    }
}

static void escapes(void **state)
{
    static const char IN[] = "a\"\\/\b\f\n\r\t\x01\x7f\xc3\xa9\xf0\x9f\x98\x80\xff\0z";
    struct str s = {0};
    (void) state;
    U_OK(fmt_json_escape(&s, IN, sizeof(IN) - 1, false));
    assert_string_equal(s.data, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\xc3\xa9\xf0\x9f\x98\x80"
                                "\xef\xbf\xbd\\u0000z\"");
    str_clear(&s);
    U_OK(fmt_json_escape(&s, IN, sizeof(IN) - 1, true));
    assert_string_equal(s.data, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f\\u00e9\\ud83d\\ude00"
                                "\\ufffd\\u0000z\"");
    str_free(&s);
}

// Layouts as Python's json.dumps(x, indent=2) and json.dumps(x) give them.
static void layout(void **state)
{
    static const char TEXT[] = "{\"a\": [1, 2.5, [], {}], \"b\": {\"c\": null, \"d\": true}}";
    static const char WANT[] =
        "{\n  \"a\": [\n    1,\n    2.5,\n    [],\n    {}\n  ],\n  \"b\": {\n"
        "    \"c\": null,\n    \"d\": true\n  }\n}";
    struct str s = {0};
    json_t *row;
    cJSON *tree;
    (void) state;

    U_OK(parse(TEXT, &tree));
    struct fmt_jw w = {.out = &s, .indent = 2};
    fmt_jw_cjson(&w, tree);
    U_OK(fmt_jw_done(&w));
    assert_string_equal(s.data, WANT);
    cJSON_Delete(tree);

    str_clear(&s);
    w = (struct fmt_jw){.out = &s};
    U_OK(parse_row("{\"z\":1,\"a\":[1.0,\"x\\u0000y\",1e-5]}", 1, &row));
    fmt_jw_jansson(&w, row);
    U_OK(fmt_jw_done(&w));
    assert_string_equal(s.data, "{\"z\": 1, \"a\": [1.0, \"x\\u0000y\", 1e-05]}");
    json_decref(row);
    str_free(&s);
}

static void misuse(void **state)
{
    struct str s = {0};
    (void) state;
    for (int i = 0; i < 7; i++) {
        struct fmt_jw w = {.out = &s};
        struct u_log log;
        u_listen(&log);
        if (i == 0)
            fmt_jw_end(&w);
        if (i >= 1 && i <= 3)
            fmt_jw_object(&w);
        if (i == 1)
            fmt_jw_int(&w, 1); // no key
        if (i == 2)
            fmt_jw_key(&w, "k"); // no value
        if (i == 4) {
            fmt_jw_int(&w, 1);
            fmt_jw_int(&w, 2); // two values
        }
        for (unsigned d = 0; i == 5 && d <= FMT_JSON_DEPTH; d++)
            fmt_jw_array(&w);
        assert_int_equal(fmt_jw_done(&w), RT_E_ARG); // 3: not closed, 6: nothing
        u_listen(NULL);
        assert_int_equal(log.n, 1);
    }
    str_free(&s);
}

static void rows(void **state)
{
    json_t *row;
    (void) state;
    U_OK(parse_row("{\"a\": \"x\\u0000y\", \"i\": 1, \"r\": 1.0}", 1, &row));
    assert_int_equal(json_string_length(json_object_get(row, "a")), 3);
    assert_true(json_is_integer(json_object_get(row, "i")));
    assert_true(json_is_real(json_object_get(row, "r")));
    json_decref(row);
    U_OK(parse_row("\"text\"", 1, &row)); // any top-level value
    json_decref(row);
    U_FAILS(RT_E_FORMAT, "d.jsonl:41:", parse_row("{\"a\": }", 41, &row));
    assert_null(row);
    U_FAILS(RT_E_FORMAT, "d.jsonl:43:", parse_row("[\n1,\n]", 41, &row));
    U_FAILS(RT_E_FORMAT, "d.jsonl:1:", parse_row("", 1, &row));
    U_FAILS(RT_E_FORMAT, "d.jsonl:1:", fmt_jansson_parse(NULL, 0, "d.jsonl", 1, &row));
    U_FAILS(RT_E_FORMAT, "d.jsonl:1:", parse_row("{} {}", 1, &row));
    U_FAILS(RT_E_FORMAT, "d.jsonl:1:", parse_row("[1e999]", 1, &row));
    U_FAILS(RT_E_FORMAT, "d.jsonl:1:", parse_row("[NaN]", 1, &row));
}

static void files(void **state)
{
    char *dir = u_dir(), *path = u_in(dir, "c.json");
    cJSON *tree;
    (void) state;
    U_FAILS(RT_E_NOT_FOUND, path, fmt_json_read(path, &tree));
    U_OK(file_write(path, "{\"a\": 1}\n", 9));
    U_OK(fmt_json_read(path, &tree));
    cJSON_Delete(tree);
    U_OK(file_write(path, "", 0));
    U_FAILS(RT_E_FORMAT, path, fmt_json_read(path, &tree));
    free(path);
    u_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused), cmocka_unit_test(deep),    cmocka_unit_test(constants),
        cmocka_unit_test(members), cmocka_unit_test(numbers), cmocka_unit_test(escapes),
        cmocka_unit_test(layout),  cmocka_unit_test(misuse),  cmocka_unit_test(rows),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
