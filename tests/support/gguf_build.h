// tests/support/gguf_build.h -- GGUF files made byte by byte, and a tiny llama among them.
#ifndef TESTS_GGUF_BUILD_H
#define TESTS_GGUF_BUILD_H

#include <string.h>

#include "src/base/half.h"
#include "src/base/str.h"
#include "src/format/gguf.h"
#include "tests/format/util.h"

// The parts of a file. Tensors are F32, 32-byte aligned. { 0 } is empty.
struct gb {
    struct str kvs, infos, data;
    uint32_t n_kvs, n_tensors;
};

static inline void gb_put(struct str *s, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        U_OK(str_putc(s, (char) (v >> (8 * i))));
}

static inline void gb_string(struct str *s, const char *text, size_t n)
{
    gb_put(s, n, 8);
    U_OK(str_append(s, text, n));
}

static inline void gb_key(struct gb *b, const char *key, uint32_t type)
{
    b->n_kvs++;
    gb_string(&b->kvs, key, strlen(key));
    gb_put(&b->kvs, type, 4);
}

static inline void gb_u32(struct gb *b, const char *key, uint32_t v)
{
    gb_key(b, key, FMT_GGUF_U32);
    gb_put(&b->kvs, v, 4);
}

static inline void gb_f32(struct gb *b, const char *key, float v)
{
    gb_key(b, key, FMT_GGUF_F32);
    gb_put(&b->kvs, f32_bits(v), 4);
}

static inline void gb_bool(struct gb *b, const char *key, bool v)
{
    gb_key(b, key, FMT_GGUF_BOOL);
    gb_put(&b->kvs, v, 1);
}

static inline void gb_text(struct gb *b, const char *key, const char *text)
{
    gb_key(b, key, FMT_GGUF_STR);
    gb_string(&b->kvs, text, strlen(text));
}

// The head of an array; its n elements follow in b->kvs.
static inline void gb_array(struct gb *b, const char *key, uint32_t type, uint64_t n)
{
    gb_key(b, key, FMT_GGUF_ARRAY);
    gb_put(&b->kvs, type, 4);
    gb_put(&b->kvs, n, 8);
}

// x holds rows * cols floats; rows 0 = a vector.
static inline void gb_tensor(struct gb *b, const char *name, uint64_t rows, uint64_t cols,
                             const float *x)
{
    while (b->data.len % 32)
        gb_put(&b->data, 0, 1);
    b->n_tensors++;
    gb_string(&b->infos, name, strlen(name));
    gb_put(&b->infos, rows ? 2 : 1, 4);
    gb_put(&b->infos, cols, 8); // the fastest first
    if (rows)
        gb_put(&b->infos, rows, 8);
    gb_put(&b->infos, 0, 4);
    gb_put(&b->infos, b->data.len, 8);
    for (uint64_t i = 0; i < cols * (rows ? rows : 1); i++)
        gb_put(&b->data, f32_bits(x[i]), 4);
}

// The whole file to *out; *b is empty again.
static inline void gb_finish(struct gb *b, struct str *out)
{
    str_clear(out);
    U_OK(str_puts(out, "GGUF"));
    gb_put(out, 3, 4);
    gb_put(out, b->n_tensors, 8);
    gb_put(out, b->n_kvs, 8);
    U_OK(str_append(out, b->kvs.data ? b->kvs.data : "", b->kvs.len));
    U_OK(str_append(out, b->infos.data ? b->infos.data : "", b->infos.len));
    while (out->len % 32)
        gb_put(out, 0, 1);
    U_OK(str_append(out, b->data.data ? b->data.data : "", b->data.len));
    str_free(&b->kvs);
    str_free(&b->infos);
    str_free(&b->data);
    *b = (struct gb){0};
}

// ---- a llama of one layer ----

enum {
    TINY_VOCAB = 7,
    TINY_HIDDEN = 8,
    TINY_HEADS = 2,
    TINY_KV = 1,
    TINY_HEAD = 6, // its permutation is not its own inverse
    TINY_FFN = 10
};

// What differs from the good file; { 0 } is the good one.
struct tiny {
    const char *skip;    // key or tensor that is left out
    const char *u32_key; // U32 entry with another value, or one more
    uint32_t u32;
    const char *f32_key; // the same, F32
    float f32;
    const char *text_key; // the same, text
    const char *text;
    const char *misshapen; // tensor with one column more
    const char *extra;     // one more tensor, of extra_n values
    uint32_t extra_n;
    const float *extra_x;
    const char *poisoned; // tensor whose last value is `poison`
    float poison;
    bool untied; // has output.weight
};

static const struct {
    const char *name;
    uint32_t rows, cols; // rows 0 = a vector
} TINY_TENSORS[] = {
    {"token_embd.weight", TINY_VOCAB, TINY_HIDDEN},
    {"blk.0.attn_norm.weight", 0, TINY_HIDDEN},
    {"blk.0.ffn_down.weight", TINY_HIDDEN, TINY_FFN},
    {"blk.0.ffn_gate.weight", TINY_FFN, TINY_HIDDEN},
    {"blk.0.ffn_up.weight", TINY_FFN, TINY_HIDDEN},
    {"blk.0.ffn_norm.weight", 0, TINY_HIDDEN},
    {"blk.0.attn_k.weight", TINY_KV *TINY_HEAD, TINY_HIDDEN},
    {"blk.0.attn_output.weight", TINY_HIDDEN, TINY_HEADS *TINY_HEAD},
    {"blk.0.attn_q.weight", TINY_HEADS *TINY_HEAD, TINY_HIDDEN},
    {"blk.0.attn_v.weight", TINY_KV *TINY_HEAD, TINY_HIDDEN},
    {"output_norm.weight", 0, TINY_HIDDEN},
    {"output.weight", TINY_VOCAB, TINY_HIDDEN},
};

