// `anydpo convert` from a file to a folder, what a failure leaves behind, and damaged files.
#include <sys/wait.h>

#include "src/api/convert.h"
#include "src/format/safetensors.h"
#include "src/model/gguf.h"
#include "src/text/from_gguf.h"
#include "src/text/tokenizer.h"
#include "tests/support/gguf_build.h"

static const char *const FILES[] = {
    "config.json",           "generation_config.json", "tokenizer.json",
    "tokenizer_config.json", "model.safetensors",
};

static void write_tiny(const struct tiny *t, const char *path)
{
    struct str bytes = {0};
    tiny_build(t, &bytes);
    U_OK(file_write(path, bytes.data, bytes.len));
    str_free(&bytes);
}

static enum rt_err convert(const char *from, const char *to, enum rt_type dtype)
{
    struct api_converted result;
    return api_convert(&(struct api_convert_args){.from = from, .to = to, .dtype = dtype}, &result);
}

static size_t entries(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    size_t n = 0;
    while (d && (e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static bool has(const char *dir, const char *name)
{
    char *path = u_in(dir, name);
    const bool yes = file_exists(path);
    free(path);
    return yes;
}

static void put(const char *dir, const char *name, const char *text)
{
    char *path = u_in(dir, name);
    U_OK(file_write(path, text, strlen(text)));
    free(path);
}

// A new folder in a new folder; the same again over files of another model.
static void whole_folder(void **state)
{
    char *dir = u_dir(), *from = u_in(dir, "m.gguf"), *up = u_in(dir, "a"), *to = u_in(up, "b");
    struct api_converted result;
    struct md_arch arch;
    struct fmt_st st;
    struct txt_tokenizer *tok;
    (void) state;

    write_tiny(&(struct tiny){.untied = true}, from);
    U_OK(api_convert(&(struct api_convert_args){.from = from, .to = to, .dtype = RT_F16}, &result));
    assert_int_equal(result.tensors, 12);
    assert_int_equal(result.parameters, 2 * 7 * 8 + 3 * 8 + 3 * 80 + 2 * 6 * 8 + 2 * 12 * 8);
    put(to, "config.json", "{}");
    put(to, "chat_template.jinja", "another");
    put(to, "special_tokens_map.json", "{\"eos_token\": \"a\"}");
    put(to, "added_tokens.json", "{}");
    put(to, "README.md", "stays");
    write_tiny(&(struct tiny){0}, from);
    U_OK(convert(from, to, RT_BF16));
    assert_int_equal(entries(to), COUNT_OF(FILES) + 1);
    for (size_t i = 0; i < COUNT_OF(FILES); i++)
        assert_true(has(to, FILES[i]));
    assert_true(has(to, "README.md"));
    U_OK(md_arch_read(to, &arch));
    assert_true(arch.tied);
    U_OK(fmt_st_open(to, &st));
    assert_int_equal(st.n, 11);
    assert_int_equal(st.tensors[0].dtype, FMT_BF16);
    fmt_st_close(&st);
    U_OK(txt_tokenizer_open(to, &tok));
    assert_int_equal(txt_special(tok, TXT_EOS).id, 4);
    txt_tokenizer_close(&tok);
    u_drop(to);
    u_drop(up);
    free(from);
    u_drop(dir);
}

// Whatever is wrong is found before the folder is made, but for values, which come last: then the
// folder is empty.
static void nothing_half_written(void **state)
{
    static const struct {
        struct tiny t;
        enum rt_err code;
        const char *word;
        bool made;
    } ROWS[] = {
        {{.skip = "llama.block_count"}, RT_E_NOT_FOUND, "llama.block_count", false},
        {{.skip = "blk.0.ffn_up.weight"}, RT_E_NOT_FOUND, "blk.0.ffn_up.weight", false},
        {{.misshapen = "blk.0.attn_k.weight"}, RT_E_SHAPE, "blk.0.attn_k.weight", false},
        {{.text_key = "general.architecture", .text = "mamba"}, RT_E_UNSUPPORTED, "mamba", false},
        {{.text_key = "tokenizer.ggml.pre", .text = "viking"}, RT_E_UNSUPPORTED, "viking", false},
        {{.skip = "tokenizer.ggml.merges"}, RT_E_NOT_FOUND, "merges", false},
        {{.poisoned = "output_norm.weight", .poison = 1e30f * 1e30f},
         RT_E_NUMERIC,
         "output_norm.weight",
         true},
    };
    char *dir = u_dir(), *from = u_in(dir, "m.gguf"), *to = u_in(dir, "out");
    (void) state;

    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        write_tiny(&ROWS[i].t, from);
        U_FAILS(ROWS[i].code, ROWS[i].word, convert(from, to, RT_F32));
        assert_int_equal(dir_exists(to), ROWS[i].made);
        assert_int_equal(entries(to), 0);
    }
    remove(to);
    free(to);
    free(from);
    u_drop(dir);
}

static void no_folder_or_file(void **state)
{
    char *dir = u_dir(), *from = u_in(dir, "m.gguf"), *file = u_in(dir, "file");
    char *below = u_in(file, "out"), *none = u_in(dir, "none.gguf");
    (void) state;

    write_tiny(&(struct tiny){0}, from);
    put(dir, "file", "text");
    U_FAILS(RT_E_IO, "file", convert(from, file, RT_F32));
    U_FAILS(RT_E_NOT_FOUND, "file/out: cannot create", convert(from, below, RT_F32));
    U_FAILS(RT_E_NOT_FOUND, "none.gguf", convert(none, below, RT_F32));
    U_FAILS(RT_E_FORMAT, "file: no GGUF", convert(file, below, RT_F32));
    U_FAILS(RT_E_ARG, "dtype", convert(from, below, RT_F64));
    free(none);
    free(below);
    free(file);
    free(from);
    u_drop(dir);
}

// Where `text` begins in the bytes.
static char *find(const struct str *bytes, const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i + n <= bytes->len; i++)
        if (memcmp(bytes->data + i, text, n) == 0)
            return bytes->data + i;
    fail_msg("%s is not in the file", text);
    return NULL;
}

// More tokens than the embedding has rows: ids without a row.
static void more_tokens_than_rows(void **state)
{
    char *dir = u_dir(), *from = u_in(dir, "m.gguf"), *to = u_in(dir, "out");
    struct str bytes = {0};
    char *dim; // the second dimension, behind rank and the first
    (void) state;

    tiny_build(&(struct tiny){0}, &bytes);
    dim = find(&bytes, "token_embd.weight") + strlen("token_embd.weight") + 4 + 8;
    assert_int_equal(*dim, TINY_VOCAB);
    *dim = TINY_VOCAB - 1;
    U_OK(file_write(from, bytes.data, bytes.len));
    U_FAILS(RT_E_FORMAT, "7 tokens, token_embd.weight has 6 rows", convert(from, to, RT_F32));
    assert_false(dir_exists(to));
    str_free(&bytes);
    free(to);
    free(from);
    u_drop(dir);
}

// ---- damaged files ----

static void quiet(void *user, enum log_level level, const char *line)
{
    unsigned *n = user;
    (void) level;
    *n += strlen(line) > 0;
}

// Everything but the small files: no crash, and a message for each failure.
static enum rt_err convert_memory(const void *bytes, size_t size, const char *dir)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf g = {0};
    struct md_arch arch;
    struct str tokenizer = {0}, config = {0};
    struct fmt_st_writer *w = NULL;

    RT_TRY(fmt_gguf_open_memory(bytes, size, "m.gguf", &g));
    RT_TRY(md_gguf_arch(&g, &arch));
    RT_TRY(md_gguf_check_weights(&g, &arch));
    RT_TRY(txt_gguf_tokenizer(&g, NULL, &tokenizer));
    RT_TRY(txt_gguf_config(&g, &config));
    RT_TRY(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = dir}, &w));
    RT_TRY(md_gguf_weights(&g, &arch, FMT_F32, w));
