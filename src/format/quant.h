// src/format/quant.h -- the block formats of ggml and how each becomes floats.
// Source: ggml, ggml-common.h (block layouts) and ggml-quants.c (dequantize_row_*).
#ifndef FORMAT_QUANT_H
#define FORMAT_QUANT_H

#include <stdint.h>

// out[0, n * elements) = n blocks at `blocks`, which may be unaligned.
typedef void fmt_quant_fn(const unsigned char *blocks, uint64_t n, float *out);

struct fmt_quant {
    const char *name;
    uint32_t elements;    // a block
    uint32_t bytes;       // a block
    fmt_quant_fn *decode; // NULL: its size is known, its values cannot be read
};

#define FMT_QUANT_MAX_ELEMENTS 256u

// The kind with this number in a GGUF file, or NULL if it is unknown.
const struct fmt_quant *fmt_quant_find(uint32_t kind);

#endif // FORMAT_QUANT_H
