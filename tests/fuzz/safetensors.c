// Fuzz entry: a safetensors file; what is accepted is read to the last element.
#include "src/base/arith.h"
#include "src/format/safetensors.h"
#include "tests/fuzz/fuzz.h"

// Both ends of the tensor, in the types that take it.
static void read_ends(const struct fmt_tensor *t)
{
    float f[4];
    double d[4];
    const uint64_t n = u64_min(4, t->count);
    if (fmt_tensor_to_f32(t, 0, n, f) == RT_OK && fmt_tensor_to_f32(t, t->count - n, n, f) != RT_OK)
        abort();
    if (fmt_tensor_to_f64(t, 0, n, d) == RT_OK && fmt_tensor_to_f64(t, t->count - n, n, d) != RT_OK)
        abort();
    if (fmt_tensor_to_f64(t, t->count - n, n + 1, d) == RT_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fmt_st st;
    size_t bytes = 0;

    if (fmt_st_open_memory(data, size, "fuzz", &st) == RT_OK) {
        for (uint32_t i = 0; i < st.n; i++) {
            bytes += st.tensors[i].bytes;
            read_ends(&st.tensors[i]);
            if (fmt_st_find(&st, st.tensors[i].name) != &st.tensors[i])
                abort();
        }
        if (bytes > size)
            abort();
        (void) fmt_st_meta(&st, "format");
    }
    fmt_st_close(&st);
    return 0;
}
