// Tokenizers of Hugging Face folders as GGUF metadata, read back; and those that are refused.
#include <jansson.h>

#include "src/format/json.h"
#include "src/text/open.h"
#include "src/text/to_gguf.h"
#include "tests/format/util.h"

static enum rt_err write_gguf(const char *folder, uint32_t rows, int32_t eos, const char *path)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_writer *w;
    const struct txt_gguf_args args = {
        .folder = folder, .rows = rows, .bos = -1, .eos = eos, .pad = -1};

    U_OK(fmt_gguf_writer_create(path, &w));
    err = txt_gguf_put(&args, w);
    if (err == RT_OK)
        U_OK(fmt_gguf_writer_begin(w));
    if (err == RT_OK)
        U_OK(fmt_gguf_writer_commit(w));
    fmt_gguf_writer_destroy(&w);
    return err;
}

// ---- goldens, there and back ----

static json_t *read_json(const char *path)
{
    struct str text = {0};
    json_t *doc;
    U_OK(file_read(path, &text));
    U_OK(fmt_jansson_parse(text.data, text.len, path, 1, &doc));
    str_free(&text);
    return doc;
}

static size_t differences(const struct txt_tokenizer *a, const struct txt_tokenizer *b,
                          const json_t *cases)
{
    const json_t *c;
    size_t i, bad = 0;

    json_array_foreach(cases, i, c)
    {
        const json_t *text = json_object_get(c, "text");
        struct txt_ids x = {0}, y = {0};
        struct str s = {0}, t = {0};
        U_OK(txt_encode(a, json_string_value(text), json_string_length(text), true, &x));
        U_OK(txt_encode(b, json_string_value(text), json_string_length(text), true, &y));
        U_OK(txt_decode(a, x.data, x.len, true, &s));
        U_OK(txt_decode(b, x.data, x.len, true, &t));
        bad += x.len != y.len || (x.len && memcmp(x.data, y.data, x.len * sizeof(*x.data)) != 0) ||
               s.len != t.len || (s.len && memcmp(s.data, t.data, s.len) != 0);
        txt_ids_free(&x);
        txt_ids_free(&y);
        str_free(&s);
        str_free(&t);
    }
    return bad;
}

static void goldens(void **state)
{
    static const struct {
        const char *name, *pre;
    } ROWS[] = {
        {"bl-qwen2", "qwen2"},     {"bl-gpt2", "gpt-2"}, {"bl-digits", "starcoder"},
        {"gpt2", "gpt-2"},         {"smollm2", "gpt-2"}, {"bl-tekken", "tekken"},
        {"mistral-v1", "default"},
    };
    char *dir = u_dir(), *path = u_in(dir, "m.gguf");
    (void) state;

    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct str name = {0};
        U_OK(str_printf(&name, "tokenizers/%s", ROWS[i].name));
        char *folder = u_golden(name.data);
        str_free(&name);
        if (!folder)
            continue;
        char *cases_path = u_in(folder, "cases.json");
        json_t *cases = read_json(cases_path);
        struct txt_tokenizer *a, *b;
        struct fmt_gguf g;
        struct fmt_gguf_str pre;
        U_OK(txt_tokenizer_open(folder, &a));
        U_OK(write_gguf(folder, txt_vocab_size(a) + 3, -1, path));
        U_OK(fmt_gguf_open(path, &g));
        U_OK(fmt_gguf_text(&g, "tokenizer.ggml.pre", &pre));
        assert_memory_equal(pre.data, ROWS[i].pre, pre.len);
        fmt_gguf_close(&g);
        U_OK(txt_tokenizer_open_any(path, &b));
        const size_t bad = differences(a, b, cases);
        print_message("%s: %zu cases, %zu differences\n", ROWS[i].name, json_array_size(cases),
                      bad);
        assert_int_equal(bad, 0);
        txt_tokenizer_close(&a);
        txt_tokenizer_close(&b);
        json_decref(cases);
        free(cases_path);
        free(folder);
    }
    free(path);
    u_drop(dir);
}

// ---- by hand ----

#define BYTES "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}"
#define VOCAB "{\"a\": 0, \"b\": 1, \"ab\": 2}"
#define MODEL "{\"type\": \"BPE\", \"vocab\": " VOCAB ", \"merges\": [\"a b\"]}"
#define FLAGS                                                                                      \
    "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
#define ADDED                                                                                      \
    "[{\"id\": 3, \"content\": \"<s>\", " FLAGS "\"special\": true}, "                             \
    "{\"id\": 4, \"content\": \"<t>\", " FLAGS "\"special\": false}]"
