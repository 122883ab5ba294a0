// SentencePiece tokenizers out of GGUF metadata: merges are made of scores.
#include <jansson.h>
#include <math.h>

#include "src/format/json.h"
#include "src/text/from_gguf.h"
#include "src/text/tokenizer.h"
#include "tests/support/gguf_build.h"

static void put_texts(struct gb *b, const char *key, const char *const *text, size_t n)
{
    gb_array(b, key, FMT_GGUF_STR, n);
    for (size_t i = 0; i < n; i++)
        gb_string(&b->kvs, text[i], strlen(text[i]));
}

static enum rt_err read_tokenizer(struct gb *b, struct txt_tokenizer **tok)
{
    struct str bytes = {0}, text = {0};
    struct fmt_gguf g;
    enum rt_err err;

    *tok = NULL;
    gb_finish(b, &bytes);
    U_OK(fmt_gguf_open_memory(bytes.data, bytes.len, "m.gguf", &g));
    err = txt_gguf_tokenizer(&g, NULL, &text);
    if (err == RT_OK)
        U_OK(txt_tokenizer_parse(text.data, text.len, "m.gguf", tok));
    fmt_gguf_close(&g);
    str_free(&text);
    str_free(&bytes);
    return err;
}

// ---- by hand ----

static const char *const TOKENS[] = {"<unk>", "<s>", "</s>", "▁",  "a",
                                     "b",     "ab",  "ba",   "▁a", "▁ab"};
// "ba" is worth more than "ab"; "▁ab" may come of "▁a" and "b", or of "▁" and "ab".
static const float SCORES[] = {0, 0, 0, -9, -8, -7, -4, -2, -3, -1};
static const uint32_t TYPES[] = {2, 3, 3, 1, 1, 1, 1, 1, 1, 1};
enum { N = COUNT_OF(TOKENS) };

static void by_hand(struct gb *b, size_t scores, float last)
{
    gb_text(b, "tokenizer.ggml.model", "llama");
    put_texts(b, "tokenizer.ggml.tokens", TOKENS, N);
    gb_array(b, "tokenizer.ggml.token_type", FMT_GGUF_I32, N);
    for (size_t i = 0; i < N; i++)
        gb_put(&b->kvs, TYPES[i], 4);
    gb_array(b, "tokenizer.ggml.scores", FMT_GGUF_F32, scores);
    for (size_t i = 0; i < scores; i++)
        gb_put(&b->kvs, f32_bits(i == N - 1 ? last : SCORES[i]), 4);
    gb_u32(b, "tokenizer.ggml.bos_token_id", 1);
    gb_u32(b, "tokenizer.ggml.eos_token_id", 2);
}

static void scores(void **state)
{
    static const struct {
        const char *text;
        uint32_t n, want[6];
    } ROWS[] = {
        {"ab", 2, {1, 9}},         // ▁ab
        {"ba", 3, {1, 3, 7}},      // ▁ ba
        {"aba", 3, {1, 8, 7}},     // ▁aba: ba before ▁a, and then no ▁ab
        {"b ab", 4, {1, 3, 5, 9}}, // ▁ b ▁ab
        {"cd", 3, {1, 3, 0}},      // unknown, fused
    };
    struct gb b = {0};
    struct txt_tokenizer *tok;
    struct str text = {0};
    (void) state;

    by_hand(&b, N, -1.0f);
    U_OK(read_tokenizer(&b, &tok));
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct txt_ids ids = {0};
        U_OK(txt_encode(tok, ROWS[i].text, strlen(ROWS[i].text), true, &ids));
        assert_int_equal(ids.len, ROWS[i].n);
        assert_memory_equal(ids.data, ROWS[i].want, ROWS[i].n * sizeof(uint32_t));
        txt_ids_free(&ids);
    }
    U_OK(txt_decode(tok, (const uint32_t[]){1, 9, 8}, 3, true, &text));
    assert_string_equal(text.data, "ab a");
    txt_tokenizer_close(&tok);
    by_hand(&b, N, -1.0f);
    gb_bool(&b, "tokenizer.ggml.add_space_prefix", false);
    gb_bool(&b, "tokenizer.ggml.add_bos_token", false);
    U_OK(read_tokenizer(&b, &tok));
    struct txt_ids ids = {0};
    U_OK(txt_encode(tok, "ab", 2, true, &ids));
    assert_true(ids.len == 1 && ids.data[0] == 6);
    txt_ids_free(&ids);
    txt_tokenizer_close(&tok);
    str_free(&text);
}

