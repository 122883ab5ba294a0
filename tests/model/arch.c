// Descriptions out of config.json: transformers 4 spells what 5 spells otherwise, and each refusal.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/model/params.h"
#include "tests/format/util.h"

static enum rt_err read_text(const char *text, struct md_arch *out)
{
    char *dir = u_dir(), *path = u_in(dir, "config.json");
    U_OK(file_write(path, text, strlen(text)));
    const enum rt_err err = md_arch_read(dir, out);
    free(path);
    u_drop(dir);
    return err;
}

static void same_rope(const struct md_rope *a, const struct md_rope *b, uint32_t rot_dim)
{
    double x[MD_MAX_HEAD_DIM / 2], y[MD_MAX_HEAD_DIM / 2];
    for (int is_long = 0; is_long < 2; is_long++) {
        md_rope_frequencies(a, rot_dim, is_long, x);
        md_rope_frequencies(b, rot_dim, is_long, y);
        assert_memory_equal(x, y, rot_dim / 2 * sizeof(*x));
    }
    assert_int_equal(a->scaling, b->scaling);
    assert_int_equal(a->original_max_positions, b->original_max_positions);
    assert_true(fabs(a->attention_factor - b->attention_factor) < 1e-12);
}

static void same(const struct md_arch *a, const struct md_arch *b)
{
    assert_string_equal(a->model_type, b->model_type);
    assert_ptr_equal(a->family, b->family);
    const uint32_t x[] = {a->vocab,    a->hidden, a->layers,        a->heads,   a->kv_heads,
                          a->head_dim, a->ffn,    a->max_positions, a->rot_dim, a->window,
                          a->tied,     a->act,    a->qkv_bias,      a->o_bias,  a->mlp_bias};
    const uint32_t y[] = {b->vocab,    b->hidden, b->layers,        b->heads,   b->kv_heads,
                          b->head_dim, b->ffn,    b->max_positions, b->rot_dim, b->window,
                          b->tied,     b->act,    b->qkv_bias,      b->o_bias,  b->mlp_bias};
    assert_memory_equal(x, y, sizeof(x));
    const float s[] = {a->norm_eps,    a->embed_scale,  a->attn_scale,   a->residual_scale,
                       a->logit_scale, a->attn_softcap, a->logit_softcap};
    const float t[] = {b->norm_eps,    b->embed_scale,  b->attn_scale,   b->residual_scale,
                       b->logit_scale, b->attn_softcap, b->logit_softcap};
    assert_memory_equal(s, t, sizeof(s));
    assert_memory_equal(a->layer, b->layer, sizeof(a->layer));
    same_rope(&a->rope, &b->rope, a->rot_dim);
    if (a->local_rope.theta > 0.0)
        same_rope(&a->local_rope, &b->local_rope, a->rot_dim);
}

#define SIZES                                                                                      \
    "\"vocab_size\": 38, \"hidden_size\": 16, \"intermediate_size\": 24, "                         \
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"max_position_embeddings\": 64, "    \
    "\"bos_token_id\": 1, \"eos_token_id\": 2, \"pad_token_id\": 0, "