done:
    fmt_st_writer_destroy(&w);
    str_free(&tokenizer);
    str_free(&config);
    fmt_gguf_close(&g);
    return err;
}

static void damaged(void **state)
{
    static const unsigned char FLIPS[] = {0x01, 0x80, 0xff};
    char *dir = u_dir();
    struct str bytes = {0};
    unsigned n = 0, good = 0, bad = 0;
    (void) state;

    tiny_build(&(struct tiny){0}, &bytes);
    log_set_sink(quiet, &n);
    for (size_t size = 0; size < bytes.len; size++) {
        n = 0;
        char *copy = malloc(size ? size : 1); // of this size, so that a read beyond it is seen
        assert_non_null(copy);
        memcpy(copy, bytes.data, size);
        assert_int_not_equal(convert_memory(copy, size, dir), RT_OK);
        assert_int_equal(n, 1);
        free(copy);
    }
    for (size_t at = 0; at < bytes.len; at++)
        for (size_t k = 0; k < COUNT_OF(FLIPS); k++) {
            n = 0;
            bytes.data[at] = (char) (bytes.data[at] ^ FLIPS[k]);
            const bool ok = convert_memory(bytes.data, bytes.len, dir) == RT_OK;
            assert_int_equal(n, !ok);
            good += ok;
            bad += !ok;
            bytes.data[at] = (char) (bytes.data[at] ^ FLIPS[k]);
        }
    log_set_sink(NULL, NULL);
    print_message("%u flipped bytes refused, %u harmless\n", bad, good);
    assert_int_equal(entries(dir), 0);
    str_free(&bytes);
    u_drop(dir);
}

// ---- the program ----

static int run(const char *dir, const char *args)
{
    struct str line = {0};
    U_OK(str_printf(&line, "cd '%s' && '%s' convert %s >/dev/null 2>&1", dir,
                    os_env("ANYDPO_PROGRAM"), args));
    const int status = system(line.data);
    str_free(&line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void program(void **state)
{
    static const struct {
        const char *args;
        int status;
    } ROWS[] = {
        {"--help", 0},
        {"", 2},
        {"m.gguf", 2},
        {"m.gguf out more", 2},
        {"m.gguf out --dtype int8", 2},
        {"m.gguf out --type float32", 2},
        {"none.gguf out", 1},
        {"m.gguf out --pre nothing", 1},
        {"m.gguf out --pre=starcoder --dtype float16", 0},
        {"--dtype=bfloat16 m.gguf out", 0},
    };
    char *dir = u_dir(), *from = u_in(dir, "m.gguf"), *to = u_in(dir, "out");
    (void) state;

    if (!os_env("ANYDPO_PROGRAM")) {
        print_message("ANYDPO_PROGRAM is not set: skipped\n");
        skip();
    }
    write_tiny(&(struct tiny){0}, from);
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const int status = run(dir, ROWS[i].args);
        if (status != ROWS[i].status)
            fail_msg("convert %s: expected exit status %d, found %d", ROWS[i].args, ROWS[i].status,
                     status);
    }
    assert_int_equal(entries(to), COUNT_OF(FILES));
    u_drop(to);
    free(from);
    u_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_folder),      cmocka_unit_test(nothing_half_written),
        cmocka_unit_test(no_folder_or_file), cmocka_unit_test(more_tokens_than_rows),
        cmocka_unit_test(damaged),           cmocka_unit_test(program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
