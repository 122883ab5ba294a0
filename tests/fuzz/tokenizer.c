// Fuzz entry. An input with a NUL is a tokenizer.json, then a text for it; one without is a text
// for two tokenizers that are made here. What an opened tokenizer does must hold together.
#include "src/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"

static const char BYTES[] = "{\"added_tokens\":[{\"id\":0,\"content\":\"<x>\",\"single_word\":"
                            "false,\"lstrip\":true,\"rstrip\":true,"
                            "\"normalized\":false,\"special\":true},{\"id\":1,\"content\":\"ab\","
                            "\"single_word\":true,\"lstrip\":false,"
                            "\"rstrip\":false,\"normalized\":true,\"special\":false}],"
                            "\"normalizer\":{\"type\":\"Sequence\","
                            "\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":\"Lowercase\"},{"
                            "\"type\":\"Strip\",\"strip_left\":true,"
                            "\"strip_right\":true}]},\"pre_tokenizer\":{\"type\":\"Sequence\","
                            "\"pretokenizers\":[{\"type\":\"Split\","
                            "\"pattern\":{\"Regex\":\"[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
                            "\\\\p{N}{1,3}|\\\\s+(?!\\\\S)|\\\\w+\"},"
                            "\"behavior\":\"MergedWithNext\",\"invert\":false},{\"type\":"
                            "\"ByteLevel\",\"add_prefix_space\":true,"
                            "\"use_regex\":true}]},\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{"
                            "\"type\":\"BPE\",\"vocab\":{";
static const char PIECES[] = "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
                             "\"NFD\"},{\"type\":\"StripAccents\"},"
                             "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[ax]+\"},\"content\":"
                             "\"a\"}]},\"pre_tokenizer\":{"
                             "\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":"
                             "\"first\",\"split\":true},\"decoder\":{"
                             "\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
                             "\"pattern\":{\"String\":\"_\"},\"content\":\" \"},"
                             "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\","
                             "\"content\":\" \",\"start\":1,"
                             "\"stop\":0}]},\"post_processor\":{\"type\":\"BertProcessing\","
                             "\"cls\":[\"a\",1],\"sep\":[\"b\",2]},"
                             "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,"
                             "\"vocab\":[[\"?\",0],[\"a\",-1],"
                             "[\"b\",-2.5],[\"_\",-1],[\"ab\",-2],[\"_a\",-1.5],[\"abab\",-3],[\"<"
                             "0xC3>\",0],[\"<0xA9>\",0]]}}";

static struct txt_tokenizer *fixed[2];

static void make_fixed(void)
{
    struct str json = {0};

    if (str_puts(&json, BYTES))
        abort();
    for (unsigned i = 33; i < 127; i++) // printable ones are their own names; others have no id
        if (i != '"' && i != '\\' && str_printf(&json, "\"%c\":%u,", (char) i, i))
            abort();
    if (str_puts(&json,
                 "\"\xc4\xa0\":32,\"\xc4\xa0t\":200,\"th\":201,\"he\":202,\"the\":203,\"aa\":204,"
                 "\"aaaa\":205},"
                 "\"merges\":[\"t h\",\"h e\",\"th e\",\"\xc4\xa0 t\",\"a a\",\"aa aa\"]}}") ||
        txt_tokenizer_parse(json.data, json.len, "bytes", &fixed[0]) ||
        txt_tokenizer_parse(PIECES, sizeof(PIECES) - 1, "pieces", &fixed[1]))
        abort();
    str_free(&json);
}

static void check(const struct txt_tokenizer *tok, const char *text, size_t len)
{
    struct txt_ids ids = {0}, again = {0};
    struct str whole = {0}, pieces = {0};
    struct txt_stream s = {.skip_special = len % 2};

    if (txt_encode(tok, text, len, true, &ids) == RT_OK) {
        if (txt_encode(tok, text, len, true, &again) || again.len != ids.len ||
            (ids.len && memcmp(ids.data, again.data, ids.len * sizeof(*ids.data)) != 0))
            abort();
        for (size_t i = 0; i < ids.len; i++)
            if (ids.data[i] >= txt_vocab_size(tok) ||
                txt_stream_push(tok, &s, ids.data[i], &pieces))
                abort();
        if (txt_decode(tok, ids.data, ids.len, s.skip_special, &whole) ||
            txt_stream_end(tok, &s, &pieces) || whole.len != pieces.len ||
            (whole.len && memcmp(whole.data, pieces.data, whole.len) != 0))
            abort();
    }
    txt_stream_free(&s);
    txt_ids_free(&ids);
    txt_ids_free(&again);
    str_free(&whole);
    str_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data, *end = size ? memchr(data, 0, size) : NULL;
    struct txt_tokenizer *tok = NULL;

    if (!fixed[0])
        make_fixed();
    if (!end) {
        check(fixed[0], text, size);
        check(fixed[1], text, size);
    } else if (txt_tokenizer_parse(text, (size_t) (end - text), "fuzz", &tok) == RT_OK) {
        check(tok, end + 1, size - (size_t) (end + 1 - text));
    }
    txt_tokenizer_close(&tok);
    return 0;
}
