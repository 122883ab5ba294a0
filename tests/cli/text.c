// `anydpo tokenize` and `anydpo chat` through the program: every golden of the tokenizers and the
// templates, those in tests/golden and those of ANYDPO_GOLDENS where it is there; and bad lines.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "tests/t.h"

static json_t *read_json(const char *dir, const char *file)
{
    struct str text = {0};
    json_t *doc = NULL;
    char *path;

    T_OK(path_join(dir, file, &path));
    T_OK(file_read(path, &text));
    T_OK(fmt_jansson_parse(text.data, text.len, path, 1, &doc));
    free(path);
    str_free(&text);
    return doc;
}

// Run the program on `in`; its output becomes the lines of *out (the caller frees the text).
static int run(const char *args, const struct str *in, struct str *out, struct str *said)
{
    const char *program = os_env("ANYDPO_PROGRAM");
    struct str command = {0};

    T_OK(file_write("text.in", in->data ? in->data : "", in->len));
    T_OK(str_printf(&command, "SOURCE_DATE_EPOCH=1751620087 '%s' %s <text.in >text.out 2>text.err",
                    program ? program : "./anydpo", args));
    const int status = system(command.data);
    str_clear(out);
    str_clear(said);
    T_OK(file_read("text.out", out));
    T_OK(file_read("text.err", said));
    str_free(&command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void put_line(struct str *in, const json_t *v)
{
    struct fmt_jw w = {.out = in, .ascii = true};
    fmt_jw_jansson(&w, v);
    T_OK(fmt_jw_done(&w));
    T_OK(str_putc(in, '\n'));
}

// The next line of an output as a value; NULL at its end.
static json_t *next_line(const struct str *out, size_t *at)
{
    json_t *v = NULL;
    if (*at >= out->len)
        return NULL;
    const char *end = memchr(out->data + *at, '\n', out->len - *at);
    assert_non_null(end);
    const size_t n = (size_t) (end - out->data) - *at;
    T_OK(fmt_jansson_parse(out->data + *at, n, "text.out", 1, &v));
    *at += n + 1;
    return v;
}

// ---- tokenize -----------------------------------------------------------------------------------

static const struct {
    const char *in, *want, *flags;
} WAYS[] = {
    {"text", "ids_no_special", "--no_special"},
    {"text", "ids_with_special", ""},
    {"ids_no_special", "decoded", "--decode"},
    {"ids_with_special", "decoded_skip_special", "--decode --skip_special"},
};

static size_t check_way(const char *dir, const json_t *cases, size_t way)
{
    struct str in = {0}, out = {0}, said = {0}, args = {0};
    size_t i, at = 0, bad = 0;
    json_t *c, *got;

    json_array_foreach(cases, i, c) put_line(&in, json_object_get(c, WAYS[way].in));
    T_OK(str_printf(&args, "tokenize --model_name_or_path '%s' %s", dir, WAYS[way].flags));
    if (run(args.data, &in, &out, &said) != 0)
        fail_msg("%s: %s", args.data, said.data);
    json_array_foreach(cases, i, c)
    {
        got = next_line(&out, &at);
        if (!json_equal(got, json_object_get(c, WAYS[way].want)) && bad++ == 0)
            print_error("%s: case %zu: %s differs\n", dir, i, WAYS[way].want);
        json_decref(got);
    }
    bad += at != out.len;
    str_free(&in);
    str_free(&out);
    str_free(&said);
    str_free(&args);
    return bad;
}

// Every folder of `root` that holds cases.json.
static size_t check_tokenizers(const char *root)
{
    size_t n = 0, bad = 0;
    struct dirent *e;
    DIR *d = opendir(root);

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char dir[1024], cases_path[1100], tok_path[1100];
        snprintf(dir, sizeof(dir), "%s/%s", root, e->d_name);
        snprintf(cases_path, sizeof(cases_path), "%s/cases.json", dir);
        snprintf(tok_path, sizeof(tok_path), "%s/tokenizer.json", dir);
        if (!file_exists(cases_path) || !file_exists(tok_path))
            continue;
        json_t *cases = read_json(dir, "cases.json");
        for (size_t way = 0; way < COUNT_OF(WAYS); way++)
            bad += check_way(dir, cases, way);
        json_decref(cases);
        n++;
    }
    closedir(d);
    print_message("%s: %zu tokenizers\n", root, n);
    assert_int_equal(bad, 0);
    return n;
}

// ---- chat ---------------------------------------------------------------------------------------

static bool agrees(const json_t *c, const json_t *got)
{
    const json_t *want = json_object_get(c, "rendered"), *fault = json_object_get(c, "error");
    const char *said = json_string_value(json_object_get(got, "error"));
    if (want)
        return json_equal(want, got);
    return said && (!json_is_true(json_object_get(fault, "raised_by_template")) ||
                    strstr(said, json_string_value(json_object_get(fault, "message"))));
}

// The cases [from, to) of cases.json, which are those of one template.
static size_t check_template(const char *root, const json_t *cases, size_t from, size_t to)
{
    struct str in = {0}, out = {0}, said = {0}, args = {0};
    const char *name = json_string_value(json_object_get(json_array_get(cases, from), "template"));
    size_t at = 0, bad = 0;

    for (size_t i = from; i < to; i++)
        put_line(&in, json_array_get(cases, i));
    T_OK(str_printf(&args, "chat --template '%s/%s'", root, name));
    if (run(args.data, &in, &out, &said) != 0)
        fail_msg("%s: %s", args.data, said.data);
    for (size_t i = from; i < to; i++) {
        const json_t *c = json_array_get(cases, i);
        json_t *got = next_line(&out, &at);
        if (!agrees(c, got) && bad++ == 0)
            print_error("%s: case %s differs\n", name,
                        json_string_value(json_object_get(c, "name")));
        json_decref(got);
    }
    bad += at != out.len;
    str_free(&in);
    str_free(&out);
    str_free(&said);
    str_free(&args);
    return bad;
}

static void check_templates(const char *root)
{
    json_t *cases = read_json(root, "cases.json");
    const size_t n = json_array_size(cases);
    size_t bad = 0, to;

    for (size_t from = 0; from < n; from = to) {
        const json_t *name = json_object_get(json_array_get(cases, from), "template");
        for (to = from;
             to < n && json_equal(name, json_object_get(json_array_get(cases, to), "template"));)
            to++;
        bad += check_template(root, cases, from, to);
    }
    print_message("%s: %zu cases\n", root, n);
    assert_int_equal(bad, 0);
    assert_true(n > 200);
    json_decref(cases);
}

// ---- the tests ----------------------------------------------------------------------------------

static const char *own(char path[1024], const char *sub)
{
    const char *source = os_env("ANYDPO_SOURCE");
    snprintf(path, 1024, "%s/tests/golden/%s", source ? source : ".", sub);
    return path;
}

static const char *golden(char path[1024], const char *sub)
{
    const char *root = os_env("ANYDPO_GOLDENS");
    snprintf(path, 1024, "%s/%s", root ? root : "none", sub);
    if (dir_exists(path))
        return path;
    print_message("ANYDPO_GOLDENS has no %s: skipped\n", sub);
    return NULL;
}

static void tokenizers(void **state)
{
    char path[1024];
    (void) state;
    assert_true(check_tokenizers(own(path, "tokenizers")) >= 3);
    if (golden(path, "tokenizers"))
        assert_true(check_tokenizers(path) >= 25);
}

static void templates(void **state)
{
    char path[1024];
    (void) state;
    check_templates(own(path, "templates"));
    if (golden(path, "templates"))
        check_templates(path);
}

// A model folder: its template and its tokens.
static void model_folder(void **state)
{
    char path[1024];
    struct str in = {0}, out = {0}, said = {0}, args = {0};
    (void) state;
    T_OK(str_puts(&in, "\n{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n"));
    T_OK(str_printf(&args, "chat --model_name_or_path '%s'", own(path, "models/llama3")));
    assert_int_equal(run(args.data, &in, &out, &said), 0);
    size_t at = 0;
    json_t *got = next_line(&out, &at);
    assert_true(json_is_string(got));
    assert_non_null(strstr(json_string_value(got), "a"));
    json_decref(got);
    str_free(&in);
    str_free(&out);
    str_free(&said);
    str_free(&args);
}

// A GGUF file in place of a folder.
static void gguf_file(void **state)
{
    const char *source = os_env("ANYDPO_SOURCE");
    struct str in = {0}, out = {0}, said = {0}, args = {0};
    (void) state;
    T_OK(str_puts(&in, "\"abc\"\n"));
    T_OK(str_printf(&args, "tokenize --model_name_or_path '%s/tests/fuzz/corpus/from_gguf/tiny'",
                    source ? source : "."));
    assert_int_equal(run(args.data, &in, &out, &said), 0);
    assert_string_equal(out.data, "[3, 2]\n");
    str_free(&in);
    str_free(&out);
    str_free(&said);
    str_free(&args);
}

static const struct {
    const char *args, *in;
    int status;
    const char *names[3]; // all must be in the message
} BAD[] = {
    {"tokenize", "", 2, {"model_name_or_path"}},
    {"tokenize --model_name_or_path nowhere", "", 1, {"nowhere", "tokenizer.json"}},
    {"tokenize --model_name_or_path $M --skip_special", "", 2, {"--skip_special", "--decode"}},
    {"tokenize --model_name_or_path $M extra", "", 2, {"extra"}},
    {"tokenize --model_name_or_path $M", "\"a\"\n\n7\n", 1, {"standard input:3", "string"}},
    {"tokenize --model_name_or_path $M", "\"a\"\n\"b\n", 1, {"standard input:2"}},
    {"tokenize --decode --model_name_or_path $M", "\"a\"\n", 1, {"standard input:1", "list"}},
    {"tokenize --decode --model_name_or_path $M", "[1, -1]\n", 1, {"standard input:1", "item 1"}},
    {"tokenize --decode --model_name_or_path $M", "[0.5]\n", 1, {"standard input:1", "item 0"}},
    {"chat", "", 2, {"--model_name_or_path", "--template", "neither"}},
    {"chat --model_name_or_path $M --template x", "", 2, {"both"}},
    {"chat --template nowhere.jinja", "", 1, {"nowhere.jinja"}},
    {"chat --model_name_or_path $M", "[]\n", 1, {"standard input:1", "object"}},
    {"chat --model_name_or_path $M",
     "{\"messages\": [], \"kwargs\": 1}\n",
     1,
     {"standard input:1", "kwargs"}},
    {"chat --model_name_or_path $M",
     "{\"messages\": [], \"add_generation_prompt\": \"yes\"}\n",
     1,
     {"standard input:1", "add_generation_prompt"}},
};

static void bad_lines(void **state)
{
    char model[1024];
    struct str in = {0}, out = {0}, said = {0}, args = {0};

    (void) state;
    assert_int_equal(setenv("M", own(model, "models/llama3"), 1), 0);
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        str_clear(&in);
        T_OK(str_puts(&in, BAD[i].in));
        const int status = run(BAD[i].args, &in, &out, &said);
        if (status != BAD[i].status)
            fail_msg("%s: expected status %d, found %d: %s", BAD[i].args, BAD[i].status, status,
                     said.data);
        for (size_t k = 0; k < 3 && BAD[i].names[k]; k++)
            if (!said.data || !strstr(said.data, BAD[i].names[k]))
                fail_msg("%s: the message does not name %s: %s", BAD[i].args, BAD[i].names[k],
                         said.data);
    }
    str_free(&in);
    str_free(&out);
    str_free(&said);
    str_free(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizers), cmocka_unit_test(templates), cmocka_unit_test(model_folder),
        cmocka_unit_test(gguf_file),  cmocka_unit_test(bad_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