// The golden decoders' configurations as transformers 4 would have saved them: defaults left out.
static const struct {
    const char *name, *text;
} OLD[] = {
    {"llama_linear", "{\"model_type\": \"llama\", " SIZES "\"num_hidden_layers\": 2, "
                     "\"rope_theta\": 10000.0, \"tie_word_embeddings\": false, "
                     "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 3.0}}"},
    {"llama_yarn", "{\"model_type\": \"llama\", " SIZES "\"num_hidden_layers\": 2, "
                   "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, "
                   "\"original_max_position_embeddings\": 16}}"},
    {"qwen2_window", "{\"model_type\": \"qwen2\", " SIZES "\"num_hidden_layers\": 2, "
                     "\"use_sliding_window\": true, \"sliding_window\": 5, "
                     "\"max_window_layers\": 1}"},
    {"phi3_long",
     "{\"model_type\": \"phi3\", " SIZES "\"num_hidden_layers\": 2, "
     "\"original_max_position_embeddings\": 12, \"rope_scaling\": {\"type\": \"su\", "
     "\"short_factor\": [1.0, 1.5, 2.0, 3.0], \"long_factor\": [1.0, 2.0, 5.0, 9.0]}}"},
    {"phi3_partial", "{\"model_type\": \"phi3\", " SIZES "\"num_hidden_layers\": 2, "
                     "\"sliding_window\": 6, \"partial_rotary_factor\": 0.5}"},
    {"smollm3", "{\"model_type\": \"smollm3\", " SIZES "\"num_hidden_layers\": 3, "
                "\"no_rope_layers\": [1, 0, 1], \"use_sliding_window\": false, "
                "\"sliding_window\": null, \"rope_theta\": 2000000.0}"},
    {"gemma2", "{\"model_type\": \"gemma2\", " SIZES "\"num_hidden_layers\": 2, "
               "\"head_dim\": 10, \"sliding_window\": 5, \"query_pre_attn_scalar\": 12, "
               "\"attn_logit_softcapping\": 2.0, \"final_logit_softcapping\": 3.0, "
               "\"hidden_act\": \"gelu_pytorch_tanh\", \"rope_theta\": 10000.0}"},
    {"gemma3_text", "{\"model_type\": \"gemma3_text\", " SIZES "\"num_hidden_layers\": 2, "
                    "\"head_dim\": 8, \"sliding_window\": 5, \"query_pre_attn_scalar\": 12, "
                    "\"sliding_window_pattern\": 2, \"rope_theta\": 1000000.0, "
                    "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8.0}, "
                    "\"rope_local_base_freq\": 10000.0}"},
    {"olmo2", "{\"model_type\": \"olmo2\", " SIZES "\"num_hidden_layers\": 2, "
              "\"rms_norm_eps\": 1e-05, \"tie_word_embeddings\": false}"},
    // Every second layer sees all.
    {"cohere2", "{\"model_type\": \"cohere2\", " SIZES "\"num_hidden_layers\": 3, "
                "\"layer_norm_eps\": 1e-05, \"logit_scale\": 0.25, \"rope_theta\": 10000.0, "
                "\"sliding_window\": 5, \"sliding_window_pattern\": 2, \"rotary_pct\": 1.0}"},
};

static void old_spelling(void **state)
{
    char folder[512];
    struct md_arch want, got;
    (void) state;

    for (size_t i = 0; i < COUNT_OF(OLD); i++) {
        snprintf(folder, sizeof(folder), "%s/tests/golden/families/%s", os_env("ANYDPO_SOURCE"),
                 OLD[i].name);
        U_OK(md_arch_read(folder, &want));
        U_OK(read_text(OLD[i].text, &got));
        same(&got, &want);
    }
}