static void refused(void **state)
{
    struct gb b = {0};
    struct txt_tokenizer *tok;
    char token[1100];
    const char *const long_one[] = {token};
    (void) state;

    by_hand(&b, N - 1, 0.0f);
    U_FAILS(RT_E_FORMAT, "expected 10 numbers, one a token, found 9", read_tokenizer(&b, &tok));
    by_hand(&b, N, NAN);
    U_FAILS(RT_E_FORMAT, "element 9 is no number", read_tokenizer(&b, &tok));
    gb_text(&b, "tokenizer.ggml.model", "llama");
    put_texts(&b, "tokenizer.ggml.tokens", TOKENS, N);
    U_FAILS(RT_E_NOT_FOUND, "tokenizer.ggml.scores", read_tokenizer(&b, &tok));
    memset(token, 'a', sizeof(token));
    token[sizeof(token) - 1] = 0;
    gb_text(&b, "tokenizer.ggml.model", "llama");
    put_texts(&b, "tokenizer.ggml.tokens", long_one, 1);
    gb_array(&b, "tokenizer.ggml.scores", FMT_GGUF_F32, 1);
    gb_put(&b.kvs, 0, 4);
    U_FAILS(RT_E_UNSUPPORTED, "token 0 has 1099 bytes", read_tokenizer(&b, &tok));
}

// ---- Mistral's, whose merges were made of such scores ----

static json_t *read_json(const char *folder, const char *name)
{
    struct str text = {0};
    char *path = u_in(folder, name);
    json_t *doc;
    U_OK(file_read(path, &text));
    U_OK(fmt_jansson_parse(text.data, text.len, path, 1, &doc));
    str_free(&text);
    free(path);
    return doc;
}

enum { MISTRAL = 32000 };

// Scores are minus the rank of the first merge that makes the token.
static void put_mistral(struct gb *b, const json_t *model)
{
    static const char *name[MISTRAL];
    static float score[MISTRAL];
    const json_t *vocab = json_object_get(model, "vocab"), *v;
    const char *key;
    size_t i;

    json_object_foreach((json_t *) vocab, key, v)
    {
        name[json_integer_value(v)] = key;
        score[json_integer_value(v)] = -1e6f;
    }
    json_array_foreach(json_object_get(model, "merges"), i, v)
    {
        struct str whole = {0};
        const char *m = json_string_value(v), *space = strchr(m + 1, ' ');
        U_OK(str_append(&whole, m, (size_t) (space - m)));
        U_OK(str_puts(&whole, space + 1));
        const json_int_t id = json_integer_value(json_object_get(vocab, whole.data));
        if (score[id] < -9e5f)
            score[id] = -(float) i;
        str_free(&whole);
    }
    put_texts(b, "tokenizer.ggml.tokens", name, MISTRAL);
    gb_array(b, "tokenizer.ggml.scores", FMT_GGUF_F32, MISTRAL);
    for (i = 0; i < MISTRAL; i++)
        gb_put(&b->kvs, f32_bits(score[i]), 4);
    gb_array(b, "tokenizer.ggml.token_type", FMT_GGUF_I32, MISTRAL);
    for (i = 0; i < MISTRAL; i++)
        gb_put(&b->kvs, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1, 4);
}

static void golden(void **state)
{
    char *folder = u_golden("tokenizers/mistral-v1");
    struct gb b = {0};
    struct txt_tokenizer *tok;
    const json_t *c;
    size_t i, bad = 0;
    (void) state;

    if (!folder)
        return;
    json_t *doc = read_json(folder, "tokenizer.json"), *cases = read_json(folder, "cases.json");
    gb_text(&b, "tokenizer.ggml.model", "llama");
    put_mistral(&b, json_object_get(doc, "model"));
    gb_u32(&b, "tokenizer.ggml.bos_token_id", 1);
    gb_u32(&b, "tokenizer.ggml.eos_token_id", 2);
    U_OK(read_tokenizer(&b, &tok));
    json_array_foreach(cases, i, c)
    {
        const json_t *text = json_object_get(c, "text"),
                     *want = json_object_get(c, "ids_with_special");
        struct txt_ids ids = {0};
        U_OK(txt_encode(tok, json_string_value(text), json_string_length(text), true, &ids));
        bool same = ids.len == json_array_size(want);
        for (size_t k = 0; same && k < ids.len; k++)
            same = ids.data[k] == json_integer_value(json_array_get(want, k));
        bad += !same;
        txt_ids_free(&ids);
    }
    print_message("mistral-v1: %zu cases, %zu differences\n", i, bad);
    assert_int_equal(bad, 0);
    txt_tokenizer_close(&tok);
    json_decref(doc);
    json_decref(cases);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores),
        cmocka_unit_test(refused),
        cmocka_unit_test(golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