#define POST(id, name)                                                                             \
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"" name          \
    "\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": "           \
    "[{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", "            \
    "\"type_id\": 1}}], \"special_tokens\": {\"" name "\": {\"id\": \"" name "\", \"ids\": [" id   \
    "], \"tokens\": [\"" name "\"]}}}"

static void write_folder(const char *dir, const char *pre, const char *model, const char *post)
{
    struct str text = {0};
    char *path = u_in(dir, "tokenizer.json"), *config = u_in(dir, "tokenizer_config.json");

    U_OK(
        str_printf(&text,
                   "{\"added_tokens\": " ADDED ", \"normalizer\": null, \"pre_tokenizer\": %s, "
                   "\"post_processor\": %s, \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": %s}",
                   pre, post, model));
    U_OK(file_write(path, text.data, text.len));
    str_clear(&text);
    U_OK(str_puts(&text, "{\"bos_token\": \"<s>\", \"chat_template\": \"{{ messages }}\"}"));
    U_OK(file_write(config, text.data, text.len));
    str_free(&text);
    free(path);
    free(config);
}

static void kinds(void **state)
{
    static const char *const NAMES[] = {"a", "b", "ab", "<s>", "<t>", "[PAD5]"};
    static const int64_t TYPES[] = {1, 1, 1, 3, 4, 5};
    char *dir = u_dir(), *path = u_in(dir, "m.gguf");
    const struct fmt_gguf_kv *names, *types;
    struct fmt_gguf g;
    struct fmt_gguf_str s;
    int64_t type;
    uint32_t id;
    bool add;
    (void) state;

    write_folder(dir, BYTES, MODEL, POST("3", "<s>"));
    U_OK(write_gguf(dir, 6, 2, path));
    U_OK(fmt_gguf_open(path, &g));
    U_OK(fmt_gguf_array(&g, "tokenizer.ggml.tokens", FMT_GGUF_STR, &names));
    U_OK(fmt_gguf_array(&g, "tokenizer.ggml.token_type", FMT_GGUF_I32, &types));
    struct fmt_gguf_iter it = fmt_gguf_iter(names);
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        assert_true(fmt_gguf_next(&it, &s) && s.len == strlen(NAMES[i]));
        assert_memory_equal(s.data, NAMES[i], s.len);
        assert_true(fmt_gguf_int_at(types, i, &type) && type == TYPES[i]);
    }
    U_OK(fmt_gguf_bool(&g, "tokenizer.ggml.add_bos_token", &add));
    assert_true(add);
    U_OK(fmt_gguf_u32(&g, "tokenizer.ggml.bos_token_id", &id));
    assert_int_equal(id, 3);
    U_OK(fmt_gguf_u32(&g, "tokenizer.ggml.eos_token_id", &id));
    assert_int_equal(id, 2); // of config.json
    assert_null(fmt_gguf_find(&g, "tokenizer.ggml.padding_token_id"));
    U_OK(fmt_gguf_text(&g, "tokenizer.chat_template", &s));
    assert_memory_equal(s.data, "{{ messages }}", s.len);
    fmt_gguf_close(&g);
    free(path);
    u_drop(dir);
}

static void refused(void **state)
{
    static const struct {
        const char *pre, *model, *post;
        uint32_t rows;
        enum rt_err code;
        const char *word;
    } ROWS[] = {
        {BYTES,
         "{\"type\": \"Unigram\", \"vocab\": [[\"a\", -1.0], [\"b\", -1.0], [\"ab\", -1.0]], "
         "\"unk_id\": 0}",
         "null", 6, RT_E_UNSUPPORTED, "model Unigram"},
        {BYTES,
         "{\"type\": \"BPE\", \"byte_fallback\": true, \"vocab\": " VOCAB ", \"merges\": []}",
         "null", 6, RT_E_UNSUPPORTED, "those of a SentencePiece"},
        {"null", MODEL, "null", 6, RT_E_UNSUPPORTED, "pre_tokenizer"},
        {"{\"type\": \"Whitespace\"}", MODEL, "null", 6, RT_E_UNSUPPORTED, "pre_tokenizer"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [" BYTES ", " BYTES "]}", MODEL, "null", 6,
         RT_E_UNSUPPORTED, "known: gpt-2"},
        {"{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"use_regex\": true}", MODEL,
         "null", 6, RT_E_UNSUPPORTED, "pre_tokenizer"},
        {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", "
         "\"individual_digits\": false}, " BYTES "]}",
         MODEL, "null", 6, RT_E_UNSUPPORTED, "pre_tokenizer"},
        {BYTES, MODEL, POST("4", "<t>"), 6, RT_E_UNSUPPORTED, "post_processor: token 4"},
        {BYTES, MODEL, "null", 4, RT_E_FORMAT, "5 tokens, the embedding has 4 rows"},
    };
    char *dir = u_dir(), *path = u_in(dir, "m.gguf");
    (void) state;

    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        write_folder(dir, ROWS[i].pre, ROWS[i].model, ROWS[i].post);
        U_FAILS(ROWS[i].code, ROWS[i].word, write_gguf(dir, ROWS[i].rows, -1, path));
        assert_false(file_exists(path));
    }
    free(path);
    u_drop(dir);
}

// BPE that was not made of scores: with scores other pairs would merge first.
static void no_scores(void **state)
{
    char *folder = u_golden("tokenizers/sp-legacy"), *dir = u_dir(), *path = u_in(dir, "m.gguf");
    (void) state;

    if (folder)
        U_FAILS(RT_E_UNSUPPORTED, "model.merges are not those of a SentencePiece model",
                write_gguf(folder, 2300, -1, path));
    free(folder);
    free(path);
    u_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens),
        cmocka_unit_test(kinds),
        cmocka_unit_test(refused),
        cmocka_unit_test(no_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