// Element `at` of tensor i of the list above.
static inline float tiny_value(size_t i, uint64_t at)
{
    return (float) (1000 * i + at);
}

static inline bool tiny_is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static inline void tiny_numbers(struct gb *b, const struct tiny *t)
{
    static const struct {
        const char *key;
        uint32_t value;
    } ROWS[] = {
        {"llama.block_count", 1},
        {"llama.context_length", 64},
        {"llama.embedding_length", TINY_HIDDEN},
        {"llama.feed_forward_length", TINY_FFN},
        {"llama.attention.head_count", TINY_HEADS},
        {"llama.attention.head_count_kv", TINY_KV},
        {"llama.attention.key_length", TINY_HEAD},
        {"llama.attention.value_length", TINY_HEAD},
        {"llama.rope.dimension_count", TINY_HEAD},
        {"tokenizer.ggml.bos_token_id", 3},
        {"tokenizer.ggml.eos_token_id", 4},
        {"tokenizer.ggml.padding_token_id", 4},
    };
    bool known = !t->u32_key;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const bool changed = tiny_is(t->u32_key, ROWS[i].key);
        known = known || changed;
        if (!tiny_is(t->skip, ROWS[i].key))
            gb_u32(b, ROWS[i].key, changed ? t->u32 : ROWS[i].value);
    }
    if (!known)
        gb_u32(b, t->u32_key, t->u32);
}

static inline void tiny_floats(struct gb *b, const struct tiny *t)
{
    static const char *const KEYS[] = {"llama.attention.layer_norm_rms_epsilon",
                                       "llama.rope.freq_base"};
    static const float VALUES[] = {1e-5f, 20000.0f};
    bool known = !t->f32_key;
    for (size_t i = 0; i < 2; i++) {
        const bool changed = tiny_is(t->f32_key, KEYS[i]);
        known = known || changed;
        if (!tiny_is(t->skip, KEYS[i]))
            gb_f32(b, KEYS[i], changed ? t->f32 : VALUES[i]);
    }
    if (!known)
        gb_f32(b, t->f32_key, t->f32);
}

static inline void tiny_texts(struct gb *b, const struct tiny *t)
{
    static const char *const ROWS[][2] = {
        {"general.architecture", "llama"},
        {"tokenizer.ggml.model", "gpt2"},
        {"tokenizer.ggml.pre", "gpt-2"},
        {"tokenizer.chat_template", "{% for m in messages %}[{{ m.content }}]{% endfor %}"},
    };
    bool known = !t->text_key;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const bool changed = tiny_is(t->text_key, ROWS[i][0]);
        known = known || changed;
        if (!tiny_is(t->skip, ROWS[i][0]))
            gb_text(b, ROWS[i][0], changed ? t->text : ROWS[i][1]);
    }
    if (!known)
        gb_text(b, t->text_key, t->text);
}

static inline void tiny_vocab(struct gb *b, const struct tiny *t)
{
    static const char *const TOKENS[TINY_VOCAB] = {"a", "b", "ab", "<s>", "</s>", "Ġ", "<tool>"};
    static const unsigned char TYPES[TINY_VOCAB] = {1, 1, 1, 3, 3, 1, 4};

    if (!tiny_is(t->skip, "tokenizer.ggml.tokens")) {
        gb_array(b, "tokenizer.ggml.tokens", FMT_GGUF_STR, TINY_VOCAB);
        for (size_t i = 0; i < TINY_VOCAB; i++)
            gb_string(&b->kvs, TOKENS[i], strlen(TOKENS[i]));
    }
    gb_array(b, "tokenizer.ggml.token_type", FMT_GGUF_I32, TINY_VOCAB);
    for (size_t i = 0; i < TINY_VOCAB; i++)
        gb_put(&b->kvs, TYPES[i], 4);
    if (!tiny_is(t->skip, "tokenizer.ggml.merges")) {
        gb_array(b, "tokenizer.ggml.merges", FMT_GGUF_STR, 1);
        gb_string(&b->kvs, "a b", 3);
    }
}

static inline void tiny_build(const struct tiny *t, struct str *out)
{
    struct gb b = {0};
    float x[256];

    tiny_texts(&b, t);
    tiny_numbers(&b, t);
    tiny_floats(&b, t);
    tiny_vocab(&b, t);
    for (size_t i = 0; i < COUNT_OF(TINY_TENSORS); i++) {
        const char *name = TINY_TENSORS[i].name;
        const uint32_t rows = TINY_TENSORS[i].rows;
        const uint32_t cols = TINY_TENSORS[i].cols + tiny_is(t->misshapen, name);
        const uint32_t n = (rows ? rows : 1) * cols;
        if (tiny_is(t->skip, name) || (tiny_is("output.weight", name) && !t->untied))
            continue;
        for (uint32_t k = 0; k < n; k++)
            x[k] = tiny_value(i, k);
        if (tiny_is(t->poisoned, name))
            x[n - 1] = t->poison;
        gb_tensor(&b, name, rows, cols, x);
    }
    if (t->extra)
        gb_tensor(&b, t->extra, 0, t->extra_n, t->extra_x);
    gb_finish(&b, out);
}

#endif // TESTS_GGUF_BUILD_H
