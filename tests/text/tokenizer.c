// Damaged and hostile tokenizer.json files, and the edges of the interface, on small tokenizers
// made here.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/thread.h"
#include "src/text/tokenizer.h"

// ---- a folder with given files, and what was logged ----

struct fixture {
    char folder[64];
    struct str log;
};

static void sink(void *user, enum log_level level, const char *line)
{
    struct str *log = user;
    (void) level;
    assert_int_equal(str_printf(log, "%s\n", line), RT_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    strcpy(f->folder, "/tmp/anydpo-tokenizer-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    log_set_sink(sink, &f->log);
    *state = f;
    return 0;
}

static void in_folder(const struct fixture *f, const char *name, const char *text)
{
    char *path;
    assert_int_equal(path_join(f->folder, name, &path), RT_OK);
    if (text)
        assert_int_equal(file_write(path, text, strlen(text)), RT_OK);
    else
        remove(path);
    free(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    log_set_sink(NULL, NULL);
    in_folder(f, "tokenizer.json", NULL);
    in_folder(f, "tokenizer_config.json", NULL);
    in_folder(f, "special_tokens_map.json", NULL);
    rmdir(f->folder);
    str_free(&f->log);
    free(f);
    return 0;
}

static enum rt_err open_text(struct fixture *f, const char *json, struct txt_tokenizer **tok)
{
    str_clear(&f->log);
    in_folder(f, "tokenizer.json", json);
    return txt_tokenizer_open(f->folder, tok);
}

// The ids of a text as "1 2 3", or the error.
static const char *ids_of(const struct txt_tokenizer *tok, const char *text, size_t len,
                          bool special, char buf[256])
{
    struct txt_ids ids = {0};
    const enum rt_err err = txt_encode(tok, text, len, special, &ids);
    size_t n = 0;

    buf[0] = 0;
    if (err)
        snprintf(buf, 256, "%s", rt_err_name(err));
    for (size_t i = 0; i < ids.len && n < 240; i++)
        n += (size_t) snprintf(buf + n, 256 - n, "%s%u", i ? " " : "", ids.data[i]);
    txt_ids_free(&ids);
    return buf;
}

// ---- files that must be refused ----

#define MODEL                                                                                      \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"
#define TOKEN(id, name)                                                                            \
    "{\"id\":" #id ",\"content\":\"" name "\",\"single_word\":false,\"lstrip\":false,"             \
    "\"rstrip\":false,\"normalized\":false,\"special\":true}"

static const struct bad {
    const char *json;
    enum rt_err err;
    const char *says; // must be in the message
} BAD[] = {
    // damage
    {"", RT_E_FORMAT, "tokenizer.json"},
    {"{\"model\":", RT_E_FORMAT, "tokenizer.json:1"},
    {"{" MODEL "} x", RT_E_FORMAT, "tokenizer.json:1"},
    {"[]", RT_E_FORMAT, "top level: an object"},
    {"{}", RT_E_FORMAT, "model: is missing"},
    {"{\"model\":[]}", RT_E_FORMAT, "model: an object"},
    {"{\"model\":{\"type\":\"BPE\",\"merges\":[]}}", RT_E_FORMAT, "model.vocab: is missing"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}}", RT_E_FORMAT,
     "model.vocab: is of another type"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", RT_E_FORMAT, "model.merges: an array"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", RT_E_FORMAT,
     "\"a\" has no id"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]}}", RT_E_FORMAT,
     "\"a\" has no id"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":200000000},\"merges\":[]}}", RT_E_FORMAT,
     "200000000"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", RT_E_FORMAT,
     "both have the id 0"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a c\"]}}", RT_E_FORMAT,
     "model.merges[0]: the token \"c\" is not in the vocabulary"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"a\"]]}}", RT_E_FORMAT,
     "model.merges[0]: the token \"aa\" is not in the vocabulary"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}}", RT_E_FORMAT,
     "not two tokens"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}}", RT_E_FORMAT,
     "not two tokens"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", RT_E_FORMAT,
     "model.merges[0]"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[7]}}", RT_E_FORMAT,
     "model.merges[0]"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":3}}",
     RT_E_FORMAT, "unk_token"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", RT_E_FORMAT, "model.vocab: 0 tokens"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", RT_E_FORMAT, "element 0"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0.0]],\"unk_id\":1}}", RT_E_FORMAT,
     "model.unk_id"},
    {"{" MODEL ",\"added_tokens\":{}}", RT_E_FORMAT, "added_tokens: an array"},
    {"{" MODEL ",\"added_tokens\":[{\"id\":3}]}", RT_E_FORMAT, "added_tokens[0].content"},
    {"{" MODEL ",\"added_tokens\":[{\"id\":3,\"content\":\"x\"}]}", RT_E_FORMAT,
     "added_tokens[0].lstrip"},
    {"{" MODEL ",\"pre_tokenizer\":{}}", RT_E_FORMAT, "pre_tokenizer.type"},
    {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Digits\"}}", RT_E_FORMAT,
     "pre_tokenizer.individual_digits"},
    {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":1}}", RT_E_FORMAT,
     "add_prefix_space"},
    {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}}", RT_E_FORMAT,
     "replacement"},
    {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a\"},\"behavior\":"
     "\"Isolated\","
     "\"invert\":false}}",
     RT_E_FORMAT, "pre_tokenizer.pattern: the regular expression has a class"},
    {"{" MODEL ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
     "{\"id\":\"x\"}}],"
     "\"special_tokens\":{}}}",
     RT_E_FORMAT, "\"x\""},
    {"{" MODEL
     ",\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"a\"],\"cls\":[\"a\",0]}}",
     RT_E_FORMAT, "post_processor.sep"},
    // what is not supported
    {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", RT_E_UNSUPPORTED,
     "tokenizer.json: model: unsupported type \"WordPiece\""},
    {"{" MODEL ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{"
     "\"type\":\"X\"}]}}",
     RT_E_UNSUPPORTED, "tokenizer.json: normalizer.normalizers[1]: unsupported type \"X\""},
    {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
     "\"individual_digits\":true},{\"type\":\"X\"}]}}",
     RT_E_UNSUPPORTED, "tokenizer.json: pre_tokenizer.pretokenizers[1]: unsupported type \"X\""},
    {"{" MODEL ",\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"X\"}]}}",
     RT_E_UNSUPPORTED, "tokenizer.json: post_processor.processors[0]: unsupported type \"X\""},
    {"{" MODEL
     ",\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"CTC\"}]}}",
     RT_E_UNSUPPORTED, "tokenizer.json: decoder.decoders[1]: unsupported type \"CTC\""},
    {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":"
     "\"isolated\","
     "\"invert\":false}}",
     RT_E_UNSUPPORTED, "unsupported behavior \"isolated\""},
    {"{" MODEL ",\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a)\\\\1\"},"
     "\"behavior\":\"Isolated\","
     "\"invert\":false}}",
     RT_E_UNSUPPORTED, "an escape"},
    {"{\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},\"merges\":[]}}", RT_E_UNSUPPORTED,
     "model.dropout"},
    {"{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{},\"merges\":[]}}",
     RT_E_UNSUPPORTED, "model.end_of_word_suffix"},
};

