// `anydpo inspect`: its rows are TRL's tokens; counts, truncation and bad row numbers.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "tests/t.h"

static const char *source(void)
{
    const char *s = os_env("ANYDPO_SOURCE");
    return s ? s : ".";
}

// Run `anydpo inspect` on a case of tests/golden/runs; stdout to *out, stderr to *said.
static int inspect(const char *run, const char *model, const char *args, struct str *out,
                   struct str *said)
{
    const char *program = os_env("ANYDPO_PROGRAM");
    struct str command = {0};

    T_OK(str_printf(&command,
                    "'%s' inspect --model_name_or_path '%s/tests/golden/models/%s' --dataset_name "
                    "'%s/tests/golden/runs/%s/train.jsonl' %s >inspect.out 2>inspect.err",
                    program ? program : "./anydpo", source(), model, source(), run, args));
    const int status = system(command.data);
    str_clear(out);
    str_clear(said);
    T_OK(file_read("inspect.out", out));
    T_OK(file_read("inspect.err", said));
    str_free(&command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static json_t *parse(const struct str *text)
{
    json_t *v;
    T_OK(fmt_jansson_parse(text->data, text->len, "inspect.out", 1, &v));
    return v;
}

static json_int_t number(const json_t *v, const char *a, const char *b)
{
    v = json_object_get(v, a);
    return json_integer_value(b ? json_object_get(v, b) : v);
}

// Every row of the run against the tokens that TRL recorded.
static void same_as_trl(const char *run, const char *model)
{
    static const char *const PARTS[][2] = {
        {"prompt", "prompt_ids"}, {"chosen", "chosen_ids"}, {"rejected", "rejected_ids"}};
    struct str text = {0}, out = {0}, said = {0};
    char path[1024], args[64];
    json_t *doc, *row;
    size_t i;

    snprintf(path, sizeof(path), "%s/tests/golden/runs/%s/tokens.json", source(), run);
    T_OK(file_read(path, &text));
    T_OK(fmt_jansson_parse(text.data, text.len, path, 1, &doc));
    json_array_foreach(json_object_get(json_object_get(doc, "train"), "rows"), i, row)
    {
        snprintf(args, sizeof(args), "--json --row %lld",
                 (long long) json_integer_value(json_object_get(row, "row")));
        assert_int_equal(inspect(run, model, args, &out, &said), 0);
        json_t *got = parse(&out);
        for (size_t k = 0; k < COUNT_OF(PARTS); k++)
            if (!json_equal(json_object_get(row, PARTS[k][1]),
                            json_object_get(json_object_get(got, PARTS[k][0]), "ids")))
                fail_msg("%s row %zu: %s differs: %s", run, i, PARTS[k][0], out.data);
        json_decref(got);
    }
    assert_true(i > 0);
    json_decref(doc);
    str_free(&text);
    str_free(&out);
    str_free(&said);
}

static void rows(void **state)
{
    (void) state;
    same_as_trl("boundary_merge", "llama");
    same_as_trl("conv_implicit", "llama");
    same_as_trl("family_llama3", "llama3");
}

// Row 1 of boundary_merge has 13 + 33 and 13 + 30 tokens.
static void truncation(void **state)
{
    struct str out = {0}, said = {0};
    json_t *v;

    (void) state;
    assert_int_equal(
        inspect("boundary_merge", "llama", "--json --row=1 --max_length 44", &out, &said), 0);
    v = parse(&out);
    assert_int_equal(number(v, "chosen", "kept"), 31);
    assert_int_equal(number(v, "chosen", "trained"), 31);
    assert_int_equal(number(v, "rejected", "kept"), 30);
    json_decref(v);
    assert_int_equal(inspect("boundary_merge", "llama",
                             "--json --row 1 --max_length 20 --truncation_mode keep_end", &out,
                             &said),
                     0);
    v = parse(&out); // the first kept token of a completion without prompt has no log-prob
    assert_int_equal(number(v, "prompt", "kept"), 0);
    assert_int_equal(number(v, "chosen", "skip"), 13);
    assert_int_equal(number(v, "chosen", "kept"), 20);
    assert_int_equal(number(v, "chosen", "trained"), 19);
    json_decref(v);
    assert_int_equal(inspect("boundary_merge", "llama", "--row 1 --max_length 13", &out, &said), 1);
    assert_non_null(strstr(said.data, "row 1 is dropped"));
    assert_int_equal(inspect("boundary_merge", "llama", "--row 27", &out, &said), 1);
    assert_non_null(strstr(said.data, "0 .. 26"));
    assert_int_equal(inspect("boundary_merge", "llama", "--row x", &out, &said), 2);
    assert_int_equal(inspect("boundary_merge", "llama", "--row 1 --summary", &out, &said), 2);
    str_free(&out);
    str_free(&said);
}

static void summary(void **state)
{
    struct str out = {0}, said = {0};
    json_t *v;

    (void) state;
    assert_int_equal(
        inspect("boundary_merge", "llama", "--summary --json --max_length 15", &out, &said), 0);
    v = parse(&out);
    assert_int_equal(number(v, "rows", NULL), 27);
    assert_int_equal(number(v, "kept", NULL) + number(v, "dropped", NULL), 27);
    assert_true(number(v, "dropped", NULL) > 0);
    assert_int_equal(number(v, "truncated", NULL), number(v, "kept", NULL));
    assert_int_equal(number(v, "boundary_cut", NULL), 7);
    json_decref(v);
    assert_int_equal(inspect("boundary_merge", "llama", "--summary", &out, &said), 0);
    assert_non_null(strstr(out.data, "the prompt is cut: 7 (rows 0, 3, 6, 9, 12, 18, 21)"));
    assert_non_null(strstr(out.data, "chosen tokens: min 14, median 40"));
    assert_int_equal(inspect("boundary_merge", "llama", "", &out, &said), 0);
    assert_non_null(strstr(out.data, "row 2\n"));
    assert_null(strstr(out.data, "row 3\n"));
    str_free(&out);
    str_free(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),
        cmocka_unit_test(truncation),
        cmocka_unit_test(summary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
