// `anydpo convert` from a folder to a GGUF file and back: the goldens' tensors to the bit.
#include <math.h>

#include "src/api/convert.h"
#include "src/api/export.h"
#include "src/base/half.h"
#include "src/format/safetensors.h"
#include "src/model/family.h"
#include "src/model/gguf.h"
#include "src/model/gguf_names.h"
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

// Equal to the bit, or a norm within `slack`.
static void same_values(const struct fmt_tensor *a, const struct fmt_tensor *b, double slack)
{
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->bytes, b->bytes);
    if (slack <= 0.0 || !strstr(a->name, "norm.weight")) {
        assert_memory_equal(a->data, b->data, a->bytes);
        return;
    }
    for (uint64_t i = 0; i < a->count; i++) {
        float x, y;
        U_OK(fmt_tensor_to_f32(a, i, 1, &x));
        U_OK(fmt_tensor_to_f32(b, i, 1, &y));
        assert_true(fabs((double) x - (double) y) <= slack);
    }
}

static void same_tensors(const char *a, const char *b, double slack)
{
    struct fmt_st x, y;

    U_OK(fmt_st_open(a, &x));
    U_OK(fmt_st_open(b, &y));
    for (uint32_t i = 0; i < y.n; i++) {
        const struct fmt_tensor *t = fmt_st_find(&x, y.tensors[i].name);
        assert_non_null(t);
        assert_int_equal(t->rank, y.tensors[i].rank);
        assert_int_equal(t->shape[0], y.tensors[i].shape[0]);
        same_values(t, &y.tensors[i], slack);
    }
    assert_in_range(x.n, y.n, y.n + 1); // the head of a tied model may be there
    fmt_st_close(&x);
    fmt_st_close(&y);
}

static void same_numbers(const double *x, const double *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= 1e-6 * fabs(x[i])))
            fail_msg("number %zu: %.9g, expected %.9g", i, y[i], x[i]);
}

static void same_rope(const struct md_rope *a, const struct md_rope *b, uint32_t pairs)
{
    const double x[] = {a->theta, a->factor, a->attention_factor},
                 y[] = {b->theta, b->factor, b->attention_factor};

    assert_int_equal(a->scaling, b->scaling);
    same_numbers(x, y, COUNT_OF(x));
    if (a->scaling == MD_ROPE_LLAMA3 || a->scaling == MD_ROPE_LONGROPE)
        assert_int_equal(a->original_max_positions, b->original_max_positions);
    if (a->scaling != MD_ROPE_LONGROPE)
        return;
    same_numbers(a->short_factor, b->short_factor, pairs);
    same_numbers(a->long_factor, b->long_factor, pairs);
}

static void same_arch(const struct md_arch *a, const struct md_arch *b)
{
    const bool mistral = strcmp(a->model_type, "mistral") == 0; // is a llama to llama.cpp
    const struct md_gguf_family *f;
    const double x[] = {a->norm_eps,    a->embed_scale,  a->attn_scale,   a->residual_scale,
                        a->logit_scale, a->attn_softcap, a->logit_softcap},
                 y[] = {b->norm_eps,    b->embed_scale,  b->attn_scale,   b->residual_scale,
                        b->logit_scale, b->attn_softcap, b->logit_softcap};

    U_OK(md_gguf_family_of("a", a, &f));
    assert_string_equal(mistral ? "llama" : a->model_type, b->model_type);
    assert_true(a->vocab == b->vocab && a->hidden == b->hidden && a->layers == b->layers);
    assert_true(a->heads == b->heads && a->kv_heads == b->kv_heads && a->head_dim == b->head_dim);
    assert_true(a->ffn == b->ffn && a->max_positions == b->max_positions && a->tied == b->tied);
    assert_true(a->qkv_bias == b->qkv_bias && a->o_bias == b->o_bias && a->mlp_bias == b->mlp_bias);
    assert_true(a->rot_dim == b->rot_dim && a->act == b->act);
    assert_true(a->experts == b->experts && a->top_k == b->top_k);
    assert_true(a->expert_ffn == b->expert_ffn && a->top_k_norm == b->top_k_norm);
    same_numbers(x, y, COUNT_OF(x));
    if (!a->family->learned_positions)
        same_rope(&a->rope, &b->rope, a->rot_dim / 2);
    if (f->takes & MD_GGUF_LOCAL_ROPE)
        same_rope(&a->local_rope, &b->local_rope, a->rot_dim / 2);
    if (f->takes & MD_GGUF_WINDOW)
        assert_int_equal(a->window, b->window);
    const uint8_t mask = f->takes & MD_GGUF_WINDOW ? UINT8_MAX : (uint8_t) ~MD_LAYER_WINDOW;
    for (uint32_t l = 0; l < a->layers; l++)
        assert_true(((a->layer[l] ^ b->layer[l]) & mask) == 0);
}

