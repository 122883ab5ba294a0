// Fuzz entry: a GGUF file; of what is accepted, all metadata and both ends of each tensor are read.
#include "src/base/arith.h"
#include "src/format/gguf.h"
#include "tests/fuzz/fuzz.h"

// Reads every byte, so that a sanitizer sees a wild one.
static unsigned touch(const void *p, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((const unsigned char *) p)[i];
    return sum;
}

static unsigned read_kv(const struct fmt_gguf *g, const struct fmt_gguf_kv *kv)
{
    struct fmt_gguf_iter it = fmt_gguf_iter(kv);
    struct fmt_gguf_str s;
    const struct fmt_gguf_kv *array;
    uint64_t wide, n = 0;
    float f;
    double d;
    bool b;
    unsigned sum = touch(kv->data, kv->bytes);

    while (fmt_gguf_next(&it, &s)) {
        sum += touch(s.data, s.len);
        n++;
    }
    if (kv->type == FMT_GGUF_STR && n != kv->count)
        abort();
    for (uint64_t i = 0; i <= kv->count && fmt_gguf_num_at(kv, i, &d); i++)
        if (i == kv->count)
            abort();
    if (fmt_gguf_find(g, kv->key) != kv)
        abort();
    sum += fmt_gguf_u64(g, kv->key, &wide) == RT_OK;
    sum += fmt_gguf_f32(g, kv->key, &f) == RT_OK;
    sum += fmt_gguf_bool(g, kv->key, &b) == RT_OK;
    sum += fmt_gguf_text(g, kv->key, &s) == RT_OK;
    sum += fmt_gguf_array(g, kv->key, kv->type, &array) == RT_OK;
    return sum;
}

static void read_ends(const struct fmt_gguf_tensor *t)
{
    float f[300];
    const uint64_t n = u64_min(299, t->count);
    if (fmt_gguf_to_f32(t, 0, n, f) == RT_OK && fmt_gguf_to_f32(t, t->count - n, n, f) != RT_OK)
        abort();
    if (fmt_gguf_to_f32(t, t->count - n, n + 1, f) == RT_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fmt_gguf g;
    volatile unsigned sum = 0;

    if (fmt_gguf_open_memory(data, size, "fuzz", &g) == RT_OK) {
        for (uint32_t i = 0; i < g.n_kvs; i++)
            sum += read_kv(&g, &g.kvs[i]);
        for (uint32_t i = 0; i < g.n_tensors; i++) {
            read_ends(&g.tensors[i]);
            if (fmt_gguf_tensor(&g, g.tensors[i].name) != &g.tensors[i])
                abort();
        }
    }
    (void) sum;
    fmt_gguf_close(&g);
    return 0;
}
