// A llama out of GGUF bytes made here: description, names, order of rows, and each refusal.
#include <math.h>

#include "src/format/json.h"
#include "src/model/family.h"
#include "src/model/gguf.h"
#include "tests/support/gguf_build.h"

static enum rt_err open_tiny(const struct tiny *t, struct str *bytes, struct fmt_gguf *g)
{
    tiny_build(t, bytes);
    return fmt_gguf_open_memory(bytes->data, bytes->len, "m.gguf", g);
}

static void same_arch(const struct md_arch *a, const struct md_arch *b)
{
    assert_string_equal(a->model_type, b->model_type);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->hidden, b->hidden);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->ffn, b->ffn);
    assert_int_equal(a->max_positions, b->max_positions);
    assert_true(f32_bits(a->norm_eps) == f32_bits(b->norm_eps));
    assert_true(fabs(a->rope.theta - b->rope.theta) == 0.0);
    assert_int_equal(a->rope.scaling, b->rope.scaling);
    assert_true(a->rope.scaling == MD_ROPE_DEFAULT || fabs(a->rope.factor - b->rope.factor) == 0.0);
    if (a->rope.scaling == MD_ROPE_LLAMA3) {
        assert_true(fabs(a->rope.low_freq_factor - b->rope.low_freq_factor) == 0.0);
        assert_true(fabs(a->rope.high_freq_factor - b->rope.high_freq_factor) == 0.0);
        assert_int_equal(a->rope.original_max_positions, b->rope.original_max_positions);
    }
    assert_int_equal(a->tied, b->tied);
    assert_int_equal(a->bos, b->bos);
    assert_int_equal(a->pad, b->pad);
    assert_int_equal(a->n_eos, b->n_eos);
    assert_memory_equal(a->eos, b->eos, a->n_eos * sizeof(*a->eos));
}

static struct md_arch good_arch(void)
{
    return (struct md_arch){.model_type = "llama",
                            .vocab = TINY_VOCAB,
                            .hidden = TINY_HIDDEN,
                            .layers = 1,
                            .heads = TINY_HEADS,
                            .kv_heads = TINY_KV,
                            .head_dim = TINY_HEAD,
                            .ffn = TINY_FFN,
                            .max_positions = 64,
                            .norm_eps = 1e-5f,
                            .rope = {.theta = 20000.0},
                            .tied = true,
                            .bos = 3,
                            .eos = {4},
                            .n_eos = 1,
                            .pad = 4};
}

// The description of a file is what we expect, and comes back from config.json.
static void check_arch(const struct tiny *t, const struct md_arch *want)
{
    struct str bytes = {0}, text = {0};
    struct fmt_gguf g;
    struct md_arch a, b;
    char *dir = u_dir(), *path = u_in(dir, "config.json");

    U_OK(open_tiny(t, &bytes, &g));
    U_OK(md_gguf_arch(&g, &a));
    same_arch(&a, want);
    U_OK(md_gguf_check_weights(&g, &a));
    U_OK(md_gguf_config(&a, FMT_BF16, &text));
    U_OK(file_write(path, text.data, text.len));
    U_OK(md_arch_read(dir, &b));
    same_arch(&b, want);
    fmt_gguf_close(&g);
    str_free(&bytes);
    str_free(&text);
    free(path);
    u_drop(dir);
}

static void description(void **state)
{
    struct md_arch want = good_arch();
    (void) state;

    check_arch(&(struct tiny){0}, &want);
    want.tied = false;
    check_arch(&(struct tiny){.untied = true}, &want);
    want = good_arch();
    want.eos[want.n_eos++] = 6;
    check_arch(&(struct tiny){.u32_key = "tokenizer.ggml.eot_token_id", .u32 = 6}, &want);
    want = good_arch(); // the same id twice is one
    check_arch(&(struct tiny){.u32_key = "tokenizer.ggml.eot_token_id", .u32 = 4}, &want);
    want.bos = -1;
    check_arch(&(struct tiny){.skip = "tokenizer.ggml.bos_token_id"}, &want);
    want = good_arch();
    want.rope.theta = 10000.0;
    check_arch(&(struct tiny){.skip = "llama.rope.freq_base"}, &want);
    want = good_arch();
    want.rope.scaling = MD_ROPE_LINEAR;
    want.rope.factor = 4.0;
    check_arch(&(struct tiny){.text_key = "llama.rope.scaling.type",
                              .text = "linear",
                              .f32_key = "llama.rope.scaling.factor",
                              .f32 = 4.0f},
               &want);
    check_arch(&(struct tiny){.f32_key = "llama.rope.scale_linear", .f32 = 4.0f}, &want);
    want = good_arch();
    check_arch(&(struct tiny){.text_key = "llama.rope.scaling.type", .text = "none"}, &want);
}