static void refuses(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        struct txt_tokenizer *tok = (void *) f;
        const enum rt_err err = open_text(f, BAD[i].json, &tok);
        if (err != BAD[i].err || !f->log.data || !strstr(f->log.data, BAD[i].says))
            print_message("row %zu: %s\n  %s, logged %s", i, BAD[i].json, rt_err_name(err),
                          f->log.data);
        assert_int_equal(err, BAD[i].err);
        assert_null(tok);
        assert_non_null(strstr(f->log.data, BAD[i].says));
    }
}

static void refuses_depth_and_absence(void **state)
{
    struct fixture *f = *state;
    struct txt_tokenizer *tok;
    struct str json = {0};

    in_folder(f, "tokenizer.json", NULL);
    assert_int_equal(txt_tokenizer_open(f->folder, &tok), RT_E_NOT_FOUND);
    assert_int_equal(str_puts(&json, "{" MODEL ",\"normalizer\":"), RT_OK);
    for (int i = 0; i < 40; i++)
        assert_int_equal(str_puts(&json, "{\"type\":\"Sequence\",\"normalizers\":["), RT_OK);
    assert_int_equal(str_puts(&json, "{\"type\":\"NFC\"}"), RT_OK);
    for (int i = 0; i < 40; i++)
        assert_int_equal(str_puts(&json, "]}"), RT_OK);
    assert_int_equal(str_puts(&json, "}"), RT_OK);
    assert_int_equal(open_text(f, json.data, &tok), RT_E_UNSUPPORTED);
    str_clear(&json);
    assert_int_equal(
        str_puts(&json, "{" MODEL ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["),
        RT_OK);
    for (int i = 0; i < 65; i++)
        assert_int_equal(str_printf(&json, "%s{\"type\":\"NFC\"}", i ? "," : ""), RT_OK);
    assert_int_equal(str_puts(&json, "]}}"), RT_OK);
    assert_int_equal(open_text(f, json.data, &tok), RT_E_UNSUPPORTED);
    str_free(&json);
}

// ---- edges of a working one ----

// Bytes as tokens: 'a' 0, 'b' 1, 'ab' 2; byte fallback for all bytes from 3 on; <x> 259.
static void with_fallback(struct fixture *f, struct txt_tokenizer **tok)
{
    struct str json = {0};

    assert_int_equal(str_puts(&json,
                              "{\"added_tokens\":[" TOKEN(
                                  259, "<x>") "],\"decoder\":{\"type\":\"Sequence\","
                                              "\"decoders\":[{\"type\":\"ByteFallback\"},{"
                                              "\"type\":\"Fuse\"}]},\"model\":{\"type\":\"BPE\","
                                              "\"byte_fallback\":true,\"merges\":[\"a "
                                              "b\"],\"vocab\":{\"a\":0,\"b\":1,\"ab\":2"),
                     RT_OK);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(str_printf(&json, ",\"<0x%02X>\":%u", i, i + 3), RT_OK);
    assert_int_equal(str_puts(&json, "}}}"), RT_OK);
    assert_int_equal(open_text(f, json.data, tok), RT_OK);
    str_free(&json);
}

static void broken_utf8(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *same_as;
    } ROWS[] = {
        {"\xff", 1, "\xef\xbf\xbd"},
        {"a\x80"
         "b",
         3,
         "a\xef\xbf\xbd"
         "b"},
        {"\xe4\xbd", 2, "\xef\xbf\xbd"}, // one maximal part
        {"\xe4\xbd"
         "a",
         3,
         "\xef\xbf\xbd"
         "a"},
        {"\xed\xa0\x80", 3,
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, // a surrogate: none of its bytes fit
        {"\xf0\x9f\x98", 3, "\xef\xbf\xbd"},
        {"\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd"}, // overlong
        {"\xf4\x90\x80\x80", 4,
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, // above U+10FFFF
    };
    struct txt_tokenizer *tok;
    char got[256], want[256];

    with_fallback(*state, &tok);
    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        assert_string_equal(ids_of(tok, ROWS[i].bytes, ROWS[i].len, false, got),
                            ids_of(tok, ROWS[i].same_as, strlen(ROWS[i].same_as), false, want));
    txt_tokenizer_close(&tok);
    assert_null(tok);
    txt_tokenizer_close(&tok);
}

static void edges(void **state)
{
    static const uint32_t ODD[] = {2,        4000000000u, 259,      260,     1,
                                   0xe4 + 3, 0xbd + 3,    0xa0 + 3, 0xe4 + 3};
    struct txt_tokenizer *tok;
    struct txt_ids ids = {0};
    struct str text = {0};
    const char *bytes;
    size_t len;
    uint32_t id;
    char buf[256];

    with_fallback(*state, &tok);
    assert_string_equal(ids_of(tok, NULL, 0, true, buf), "");
    assert_string_equal(ids_of(tok, "ab<x>a\0b", 8, true, buf), "2 259 0 3 1");
    assert_string_equal(ids_of(tok, "abab<xab", 8, false, buf), "2 2 63 123 2");
    assert_int_equal(txt_encode(tok, "ab", 2, false, &ids), RT_OK);
    assert_int_equal(txt_encode(tok, "a", SIZE_MAX / 2, false, &ids), RT_E_ARG);
    assert_int_equal(ids.len, 1); // as it was
    assert_int_equal(txt_decode(tok, ODD, COUNT_OF(ODD), false, &text), RT_OK);
    assert_string_equal(text.data, "ab<x>b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    str_clear(&text);
    assert_int_equal(txt_decode(tok, ODD, COUNT_OF(ODD) - 1, true, &text), RT_OK);
    assert_string_equal(text.data, "abb\xe4\xbd\xa0");
    assert_int_equal(txt_vocab_size(tok), 260);
    assert_true(txt_token_id(tok, "<x>", 3, &id) && id == 259 && txt_is_special(tok, id));
    assert_true(txt_token_id(tok, "ab", 2, &id) && id == 2 && !txt_is_special(tok, id));
    assert_false(txt_token_id(tok, "abc", 3, &id));
    assert_string_equal(txt_token_name(tok, 3), "<0x00>");
    assert_null(txt_token_name(tok, 260));
    assert_true(txt_token_bytes(tok, 3, &bytes, &len) && len == 1 && bytes[0] == 0);
    assert_true(txt_token_bytes(tok, 2, &bytes, &len) && len == 2 && memcmp(bytes, "ab", 2) == 0);
    assert_false(txt_token_bytes(tok, 260, &bytes, &len));
    assert_null(bytes);
    txt_ids_free(&ids);
    str_free(&text);
    txt_tokenizer_close(&tok);
}

static void streams(void **state)
{
    static const uint32_t IDS[] = {2, 0xe4 + 3, 0xbd + 3, 0xa0 + 3, 0};
    static const char WHOLE[] = "ab\xe4\xbd\xa0"
                                "a";
    static const size_t AFTER[] = {2, 2, 2, 2, sizeof(WHOLE) - 1};
    struct txt_tokenizer *tok;
    struct txt_stream s = {0};
    struct str text = {0};

    with_fallback(*state, &tok);
    for (size_t i = 0; i < COUNT_OF(IDS); i++) {
        assert_int_equal(txt_stream_push(tok, &s, IDS[i], &text), RT_OK);
        assert_int_equal(text.len, AFTER[i]);
        assert_memory_equal(text.data, WHOLE, text.len);
    }
    assert_int_equal(txt_stream_push(tok, &s, 0xe4 + 3, &text), RT_OK);
    assert_int_equal(txt_stream_end(tok, &s, &text), RT_OK);
    assert_string_equal(text.data, "ab\xe4\xbd\xa0"
                                   "a\xef\xbf\xbd");
    txt_stream_free(&s);
    str_free(&text);
    txt_tokenizer_close(&tok);
}

// A character without an id is an error only where there must be an unknown token.
static void unknown(void **state)
{
    struct fixture *f = *state;
    struct txt_tokenizer *tok;
    struct txt_ids ids = {0};
    const uint32_t one = 7;
    char buf[256];

    assert_int_equal(open_text(f, "{" MODEL "}", &tok), RT_OK);
    assert_string_equal(ids_of(tok, "acb", 3, false, buf), "2"); // left out: the library does so
    txt_tokenizer_close(&tok);
    assert_int_equal(open_text(f,
                               "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],"
                               "\"unk_token\":\"?\"}}",
                               &tok),
                     RT_OK);
    assert_string_equal(ids_of(tok, "aa", 2, false, buf), "0 0");
    assert_int_equal(txt_ids_append(&ids, &one, 1), RT_OK);
    assert_int_equal(txt_encode(tok, "aab", 3, false, &ids), RT_E_FORMAT);
    assert_int_equal(ids.len, 1);
    assert_int_equal(ids.data[0], 7);
    txt_ids_free(&ids);
    txt_tokenizer_close(&tok);
    assert_int_equal(
        open_text(f, "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",-1.0]]}}", &tok), RT_OK);
    assert_string_equal(ids_of(tok, "aab", 3, false, buf), rt_err_name(RT_E_FORMAT));
    txt_tokenizer_close(&tok);
}

// Keys may be any text, U+0000 and the empty one included; values that look like such keys stay.
static void odd_keys(void **state)
{
    struct txt_tokenizer *tok;
    char buf[256];

    assert_int_equal(open_text(*state,
                               "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\u0000\":0,\"a\" :1,"
                               "\"a\\u0000\" :2,\"\\\\u0000\":3,\"\\uFDD0\":4,\"\\\\\":5,\"\":6},"
                               "\"merges\":[\"a \\u0000\"]}}",
                               &tok),
                     RT_OK);
    assert_string_equal(ids_of(tok, "aa\0\0\\", 5, false, buf), "1 2 0 5");
    assert_string_equal(ids_of(tok, "\xef\xb7\x90\xef\xb7\x91", 6, false, buf), "4");
    assert_string_equal(txt_token_name(tok, 3), "\\u0000");
    assert_string_equal(txt_token_name(tok, 6), "");
    txt_tokenizer_close(&tok);
}

// The penalty of the unknown token is 10 below the worst score: with 1, "a" and it would beat "aq".
static void unigram(void **state)
{
    struct txt_tokenizer *tok;
    char buf[256];

    assert_int_equal(open_text(*state,
                               "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"?\",0],"
                               "[\"a\",5.0],[\"aq\",-3]]}}",
                               &tok),
                     RT_OK);
    assert_string_equal(ids_of(tok, "aqaqqq", 6, false, buf), "2 2 0");
    txt_tokenizer_close(&tok);
}

static void special_names(void **state)
{
    struct fixture *f = *state;
    struct txt_tokenizer *tok;
    struct txt_special_token s;

    in_folder(f, "tokenizer_config.json",
              "{\"bos_token\":{\"content\":\"<x>\",\"lstrip\":false},\"eos_token\":\"ab\","
              "\"pad_token\":null}");
    in_folder(f, "special_tokens_map.json", "{\"eos_token\":\"b\",\"pad_token\":\"gone\"}");
    assert_int_equal(open_text(f, "{" MODEL ",\"added_tokens\":[" TOKEN(3, "<x>") "]}", &tok),
                     RT_OK);
    s = txt_special(tok, TXT_BOS);
    assert_true(s.has_id && s.id == 3 && s.len == 3 && strcmp(s.text, "<x>") == 0);
    s = txt_special(tok, TXT_EOS);
    assert_true(s.has_id && s.id == 2);
    s = txt_special(tok, TXT_PAD);
    assert_false(s.has_id);
    assert_string_equal(s.text, "gone");
    assert_null(txt_special(tok, TXT_UNK).text);
    txt_tokenizer_close(&tok);
    in_folder(f, "tokenizer_config.json", "{");
    assert_int_equal(open_text(f, "{" MODEL "}", &tok), RT_E_FORMAT);
    assert_null(tok);
}

// Quadratic work on a word of 2 MB would run into the test's time limit. Long and short words merge
// alike.
static void long_words(void **state)
{
    enum { N = 2000000 };
    struct txt_tokenizer *tok;
    struct txt_ids ids = {0};
    char *text = malloc(N);

    assert_non_null(text);
    assert_int_equal(
        open_text(*state,
                  "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"abab\":3,"
                  "\"aa\":4},\"merges\":[\"a b\",\"ab ab\",\"a a\"]}}",
                  &tok),
        RT_OK);
    for (size_t i = 0; i < N; i++)
        text[i] = i % 2 ? 'b' : 'a';
    for (size_t n = 2; n <= N; n = n == 2    ? 38
                                   : n == 38 ? 40
                                   : n == 40 ? 42
                                   : n == 42 ? N
                                             : N + 1) {
        txt_ids_clear(&ids);
        assert_int_equal(txt_encode(tok, text, n, false, &ids), RT_OK);
        assert_int_equal(ids.len, n / 4 + (n % 4 != 0));
        for (size_t i = 0; i < ids.len; i++)
            assert_int_equal(ids.data[i], i < n / 4 ? 3 : 2);
    }
    memset(text, 'a', N);
    for (size_t n = 39; n < 44; n++) {
        txt_ids_clear(&ids);
        assert_int_equal(txt_encode(tok, text, n, false, &ids), RT_OK);
        assert_int_equal(ids.len, (n + 1) / 2); // from the left, so the odd one comes last
        assert_int_equal(ids.data[ids.len - 1], n % 2 ? 0 : 4);
    }
    txt_ids_free(&ids);
    free(text);
    txt_tokenizer_close(&tok);
}

struct many {
    const struct txt_tokenizer *tok;
    bool good[64];
};

static void encode_some(void *user, uint64_t begin, uint64_t end)
{
    struct many *m = user;
    char buf[256];
    for (uint64_t i = begin; i < end; i++)
        m->good[i] =
            strcmp(ids_of(m->tok, "ab<x>a\xe4\xbd\xa0", 9, true, buf), "2 259 0 231 192 163") == 0;
}

static void threads(void **state)
{
    struct txt_tokenizer *tok;
    struct many m = {0};

    with_fallback(*state, &tok);
    m.tok = tok;
    for (int round = 0; round < 50; round++) {
        memset(m.good, 0, sizeof(m.good));
        thread_for(COUNT_OF(m.good), 1, encode_some, &m);
        for (size_t i = 0; i < COUNT_OF(m.good); i++)
            assert_true(m.good[i]);
    }
    txt_tokenizer_close(&tok);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refuses),       TEST(refuses_depth_and_absence),
        TEST(broken_utf8),   TEST(edges),
        TEST(streams),       TEST(unknown),
        TEST(odd_keys),      TEST(unigram),
        TEST(special_names), TEST(long_words),
        TEST(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
