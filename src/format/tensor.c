#include "src/format/tensor.h"

#include <string.h>

#include "src/base/half.h"

// out[i] = in[i] for n elements; `in` is unaligned. Every reader goes through memcpy for that
// reason.
typedef void to_f32_fn(const unsigned char *in, uint64_t n, float *out);
typedef void to_f64_fn(const unsigned char *in, uint64_t n, double *out);

#define READER(name, in_type, out_type, expression)                                                \
    static void name(const unsigned char *in, uint64_t n, out_type *out)                           \
    {                                                                                              \
        for (uint64_t i = 0; i < n; i++) {                                                         \
            in_type v;                                                                             \
            memcpy(&v, in + i * sizeof(v), sizeof(v));                                             \
            out[i] = (expression);                                                                 \
        }                                                                                          \
    }

READER(f32_to_f32, float, float, v)
READER(f16_to_f32s, uint16_t, float, f16_to_f32(v))
READER(bf16_to_f32s, uint16_t, float, bf16_to_f32(v))
READER(f64_to_f32, double, float, (float) v)
READER(f32_to_f64, float, double, (double) v)
READER(f16_to_f64, uint16_t, double, (double) f16_to_f32(v))
READER(bf16_to_f64, uint16_t, double, (double) bf16_to_f32(v))
READER(f64_to_f64, double, double, v)
READER(u8_to_f64, uint8_t, double, (double) v)
READER(i8_to_f64, int8_t, double, (double) v)
READER(u16_to_f64, uint16_t, double, (double) v)
READER(i16_to_f64, int16_t, double, (double) v)
READER(u32_to_f64, uint32_t, double, (double) v)
READER(i32_to_f64, int32_t, double, (double) v)
READER(u64_to_f64, uint64_t, double, (double) v)
READER(i64_to_f64, int64_t, double, (double) v)

static const struct {
    const char *name;
    uint32_t bits;
    to_f32_fn *to_f32; // NULL: cannot be read as a weight
    to_f64_fn *to_f64;
} DTYPES[FMT_DTYPE_COUNT] = {
    [FMT_F32] = {"F32", 32, f32_to_f32, f32_to_f64},
    [FMT_F16] = {"F16", 16, f16_to_f32s, f16_to_f64},
    [FMT_BF16] = {"BF16", 16, bf16_to_f32s, bf16_to_f64},
    [FMT_F64] = {"F64", 64, f64_to_f32, f64_to_f64},
    [FMT_U8] = {"U8", 8, NULL, u8_to_f64},
    [FMT_I8] = {"I8", 8, NULL, i8_to_f64},
    [FMT_I16] = {"I16", 16, NULL, i16_to_f64},
    [FMT_U16] = {"U16", 16, NULL, u16_to_f64},
    [FMT_I32] = {"I32", 32, NULL, i32_to_f64},
    [FMT_U32] = {"U32", 32, NULL, u32_to_f64},
    [FMT_I64] = {"I64", 64, NULL, i64_to_f64},
    [FMT_U64] = {"U64", 64, NULL, u64_to_f64},
    [FMT_BOOL] = {"BOOL", 8, NULL, u8_to_f64},
    [FMT_F8_E4M3] = {"F8_E4M3", 8, NULL, NULL},
    [FMT_F8_E5M2] = {"F8_E5M2", 8, NULL, NULL},
    [FMT_F8_E8M0] = {"F8_E8M0", 8, NULL, NULL},
    [FMT_F6_E2M3] = {"F6_E2M3", 6, NULL, NULL},
    [FMT_F6_E3M2] = {"F6_E3M2", 6, NULL, NULL},
    [FMT_F4] = {"F4", 4, NULL, NULL},
    [FMT_C64] = {"C64", 64, NULL, NULL},
};

const char *fmt_dtype_name(enum fmt_dtype dtype)
{
    return (unsigned) dtype < FMT_DTYPE_COUNT ? DTYPES[dtype].name : "unknown";
}

uint32_t fmt_dtype_bits(enum fmt_dtype dtype)
{
    return (unsigned) dtype < FMT_DTYPE_COUNT ? DTYPES[dtype].bits : 0;
}

enum fmt_dtype fmt_dtype_from_name(const char *s)
{
    unsigned i = 0;
    while (i < FMT_DTYPE_COUNT && strcmp(DTYPES[i].name, s) != 0)
        i++;
    return (enum fmt_dtype) i;
}

static enum rt_err check_range(const struct fmt_tensor *t, uint64_t first, uint64_t count)
{
    if (first > t->count || count > t->count - first)
        return rt_fail(RT_E_SHAPE, "tensor %s: elements %llu + %llu exceed its %llu", t->name,
                       (unsigned long long) first, (unsigned long long) count,
                       (unsigned long long) t->count);
    return RT_OK;
}

static enum rt_err fail_dtype(const struct fmt_tensor *t, const char *want)
{
    return rt_fail(RT_E_UNSUPPORTED, "tensor %s: type %s cannot be read: expected %s", t->name,
                   fmt_dtype_name(t->dtype), want);
}

static const unsigned char *element(const struct fmt_tensor *t, uint64_t first)
{
    return (const unsigned char *) t->data + first * (fmt_dtype_bits(t->dtype) / 8);
}

enum rt_err fmt_tensor_to_f32(const struct fmt_tensor *t, uint64_t first, uint64_t count,
                              float *out)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE((unsigned) t->dtype < FMT_DTYPE_COUNT, RT_E_ARG);
    if (!DTYPES[t->dtype].to_f32)
        RT_TRY(fail_dtype(t, "F32, F16, BF16 or F64"));
    RT_TRY(check_range(t, first, count));
    DTYPES[t->dtype].to_f32(element(t, first), count, out);
done:
    return err;
}

enum rt_err fmt_tensor_to_f64(const struct fmt_tensor *t, uint64_t first, uint64_t count,
                              double *out)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE((unsigned) t->dtype < FMT_DTYPE_COUNT, RT_E_ARG);
    if (!DTYPES[t->dtype].to_f64)
        RT_TRY(fail_dtype(t, "a float of 16 bits or more, an integer or BOOL"));
    RT_TRY(check_range(t, first, count));
    DTYPES[t->dtype].to_f64(element(t, first), count, out);
done:
    return err;
}