// The numbers of config.json are those that people write: 1e-05, not 9.999999747378752e-06.
static void config_text(void **state)
{
    static const char *const WORDS[] = {
        "\"architectures\": [\n    \"LlamaForCausalLM\"\n  ]",
        "\"bos_token_id\": 3",
        "\"eos_token_id\": 4",
        "\"hidden_act\": \"silu\"",
        "\"model_type\": \"llama\"",
        "\"pad_token_id\": null",
        "\"rms_norm_eps\": 1e-05",
        "\"rope_scaling\": null",
        "\"rope_theta\": 20000.0",
        "\"tie_word_embeddings\": true",
        "\"torch_dtype\": \"bfloat16\"",
        "\"vocab_size\": 7",
    };
    struct md_arch a = good_arch();
    struct str text = {0};
    (void) state;

    a.pad = -1;
    a.family = md_family_find("llama");
    U_OK(md_gguf_config(&a, FMT_BF16, &text));
    for (size_t i = 0; i < COUNT_OF(WORDS); i++)
        if (!strstr(text.data, WORDS[i]))
            fail_msg("config.json: expected %s, found\n%s", WORDS[i], text.data);
    str_clear(&text);
    U_OK(md_gguf_generation_config(&a, &text));
    assert_string_equal(text.data, "{\n  \"_from_model_config\": true,\n  \"bos_token_id\": 3,\n  "
                                   "\"eos_token_id\": 4,\n  \"pad_token_id\": null\n}");
    str_free(&text);
}

// What llama.cpp divides frequency j by, for these parameters (convert_hf_to_gguf.py, LlamaModel).
static void llama3_factors(float x[], double theta, double factor, double positions)
{
    const double pi = 3.14159265358979323846;
    for (int j = 0; j < TINY_HEAD / 2; j++) {
        const double wave = 2.0 * pi * pow(theta, 2.0 * j / TINY_HEAD);
        const double smooth = (positions / wave - 1.0) / 3.0;
        x[j] = (float) (wave < positions / 4.0 ? 1.0
                        : wave > positions     ? factor
                                               : 1.0 / ((1.0 - smooth) / factor + smooth));
    }
}

static void llama3(void **state)
{
    struct md_arch want = good_arch();
    float x[TINY_HEAD / 2];
    struct tiny t = {.f32_key = "llama.rope.freq_base",
                     .extra = "rope_freqs.weight",
                     .extra_n = TINY_HEAD / 2,
                     .extra_x = x};
    struct str bytes = {0};
    struct fmt_gguf g;
    struct md_arch a;
    (void) state;

    t.f32 = 2.5e10f; // the middle pair of a head turns once in 18370 positions: beyond 8192
    want.rope = (struct md_rope){.theta = 2.5e10,
                                 .scaling = MD_ROPE_LLAMA3,
                                 .factor = 32.0,
                                 .low_freq_factor = 1.0,
                                 .high_freq_factor = 4.0,
                                 .original_max_positions = 8192};
    llama3_factors(x, 2.5e10, 32.0, 8192.0);
    check_arch(&t, &want);
    t.f32 = 3e8f; // once in 4206: between 2048 and 8192
    want.rope.theta = 3e8;
    llama3_factors(x, 3e8, 32.0, 8192.0);
    assert_true(x[1] > 1.1f && x[1] < 31.0f);
    check_arch(&t, &want);

    llama3_factors(x, 3e8, 32.0, 16384.0); // not those of a published model
    U_OK(open_tiny(&t, &bytes, &g));
    U_FAILS(RT_E_UNSUPPORTED, "rope_freqs.weight", md_gguf_arch(&g, &a));
    fmt_gguf_close(&g);
    t.extra_n = 2;
    U_OK(open_tiny(&t, &bytes, &g));
    U_FAILS(RT_E_SHAPE, "rope_freqs.weight: expected shape (3)", md_gguf_arch(&g, &a));
    fmt_gguf_close(&g);
    t.extra_n = 3; // factors of 1 change nothing
    x[0] = x[1] = x[2] = 1.0f;
    want = good_arch();
    want.rope.theta = 3e8;
    check_arch(&t, &want);
    str_free(&bytes);
}