// The description comes back out of the config.json that is made of it.
static void check_config(const char *dir, const struct md_arch *want)
{
    char *path = u_in(dir, "config.json");
    struct str text = {0};
    struct md_arch a;

    U_OK(md_gguf_config(want, FMT_F32, &text));
    U_OK(file_write(path, text.data, text.len));
    U_OK(md_arch_read(dir, &a));
    same_arch(want, &a);
    str_free(&text);
    free(path);
}

// Element `at` of a tensor of the folder, and `to` of one of the file, which is by `more` larger.
static void same_value(const char *folder, const char *from, uint64_t at, const struct fmt_gguf *g,
                       const char *name, uint64_t to, float more)
{
    const struct fmt_gguf_tensor *u = fmt_gguf_tensor(g, name);
    const struct fmt_tensor *t;
    struct fmt_st st;
    float x, y;

    assert_non_null(u);
    U_OK(fmt_st_open(folder, &st));
    U_OK(fmt_st_get(&st, from, &t));
    U_OK(fmt_tensor_to_f32(t, at, 1, &x));
    U_OK(fmt_gguf_to_f32(u, to, 1, &y));
    assert_true(f32_bits(x + more) == f32_bits(y));
    fmt_st_close(&st);
}

// What is done to weights on the way there, which the way back undoes.
static void check_file(const char *folder, const struct fmt_gguf *g, const struct md_arch *a)
{
    if (a->family->norm_offset)
        same_value(folder, "model.norm.weight", 3, g, "output_norm.weight", 3, 1.0f);
    if (a->family->transposed)
        same_value(folder, "transformer.h.0.mlp.c_fc.weight", 2 * a->ffn + 1, g,
                   "blk.0.ffn_up.weight", a->hidden + 2, 0.0f);
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
    check_file(folder, &g, &a);
    check_config(dir, &b);
    U_OK(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = dir}, &back));
    U_OK(md_gguf_weights(&g, &b, dtype, back));
    U_OK(fmt_st_writer_commit(back));
    fmt_st_writer_destroy(&back);
    fmt_gguf_close(&g);
    // (w + 1) - 1 in f32: a rounding of a number below 2.
    same_tensors(folder, dir, a.family->norm_offset ? 0x1p-24 : 0.0);
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
        {"families/phi3_short", FMT_F32, FMT_QUANT_F32},
        {"families/phi3_partial", FMT_F32, FMT_QUANT_F32},
        {"families/olmo2", FMT_F32, FMT_QUANT_F32},
        {"families/granite", FMT_F32, FMT_QUANT_F32},
        {"families/gpt2", FMT_F32, FMT_QUANT_F32},
        {"families/cohere2", FMT_F32, FMT_QUANT_F32},
        {"models/gemma", FMT_F32, FMT_QUANT_F32},
        {"models/phi3", FMT_F32, FMT_QUANT_F32},
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

// Goldens with one word of their config.json changed to what GGUF has a word for: an activation; an
// attention scale that is not of the head's size. A llama's biases of q and k are reordered too.
static void changed(void **state)
{
    static const struct {
        const char *name, *from, *to;
    } ROWS[] = {
        {"families/llama_bias", "\"gelu\"", "\"silu\""},
        {"families/gemma2", "\"query_pre_attn_scalar\": 12", "\"query_pre_attn_scalar\": 10"},
        {"families/gemma3_text", "\"query_pre_attn_scalar\": 12", "\"query_pre_attn_scalar\": 8 "},
    };
    (void) state;

    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        char *dir = u_dir(), *back = u_dir(), *folder = golden(ROWS[i].name),
             *from = u_in(folder, "config.json"), *to = u_in(dir, "config.json"),
             *st = u_in(folder, "model.safetensors"), *st_to = u_in(dir, "model.safetensors");
        struct str text = {0};

        U_OK(file_read(from, &text));
        char *word = strstr(text.data, ROWS[i].from);
        assert_non_null(word);
        memcpy(word, ROWS[i].to, strlen(ROWS[i].to));
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
}