#define LLAMA "{\"model_type\": \"llama\", " SIZES "\"num_hidden_layers\": 2, "
static const struct {
    const char *text;
    enum rt_err err;
    const char *word;
} BAD[] = {
    {"{\"model_type\": \"mamba\"}", RT_E_UNSUPPORTED, "gemma3_text"},
    {LLAMA "\"hidden_act\": \"relu\"}", RT_E_UNSUPPORTED, "relu"},
    {LLAMA "\"rope_scaling\": {\"type\": \"ntk\", \"factor\": 2.0}}", RT_E_UNSUPPORTED, "ntk"},
    {LLAMA "\"rope_scaling\": {\"type\": \"yarn\"}}", RT_E_NOT_FOUND, "factor"},
    {LLAMA "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 0.5}}", RT_E_FORMAT, "0.5"},
    {LLAMA "\"partial_rotary_factor\": 0.4}", RT_E_UNSUPPORTED, "partial_rotary_factor"},
    {LLAMA "\"rms_norm_eps\": 0.0}", RT_E_FORMAT, "rms_norm_eps"},
    {LLAMA "\"quantization_config\": {}}", RT_E_UNSUPPORTED, "quantization_config"},
    {"{\"model_type\": \"mistral\", " SIZES "\"num_hidden_layers\": 2, \"attention_bias\": true}",
     RT_E_UNSUPPORTED, "attention_bias"},
    {"{\"model_type\": \"qwen3\", " SIZES "\"num_hidden_layers\": 2, \"head_dim\": 12}",
     RT_E_UNSUPPORTED, "head_dim"},
    {"{\"model_type\": \"gemma2\", " SIZES "\"num_hidden_layers\": 2, \"head_dim\": 8, "
     "\"layer_types\": [\"full_attention\"]}",
     RT_E_FORMAT, "layer_types"},
    {"{\"model_type\": \"gemma2\", " SIZES "\"num_hidden_layers\": 1, \"head_dim\": 8, "
     "\"layer_types\": [\"chunked_attention\"]}",
     RT_E_UNSUPPORTED, "chunked_attention"},
    {"{\"model_type\": \"smollm3\", " SIZES "\"num_hidden_layers\": 2, \"no_rope_layers\": [1]}",
     RT_E_FORMAT, "no_rope_layers"},
    {"{\"model_type\": \"granite\", " SIZES "\"num_hidden_layers\": 2, \"logits_scaling\": 0.0}",
     RT_E_FORMAT, "multipliers"},
    {"{\"model_type\": \"cohere\", " SIZES "\"num_hidden_layers\": 2, \"use_qk_norm\": true}",
     RT_E_UNSUPPORTED, "use_qk_norm"},
    {"{\"model_type\": \"cohere\", " SIZES "\"num_hidden_layers\": 2, \"logit_scale\": 0.0}",
     RT_E_FORMAT, "logit_scale"},
    {"{\"model_type\": \"phi3\", " SIZES "\"num_hidden_layers\": 2, \"rope_scaling\": "
     "{\"type\": \"longrope\", \"short_factor\": [1.0], \"long_factor\": [1.0]}}",
     RT_E_FORMAT, "short_factor"},
    {"{\"model_type\": \"gpt2\", \"vocab_size\": 38, \"n_embd\": 16, \"n_layer\": 1, "
     "\"n_head\": 2, \"scale_attn_weights\": false}",
     RT_E_UNSUPPORTED, "scale_attn_weights"},
};

static void refused(void **state)
{
    struct md_arch a;
    (void) state;

    for (size_t i = 0; i < COUNT_OF(BAD); i++)
        U_FAILS(BAD[i].err, BAD[i].word, read_text(BAD[i].text, &a));
}

// A tensor that needs more than a chunk of several has one for itself, and the next begins anew; no
// two overlap.
static void chunks(void **state)
{
    const uint64_t largest = 38 * 16, room = 512;
    struct md_arch a;
    struct md_params p;
    (void) state;

    U_OK(read_text(LLAMA "\"tie_word_embeddings\": true}", &a));
    U_OK(md_params_make(&a, (struct md_room){room, 5 * 128}, &p));
    const struct md_param *embed = md_params_get(&p, MD_EMBED, 0);
    assert_int_equal((uint64_t) embed->rows * embed->cols, largest);
    assert_int_equal(p.chunks[embed->chunk].count, 5 * 128);
    assert_true(p.n_chunks > 2);
    for (uint32_t i = 0; i < p.n; i++) {
        const struct md_param *x = &p.all[i];
        const uint64_t end = x->first + (uint64_t) x->rows * x->ld;
        assert_true(end <= p.chunks[x->chunk].count && x->first % 128 == 0);
        assert_true(x == embed || (x->chunk != embed->chunk && p.chunks[x->chunk].count <= room));
        for (uint32_t k = 0; k < i; k++) {
            const struct md_param *y = &p.all[k];
            const uint64_t y_end = y->first + (uint64_t) y->rows * y->ld;
            assert_true(y->chunk != x->chunk || y->first >= end || x->first >= y_end);
        }
    }
    md_params_free(&p);
    U_FAILS(RT_E_UNSUPPORTED, "embed_tokens",
            md_params_make(&a, (struct md_room){room, 4 * 128}, &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(old_spelling), cmocka_unit_test(refused),
                                       cmocka_unit_test(chunks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