static void convert(const struct tiny *t, const char *dir, enum fmt_dtype dtype, struct fmt_st *st)
{
    struct str bytes = {0};
    struct fmt_gguf g;
    struct md_arch a;
    struct fmt_st_writer *w = NULL;

    U_OK(open_tiny(t, &bytes, &g));
    U_OK(md_gguf_arch(&g, &a));
    U_OK(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = dir}, &w));
    U_OK(md_gguf_weights(&g, &a, dtype, w));
    U_OK(fmt_st_writer_commit(w));
    fmt_st_writer_destroy(&w);
    fmt_gguf_close(&g);
    str_free(&bytes);
    U_OK(fmt_st_open(dir, st));
}

// A tensor of the folder: from which tensor of the file, and in which order its rows are (NULL: the
// same). Pair j of a head, rows 2j and 2j+1 in the file, belongs to rows j and j+3.
static const uint32_t HEAD_ROWS[] = {0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11};
static const struct {
    const char *name, *from;
    const uint32_t *rows;
} WANT[] = {
    {"model.embed_tokens.weight", "token_embd.weight", NULL},
    {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", NULL},
    {"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", HEAD_ROWS},
    {"model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", HEAD_ROWS},
    {"model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", NULL},
    {"model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight", NULL},
    {"model.layers.0.post_attention_layernorm.weight", "blk.0.ffn_norm.weight", NULL},
    {"model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight", NULL},
    {"model.layers.0.mlp.up_proj.weight", "blk.0.ffn_up.weight", NULL},
    {"model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight", NULL},
    {"model.norm.weight", "output_norm.weight", NULL},
    {"lm_head.weight", "output.weight", NULL},
};

static void weights(void **state)
{
    struct fmt_st st;
    char *dir = u_dir();
    float x[256];
    (void) state;

    convert(&(struct tiny){.untied = true}, dir, FMT_F32, &st);
    assert_int_equal(st.n, COUNT_OF(WANT));
    for (size_t i = 0; i < COUNT_OF(WANT); i++) {
        const struct fmt_tensor *t = fmt_st_find(&st, WANT[i].name);
        size_t from = 0;
        while (strcmp(TINY_TENSORS[from].name, WANT[i].from) != 0)
            from++;
        const uint32_t rows = TINY_TENSORS[from].rows, cols = TINY_TENSORS[from].cols;
        assert_non_null(t);
        assert_int_equal(t->dtype, FMT_F32);
        assert_int_equal(t->rank, rows ? 2 : 1);
        assert_int_equal(t->shape[0], rows ? rows : cols);
        U_OK(fmt_tensor_to_f32(t, 0, t->count, x));
        for (uint32_t k = 0; k < t->count; k++) {
            const uint32_t row = WANT[i].rows ? WANT[i].rows[k / cols] : k / cols;
            assert_int_equal((int) x[k], (int) tiny_value(from, row * cols + k % cols));
        }
    }
    fmt_st_close(&st);
    u_drop(dir);
}

// bf16 has steps of 4 here.
static void rounding(void **state)
{
    struct fmt_st st;
    char *dir = u_dir();
    float x[TINY_HIDDEN];
    (void) state;

    convert(&(struct tiny){0}, dir, FMT_BF16, &st);
    const struct fmt_tensor *t = fmt_st_find(&st, "model.layers.0.input_layernorm.weight");
    assert_non_null(t);
    assert_null(fmt_st_find(&st, "lm_head.weight"));
    assert_int_equal(t->dtype, FMT_BF16);
    U_OK(fmt_tensor_to_f32(t, 0, TINY_HIDDEN, x));
    assert_int_equal((int) x[1], 1000);
    assert_int_equal((int) x[2], 1000); // a tie, to the even side
    assert_int_equal((int) x[6], 1008); // a tie, to the even side
    fmt_st_close(&st);
    u_drop(dir);
}

static const struct {
    struct tiny t;
    enum rt_err code;
    const char *word;
} REFUSED[] = {
    {{.skip = "general.architecture"}, RT_E_NOT_FOUND, "general.architecture"},
    {{.skip = "llama.block_count"}, RT_E_NOT_FOUND, "llama.block_count"},
    {{.skip = "llama.context_length"}, RT_E_NOT_FOUND, "llama.context_length"},
    {{.skip = "llama.embedding_length"}, RT_E_NOT_FOUND, "llama.embedding_length"},
    {{.skip = "llama.feed_forward_length"}, RT_E_NOT_FOUND, "llama.feed_forward_length"},
    {{.skip = "llama.attention.head_count"}, RT_E_NOT_FOUND, "llama.attention.head_count"},
    {{.skip = "llama.attention.layer_norm_rms_epsilon"}, RT_E_NOT_FOUND, "layer_norm_rms_epsilon"},
    {{.skip = "token_embd.weight"}, RT_E_NOT_FOUND, "token_embd.weight"},
    {{.skip = "blk.0.attn_q.weight"}, RT_E_NOT_FOUND, "blk.0.attn_q.weight is missing"},
    {{.skip = "output_norm.weight"}, RT_E_NOT_FOUND, "output_norm.weight is missing"},
    {{.u32_key = "llama.block_count", .u32 = 2}, RT_E_NOT_FOUND, "blk.1.attn_norm.weight"},
    {{.text_key = "general.architecture", .text = "gpt9"}, RT_E_UNSUPPORTED, "\"gpt9\""},
    {{.text_key = "general.architecture", .text = ""}, RT_E_UNSUPPORTED, "general.architecture"},
    {{.u32_key = "general.architecture", .u32 = 1, .skip = "general.architecture"},
     RT_E_FORMAT,
     "general.architecture"},
    {{.misshapen = "blk.0.ffn_up.weight"}, RT_E_SHAPE, "expected shape (10, 8) by the metadata, f"},
    {{.misshapen = "blk.0.attn_norm.weight"}, RT_E_SHAPE, "expected shape (8) by the metadata, fo"},
    {{.u32_key = "llama.embedding_length", .u32 = 10}, RT_E_SHAPE, "token_embd.weight: expected"},
    {{.u32_key = "llama.feed_forward_length", .u32 = 12},
     RT_E_SHAPE,
     "ffn_gate.weight: expected sha"},
    {{.u32_key = "llama.embedding_length", .u32 = 7}, RT_E_FORMAT, "hidden_size: expected an even"},
    {{.u32_key = "llama.block_count", .u32 = 0}, RT_E_FORMAT, "num_hidden_layers"},
    {{.u32_key = "llama.block_count", .u32 = UINT32_MAX}, RT_E_FORMAT, "num_hidden_layers"},
    {{.u32_key = "llama.attention.head_count", .u32 = 0}, RT_E_FORMAT, "num_attention_heads"},
    {{.u32_key = "llama.attention.head_count_kv", .u32 = 0}, RT_E_FORMAT, "num_key_value_heads"},
    {{.u32_key = "llama.attention.head_count_kv", .u32 = 3}, RT_E_FORMAT, "num_attention_heads"},
    {{.u32_key = "llama.attention.key_length", .u32 = 65536}, RT_E_FORMAT, "head_dim"},
    {{.u32_key = "llama.attention.value_length", .u32 = 4}, RT_E_UNSUPPORTED, "values of 4"},
    {{.u32_key = "llama.rope.dimension_count", .u32 = 4}, RT_E_UNSUPPORTED, "rotation of 4"},
    {{.u32_key = "llama.vocab_size", .u32 = 8}, RT_E_FORMAT, "llama.vocab_size: expected 7"},
    {{.u32_key = "llama.expert_count", .u32 = 8}, RT_E_NOT_FOUND, "llama.expert_used_count"},
    {{.u32_key = "llama.expert_used_count", .u32 = 2}, RT_E_UNSUPPORTED, "expert_used_count"},
    {{.f32_key = "llama.attention.scale", .f32 = 0.5f}, RT_E_UNSUPPORTED, "llama.attention.scale"},
    {{.text_key = "llama.logit_scale", .text = "1"}, RT_E_UNSUPPORTED, "llama.logit_scale"},
    {{.f32_key = "llama.rope.freq_base", .f32 = 0.0f}, RT_E_FORMAT, "rope.freq_base"},
    {{.f32_key = "llama.rope.freq_base", .f32 = NAN}, RT_E_FORMAT, "rope.freq_base"},
    {{.f32_key = "llama.attention.layer_norm_rms_epsilon", .f32 = -1.0f}, RT_E_FORMAT, "epsilon"},
    {{.f32_key = "llama.rope.scale_linear", .f32 = 0.5f}, RT_E_FORMAT, "rope scaling factor"},
    {{.f32_key = "llama.rope.scale_linear", .f32 = INFINITY}, RT_E_FORMAT, "rope scaling factor"},
    {{.text_key = "llama.rope.scaling.type", .text = "yarn"}, RT_E_UNSUPPORTED, "\"yarn\""},
    {{.text_key = "llama.rope.scaling.type", .text = "linear"}, RT_E_NOT_FOUND, "scaling.factor"},
    {{.u32_key = "tokenizer.ggml.eos_token_id", .u32 = 7}, RT_E_FORMAT, "expected an id below 7"},
    {{.extra = "blk.0.attn_q.bias", .extra_n = 1, .extra_x = &(const float){1.0f}},
     RT_E_UNSUPPORTED,
     "a bias of blk.0.attn_q and none of blk.0.attn_output"},
    {{.extra = "blk.0.ffn_up.bias", .extra_n = TINY_FFN, .extra_x = (const float[TINY_FFN]){0.0f}},
     RT_E_NOT_FOUND,
     "blk.0.ffn_gate.bias is missing"},
    {{.extra = "blk.0.attn_q_norm.weight", .extra_n = 1, .extra_x = &(const float){1.0f}},
     RT_E_UNSUPPORTED,
     "blk.0.attn_q_norm.weight: no place"},
    {{.extra = "blk.1.attn_norm.weight", .extra_n = 1, .extra_x = &(const float){1.0f}},
     RT_E_UNSUPPORTED,
     "blk.1.attn_norm.weight: no place"},
};

static enum rt_err describe(const struct fmt_gguf *g)
{
    struct md_arch a;
    const enum rt_err err = md_gguf_arch(g, &a);
    return err == RT_OK ? md_gguf_check_weights(g, &a) : err;
}

static void refused(void **state)
{
    struct str bytes = {0};
    struct fmt_gguf g;
    (void) state;

    for (size_t i = 0; i < COUNT_OF(REFUSED); i++) {
        U_OK(open_tiny(&REFUSED[i].t, &bytes, &g));
        U_FAILS(REFUSED[i].code, REFUSED[i].word, describe(&g));
        fmt_gguf_close(&g);
    }
    U_OK(open_tiny(&(struct tiny){0}, &bytes, &g));
    for (uint32_t i = 0; i < g.n_tensors; i++)
        if (strcmp(g.tensors[i].name, "blk.0.attn_v.weight") == 0)
            g.tensors[i].kind = 35;
    U_FAILS(RT_E_UNSUPPORTED, "block format TQ2_0", describe(&g));
    fmt_gguf_close(&g);
    str_free(&bytes);
}

// Values that are no numbers, or are none in the type of the folder.
static void not_finite(void **state)
{
    static const struct {
        float value;
        enum fmt_dtype dtype;
        enum rt_err want;
    } ROWS[] = {
        {NAN, FMT_F32, RT_E_NUMERIC},
        {-INFINITY, FMT_F32, RT_E_NUMERIC},
        {3e38f, FMT_F32, RT_OK},
        {65519.0f, FMT_F16, RT_OK},
        {-65520.0f, FMT_F16, RT_E_NUMERIC},
        {65520.0f, FMT_BF16, RT_OK},
        {3.4e38f, FMT_BF16, RT_E_NUMERIC},
    };
    char *dir = u_dir();
    struct str bytes = {0};
    struct fmt_gguf g;
    struct md_arch a;
    struct u_log log;
    (void) state;

    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct fmt_st_writer *w = NULL;
        U_OK(open_tiny(&(struct tiny){.poisoned = "blk.0.attn_k.weight", .poison = ROWS[i].value},
                       &bytes, &g));
        U_OK(md_gguf_arch(&g, &a));
        U_OK(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = dir}, &w));
        u_listen(&log);
        assert_int_equal(md_gguf_weights(&g, &a, ROWS[i].dtype, w), ROWS[i].want);
        u_listen(NULL);
        assert_true(ROWS[i].want == RT_OK || strstr(log.text, "blk.0.attn_k.weight"));
        fmt_st_writer_destroy(&w);
        fmt_gguf_close(&g);
    }
    str_free(&bytes);
    u_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(description), cmocka_unit_test(config_text), cmocka_unit_test(llama3),
        cmocka_unit_test(weights),     cmocka_unit_test(rounding),    cmocka_unit_test(refused),
        cmocka_unit_test(not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