// A folder of a description, whose weights are all different.
static void make_folder(const char *dir, const char *config)
{
    char *path = u_in(dir, "config.json");
    struct fmt_st_writer *w;
    struct md_params params;
    struct md_arch a;
    float next = 0.0f;

    U_OK(file_write(path, config, strlen(config)));
    U_OK(md_arch_read(dir, &a));
    U_OK(md_params_make(&a, (struct md_room){UINT64_MAX, UINT64_MAX}, &params));
    U_OK(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = dir}, &w));
    for (uint32_t i = 0; i < params.n; i++) {
        const struct md_param *p = &params.all[i];
        const uint64_t shape[2] = {p->rank == 2 ? p->rows : p->cols, p->cols};
        U_OK(fmt_st_writer_add(w, p->name, FMT_F32, p->rank, shape));
    }
    U_OK(fmt_st_writer_begin(w));
    for (uint32_t i = 0; i < params.n; i++)
        for (uint64_t k = 0; k < (uint64_t) params.all[i].rows * params.all[i].cols; k++) {
            next += 0.125f;
            U_OK(fmt_st_writer_put_f32(w, &next, 1));
        }
    U_OK(fmt_st_writer_commit(w));
    fmt_st_writer_destroy(&w);
    md_params_free(&params);
    free(path);
}

#define SIZES                                                                                      \
    "\"vocab_size\": 10, \"hidden_size\": 16, \"intermediate_size\": 12, "                         \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "           \
    "\"max_position_embeddings\": 64, \"num_experts_per_tok\": 2, "
#define QWEN                                                                                       \
    "{\"model_type\": \"qwen3_moe\", " SIZES "\"num_experts\": 5, \"moe_intermediate_size\": 6, "  \
    "\"head_dim\": 8, "

// Experts lie in one tensor; of Qwen's only those that every layer has, with weights that sum to 1.
static void experts(void **state)
{
    char *dir = u_dir(), *back = u_dir(), *path = u_in(dir, "none.gguf");
    struct fmt_gguf_writer *w;
    struct fmt_gguf g;
    struct md_arch a;
    (void) state;

    make_folder(dir, "{\"model_type\": \"mixtral\", " SIZES "\"num_local_experts\": 3}");
    there_and_back(dir, back, FMT_F32, FMT_QUANT_F32);
    char *made = u_in(back, "m.gguf");
    U_OK(fmt_gguf_open(made, &g));
    const struct fmt_gguf_tensor *t = fmt_gguf_tensor(&g, "blk.1.ffn_down_exps.weight");
    assert_true(t && t->rank == 3 && t->shape[0] == 3 && t->shape[1] == 16 && t->shape[2] == 12);
    same_value(dir, "model.layers.1.block_sparse_moe.experts.2.w2.weight", 17, &g,
               "blk.1.ffn_down_exps.weight", 2 * 16 * 12 + 17, 0.0f);
    fmt_gguf_close(&g);
    free(made);
    u_drop(dir);
    dir = u_dir();
    make_folder(dir, QWEN "\"norm_topk_prob\": true}");
    there_and_back(dir, back, FMT_F32, FMT_QUANT_F32);
    make_folder(dir, QWEN "\"norm_topk_prob\": false}");
    U_OK(md_arch_read(dir, &a));
    U_OK(fmt_gguf_writer_create(path, &w));
    const struct md_gguf_out o = {dir, &a, FMT_QUANT_F32};
    U_FAILS(RT_E_UNSUPPORTED, "do not sum to 1", md_gguf_put_keys(&o, w));
    make_folder(dir, QWEN "\"norm_topk_prob\": true, \"mlp_only_layers\": [0]}");
    U_OK(md_arch_read(dir, &a));
    U_FAILS(RT_E_UNSUPPORTED, "without experts", md_gguf_put_keys(&o, w));
    fmt_gguf_writer_destroy(&w);
    free(path);
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
        same_tensors(folder, back, 0.0);
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
        {"models/qwen2", RT_E_UNSUPPORTED, "pre_tokenizer"},
        {"families/gemma2", RT_E_UNSUPPORTED, "a scale or cap"},
        {"families/cohere", RT_E_UNSUPPORTED, "a bias behind attention"},
        {"families/llama_bias", RT_E_UNSUPPORTED, "an activation other than"},
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
        cmocka_unit_test(families), cmocka_unit_test(changed), cmocka_unit_test(no_rope),
        cmocka_unit_test(whole),    cmocka_unit_test(refused), cmocka_unit_test(experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
