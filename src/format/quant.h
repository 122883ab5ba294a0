// src/format/quant.h -- the block formats of ggml, how each becomes floats, and floats some of
// them. Source: ggml, ggml-common.h (block layouts) and ggml-quants.c (dequantize_row_*,
// quantize_row_q8_0_ref).
#ifndef FORMAT_QUANT_H
#define FORMAT_QUANT_H

#include <stdint.h>

// out[0, n * elements) = n blocks at `blocks`, which may be unaligned.
typedef void fmt_quant_fn(const unsigned char *blocks, uint64_t n, float *out);

// blocks[0, n) = n blocks of x[0, n * elements), each value of a magnitude below the kind's limit.
typedef void fmt_quant_put_fn(const float *x, uint64_t n, unsigned char *blocks);

struct fmt_quant {
    const char *name;
    uint32_t elements;        // a block
    uint32_t bytes;           // a block
    fmt_quant_fn *decode;     // NULL: its size is known, its values cannot be read
    fmt_quant_put_fn *encode; // NULL: cannot be written
    float limit;              // magnitudes from here on would not be finite once written
};

// Numbers of the kinds that can be written.
enum { FMT_QUANT_F32 = 0, FMT_QUANT_F16 = 1, FMT_QUANT_Q8_0 = 8, FMT_QUANT_BF16 = 30 };

#define FMT_QUANT_MAX_ELEMENTS 256u

// The kind with this number in a GGUF file, or NULL if it is unknown.
const struct fmt_quant *fmt_quant_find(uint32_t kind);

#endif // FORMAT_QUANT_H
