// `anydpo convert` from a folder to a GGUF file and back: the goldens' tensors to the bit.
#include <math.h>

#include "src/api/convert.h"
#include "src/api/export.h"
#include "src/format/safetensors.h"
#include "src/model/gguf.h"
#include "src/model/gguf_out.h"
#include "tests/format/util.h"
#include "tests/support/golden.h"

static char *golden(const char *name)
{
    char *copy = NULL;
    const char *path = golden_path(name);
    if (path)
        U_OK(str_dup(path, &copy));
    else
        print_message("no goldens (ANYDPO_GOLDENS): %s is left out\n", name);
    return copy;
}

static void same_tensors(const char *a, const char *b)
{
    struct fmt_st x, y;

    U_OK(fmt_st_open(a, &x));
    U_OK(fmt_st_open(b, &y));
    for (uint32_t i = 0; i < y.n; i++) {
        const struct fmt_tensor *t = fmt_st_find(&x, y.tensors[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, y.tensors[i].dtype);
        assert_int_equal(t->bytes, y.tensors[i].bytes);
        assert_memory_equal(t->data, y.tensors[i].data, t->bytes);
    }
    assert_in_range(x.n, y.n, y.n + 1); // the head of a tied model may be there
    fmt_st_close(&x);
    fmt_st_close(&y);
}

static void same_arch(const struct md_arch *a, const struct md_arch *b)
{
    const bool mistral = strcmp(a->model_type, "mistral") == 0; // is a llama to llama.cpp
    assert_string_equal(mistral ? "llama" : a->model_type, b->model_type);
    assert_true(a->vocab == b->vocab && a->hidden == b->hidden && a->layers == b->layers);
    assert_true(a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_dim == b->head_dim);
    assert_true(a->ffn == b->ffn && a->max_positions == b->max_positions && a->tied == b->tied);
    assert_true(a->qkv_bias == b->qkv_bias && a->o_bias == b->o_bias && a->mlp_bias == b->mlp_bias);
    assert_true(a->norm_eps == b->norm_eps && a->rope.theta == b->rope.theta);
    assert_true(a->rope.scaling == b->rope.scaling);
    for (uint32_t l = 0; l < a->layers; l++)
        assert_true(((a->layer[l] ^ b->layer[l]) & MD_LAYER_NO_ROPE) == 0);
    assert_true(fabs(a->rope.factor - b->rope.factor) < 1e-6 * a->rope.factor + 1e-9);
}

// Weights and description alone: these tokenizers have no name in GGUF.
static void there_and_back(const char *folder, const char *dir, enum fmt_dtype dtype, uint32_t kind)
{
    char *path = u_in(dir, "m.gguf");
    struct md_arch a, b;
    struct fmt_st st;
    struct fmt_gguf g;
    struct fmt_gguf_writer *w;
    struct fmt_st_writer *back;

    U_OK(md_arch_read(folder, &a));
    U_OK(fmt_st_open(folder, &st));
    const struct md_gguf_out o = {folder, &a, kind};
    U_OK(fmt_gguf_writer_create(path, &w));
    U_OK(md_gguf_put_keys(&o, w));
    U_OK(md_gguf_put_weights(&o, &st, w));
    U_OK(fmt_gguf_writer_commit(w));
    fmt_gguf_writer_destroy(&w);
    fmt_st_close(&st);
    U_OK(fmt_gguf_open(path, &g));
    U_OK(md_gguf_arch(&g, &b));
    same_arch(&a, &b);
    U_OK(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = dir}, &back));
    U_OK(md_gguf_weights(&g, &b, dtype, back));
    U_OK(fmt_st_writer_commit(back));
    fmt_st_writer_destroy(&back);
    fmt_gguf_close(&g);
    same_tensors(folder, dir);
    free(path);
}

static void families(void **state)
{
    static const struct {
        const char *name;
        enum fmt_dtype dtype;
        uint32_t kind;
    } ROWS[] = {
        {"models/llama", FMT_F32, FMT_QUANT_F32},
        {"models/llama3", FMT_F32, FMT_QUANT_F32},
        {"models/llama_sharded", FMT_F32, FMT_QUANT_F32},
        {"models/qwen2", FMT_F32, FMT_QUANT_F32},
        {"models/mistral", FMT_F32, FMT_QUANT_F32},
        {"families/qwen3", FMT_F32, FMT_QUANT_F32},
        {"families/llama_linear", FMT_F32, FMT_QUANT_F32},
        {"models/llama_bf16", FMT_BF16, FMT_QUANT_BF16},
        {"models/llama_fp16", FMT_F16, FMT_QUANT_F16},
    };
    char *dir = u_dir();
    (void) state;

    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        char *folder = golden(ROWS[i].name);
        if (folder)
            there_and_back(folder, dir, ROWS[i].dtype, ROWS[i].kind);
        free(folder);
    }
    u_drop(dir);
}

