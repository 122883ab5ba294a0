// src/format/tensor.h -- a named array inside a mapped file, and its conversion to floats.
#ifndef FORMAT_TENSOR_H
#define FORMAT_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"

#define FMT_MAX_RANK 8u

// Element types by their safetensors names. Those from FMT_U8 on can be stored, listed and
// (integers only) read with fmt_tensor_to_f64; weights are of the first four.
enum fmt_dtype {
    FMT_F32,
    FMT_F16,
    FMT_BF16,
    FMT_F64,
    FMT_U8,
    FMT_I8,
    FMT_I16,
    FMT_U16,
    FMT_I32,
    FMT_U32,
    FMT_I64,
    FMT_U64,
    FMT_BOOL,
    FMT_F8_E4M3,
    FMT_F8_E5M2,
    FMT_F8_E8M0,
    FMT_F6_E2M3,
    FMT_F6_E3M2,
    FMT_F4,
    FMT_C64,
    FMT_DTYPE_COUNT
};

const char *fmt_dtype_name(enum fmt_dtype dtype);  // "BF16"; never NULL
uint32_t fmt_dtype_bits(enum fmt_dtype dtype);     // bits an element; 0 for no dtype
enum fmt_dtype fmt_dtype_from_name(const char *s); // FMT_DTYPE_COUNT if unknown

// Borrowed from the fmt_st that it came from. `data` may be unaligned: the format does not align.
struct fmt_tensor {
    const char *name;
    enum fmt_dtype dtype;
    uint32_t rank;                // 0 = a scalar
    uint64_t shape[FMT_MAX_RANK]; // slowest dimension first
    uint64_t count;               // elements: the product of shape; may be 0
    const void *data;             // row-major, little endian
    size_t bytes;
    uint32_t file; // which file of the fmt_st
};

// out[i] = element first + i, 0 <= i < count, rounded to nearest even where f32 is narrower.
// Errors: RT_E_SHAPE        first + count exceeds the tensor
//         RT_E_UNSUPPORTED  dtype is not F32, F16, BF16 or F64
// On error out is untouched.
RT_NODISCARD enum rt_err fmt_tensor_to_f32(const struct fmt_tensor *t, uint64_t first,
                                           uint64_t count, float *out);

// The same to f64; also takes integers (exact below 2^53) and BOOL.
RT_NODISCARD enum rt_err fmt_tensor_to_f64(const struct fmt_tensor *t, uint64_t first,
                                           uint64_t count, double *out);

#endif // FORMAT_TENSOR_H