// A llama with biases, whose golden has another activation: those of q and k are reordered too.
static void biases(void **state)
{
    char *dir = u_dir(), *back = u_dir(), *folder = golden("families/llama_bias"),
         *from = u_in(folder, "config.json"), *to = u_in(dir, "config.json"),
         *st = u_in(folder, "model.safetensors"), *st_to = u_in(dir, "model.safetensors");
    struct str text = {0};
    (void) state;

    U_OK(file_read(from, &text));
    char *act = strstr(text.data, "\"gelu\"");
    assert_non_null(act);
    memcpy(act, "\"silu\"", 6);
    U_OK(file_write(to, text.data, text.len));
    U_OK(file_copy(st, st_to));
    there_and_back(dir, back, FMT_F32, FMT_QUANT_F32);
    str_free(&text);
    free(from);
    free(to);
    free(st);
    free(st_to);
    free(folder);
    u_drop(dir);
    u_drop(back);
}

// SmolLM3 rotates in three layers of four, and the file has no key for it.
static void no_rope(void **state)
{
    char *dir = u_dir(), *folder = golden("families/smollm3"), *path = u_in(dir, "m.gguf");
    const uint64_t shape[] = {38, 1};
    const float zeros[38] = {0};
    struct md_arch a, b;
    struct fmt_gguf g;
    struct fmt_gguf_writer *w;
    (void) state;

    U_OK(md_arch_read(folder, &a));
    a.layers = 9;
    for (uint32_t l = 0; l < a.layers; l++)
        a.layer[l] = l % 4 == 3 ? MD_LAYER_NO_ROPE : 0;
    U_OK(fmt_gguf_writer_create(path, &w));
    U_OK(md_gguf_put_keys(&(struct md_gguf_out){folder, &a, FMT_QUANT_F32}, w));
    U_OK(fmt_gguf_writer_add(w, "token_embd.weight", FMT_QUANT_F32, 2, shape));
    U_OK(fmt_gguf_writer_begin(w));
    U_OK(fmt_gguf_writer_put_f32(w, zeros, 38));
    U_OK(fmt_gguf_writer_commit(w));
    fmt_gguf_writer_destroy(&w);
    U_OK(fmt_gguf_open(path, &g));
    U_OK(md_gguf_arch(&g, &b));
    same_arch(&a, &b);
    fmt_gguf_close(&g);
    free(folder);
    free(path);
    u_drop(dir);
}

// The whole way, by the type that the weights have.
static void whole(void **state)
{
    char *dir = u_dir(), *to = u_in(dir, "m.gguf"), *back = u_in(dir, "back"),
         *folder = golden("models/llama_bf16");
    struct api_exported did;
    struct api_converted undone;
    (void) state;

    if (folder) {
        U_OK(api_export(&(struct api_export_args){.from = folder, .to = to}, &did));
        assert_string_equal(did.type, "bf16");
        assert_int_equal(did.tensors, 20);
        U_OK(api_convert(&(struct api_convert_args){.from = to, .to = back, .dtype = RT_BF16},
                         &undone));
        assert_int_equal(undone.parameters, did.parameters);
        same_tensors(folder, back);
        U_FAILS(RT_E_USAGE, "q9_0",
                api_export(&(struct api_export_args){folder, to, "q9_0"}, &did));
        u_drop(back);
    } else {
        free(back);
    }
    free(folder);
    free(to);
    u_drop(dir);
}

// A failure leaves the file that was there.
static void refused(void **state)
{
    static const struct {
        const char *name;
        enum rt_err code;
        const char *word;
    } ROWS[] = {
        {"models/gemma2", RT_E_UNSUPPORTED, "model_type gemma2 cannot be written"},
        {"models/qwen2", RT_E_UNSUPPORTED, "pre_tokenizer"},
        {"families/gemma2", RT_E_UNSUPPORTED, "model_type gemma2 cannot be written"},
        {"families/llama_bias", RT_E_UNSUPPORTED, "an activation other than silu"},
        {"families/smollm3", RT_E_UNSUPPORTED, "a layer with another rotation, or none,"},
        {"families/llama_yarn", RT_E_UNSUPPORTED, "rope scaling of the kinds yarn and longrope"},
    };
    char *dir = u_dir(), *to = u_in(dir, "m.gguf");
    struct api_exported did;
    struct str text = {0};
    (void) state;

    U_OK(file_write(to, "before", 6));
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        char *folder = golden(ROWS[i].name);
        if (folder)
            U_FAILS(ROWS[i].code, ROWS[i].word,
                    api_export(&(struct api_export_args){folder, to, NULL}, &did));
        free(folder);
    }
    U_OK(file_read(to, &text));
    assert_string_equal(text.data, "before");
    str_clear(&text);
    char *adapter = u_in(dir, "adapter_config.json");
    U_OK(file_write(adapter, "{}", 2));
    U_FAILS(RT_E_UNSUPPORTED, "merge it into its base first",
            api_export(&(struct api_export_args){dir, to, NULL}, &did));
    free(adapter);
    str_free(&text);
    free(to);
    u_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families), cmocka_unit_test(biases),  cmocka_unit_test(no_rope),
        cmocka_unit_test(whole),    cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
