#include "src/format/quant.h"

#include <stddef.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/half.h"

static uint16_t load16(const unsigned char *p)
{
    return (uint16_t) (p[0] | p[1] << 8);
}
static float load_f16(const unsigned char *p)
{
    return f16_to_f32(load16(p));
}

static void f32(const unsigned char *p, uint64_t n, float *out)
{
    memcpy(out, p, n * sizeof(*out));
}

static void f16(const unsigned char *p, uint64_t n, float *out)
{
    for (uint64_t i = 0; i < n; i++)
        out[i] = load_f16(p + 2 * i);
}

static void bf16(const unsigned char *p, uint64_t n, float *out)
{
    for (uint64_t i = 0; i < n; i++)
        out[i] = bf16_to_f32(load16(p + 2 * i));
}

static void f64(const unsigned char *p, uint64_t n, float *out)
{
    for (uint64_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, p + 8 * i, sizeof(v));
        out[i] = (float) v;
    }
}

// Block: f16 d, 32 int8 q; x = d q.
static void q8_0(const unsigned char *p, uint64_t n, float *out)
{
    for (; n; n--, p += 34, out += 32) {
        const float d = load_f16(p);
        for (unsigned i = 0; i < 32; i++)
            out[i] = d * (float) (int8_t) p[2 + i];
    }
}

// Blocks of 32 with 4 or 5 bits: f16 d, [f16 m,] [32 fifth bits,] 16 bytes whose low nibbles are q
// of elements 0 .. 15 and whose high nibbles those of 16 .. 31. x = d (q - bias) or d q + m.
struct nibbles {
    unsigned bytes;  // a block
    bool min, fifth; // has m; has fifth bits
    int bias;
};

static void decode_nibbles(const struct nibbles *k, const unsigned char *p, uint64_t n, float *out)
{
    for (; n; n--, p += k->bytes, out += 32) {
        const unsigned char *h = p + (k->min ? 4 : 2), *q = h + (k->fifth ? 4 : 0);
        const float d = load_f16(p), m = k->min ? load_f16(p + 2) : 0.0f;
        for (unsigned i = 0; i < 32; i++) {
            int v = i < 16 ? q[i] & 15 : q[i - 16] >> 4;
            if (k->fifth)
                v |= (h[i / 8] >> (i % 8) & 1) << 4;
            out[i] = k->min ? d * (float) v + m : d * (float) (v - k->bias);
        }
    }
}

static void q4_0(const unsigned char *p, uint64_t n, float *out)
{
    decode_nibbles(&(struct nibbles){.bytes = 18, .bias = 8}, p, n, out);
}

static void q4_1(const unsigned char *p, uint64_t n, float *out)
{
    decode_nibbles(&(struct nibbles){.bytes = 20, .min = true}, p, n, out);
}

static void q5_0(const unsigned char *p, uint64_t n, float *out)
{
    decode_nibbles(&(struct nibbles){.bytes = 22, .fifth = true, .bias = 16}, p, n, out);
}

static void q5_1(const unsigned char *p, uint64_t n, float *out)
{
    decode_nibbles(&(struct nibbles){.bytes = 24, .min = true, .fifth = true}, p, n, out);
}

// Six-bit scale and minimum of sub-block j, 0 .. 7, from 12 bytes: those of j < 4 are the low bits
// of bytes j and 4 + j; the others have their low four bits in byte 4 + j and their high two above
// those.
static void scale_min(const unsigned char *s, unsigned j, float *scale, float *min)
{
    if (j < 4) {
        *scale = (float) (s[j] & 63);
        *min = (float) (s[j + 4] & 63);
    } else {
        *scale = (float) ((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *min = (float) (s[j + 4] >> 4 | (s[j] >> 6) << 4);
    }
}

// 8 sub-blocks of 32: f16 d, f16 dmin, 12 bytes of scales, [32 bytes of fifth bits, bit j for
// sub-block j,] 128 bytes of nibbles, a pair of sub-blocks in 32. x = d scale q - dmin min.
static void decode_k45(bool fifth, const unsigned char *p, uint64_t n, float *out)
{
    for (; n; n--, p += fifth ? 176 : 144, out += 256) {
        const float d = load_f16(p), dmin = load_f16(p + 2);
        const unsigned char *h = p + 16, *q = h + (fifth ? 32 : 0);
        for (unsigned j = 0; j < 8; j++) {
            float scale, min;
            scale_min(p + 4, j, &scale, &min);
            scale *= d;
            min *= dmin;
            for (unsigned i = 0; i < 32; i++) {
                int v = q[j / 2 * 32 + i] >> (j % 2 * 4) & 15;
                if (fifth)
                    v |= (h[i] >> j & 1) << 4;
                out[j * 32 + i] = scale * (float) v - min;
            }
        }
    }
}

static void q4_k(const unsigned char *p, uint64_t n, float *out)
{
    decode_k45(false, p, n, out);
}
static void q5_k(const unsigned char *p, uint64_t n, float *out)
{
    decode_k45(true, p, n, out);
}

// 16 sub-blocks of 16: 128 bytes of nibbles, 64 bytes of the two bits above them, 16 int8 scales,
// f16 d. Within a half of 128 elements, 64 bytes of nibbles hold the first 64 low, the last 64
// high, and 32 bytes hold two bits each for elements i, 32 + i, 64 + i, 96 + i. x = d scale (q -
// 32).
static void q6_k(const unsigned char *p, uint64_t n, float *out)
{
    for (; n; n--, p += 210, out += 256) {
        const float d = load_f16(p + 208);
        for (unsigned i = 0; i < 256; i++) {
            const unsigned half = i / 128, in = i % 128;
            const int low = p[half * 64 + in % 64] >> (in / 64 * 4) & 15;
            const int high = p[128 + half * 32 + in % 32] >> (in / 32 * 2) & 3;
            const float scale = d * (float) (int8_t) p[192 + i / 16];
            out[i] = scale * (float) ((low | high << 4) - 32);
        }
    }
}

// By the kind's number. A new format is a row here and its function above.
static const struct fmt_quant KINDS[] = {
    [0] = {"F32", 1, 4, f32},          [1] = {"F16", 1, 2, f16},
    [2] = {"Q4_0", 32, 18, q4_0},      [3] = {"Q4_1", 32, 20, q4_1},
    [6] = {"Q5_0", 32, 22, q5_0},      [7] = {"Q5_1", 32, 24, q5_1},
    [8] = {"Q8_0", 32, 34, q8_0},      [10] = {"Q2_K", 256, 84, NULL},
    [11] = {"Q3_K", 256, 110, NULL},   [12] = {"Q4_K", 256, 144, q4_k},
    [13] = {"Q5_K", 256, 176, q5_k},   [14] = {"Q6_K", 256, 210, q6_k},
    [15] = {"Q8_K", 256, 292, NULL},   [16] = {"IQ2_XXS", 256, 66, NULL},
    [17] = {"IQ2_XS", 256, 74, NULL},  [18] = {"IQ3_XXS", 256, 98, NULL},
    [19] = {"IQ1_S", 256, 50, NULL},   [20] = {"IQ4_NL", 32, 18, NULL},
    [21] = {"IQ3_S", 256, 110, NULL},  [22] = {"IQ2_S", 256, 82, NULL},
    [23] = {"IQ4_XS", 256, 136, NULL}, [24] = {"I8", 1, 1, NULL},
    [25] = {"I16", 1, 2, NULL},        [26] = {"I32", 1, 4, NULL},
    [27] = {"I64", 1, 8, NULL},        [28] = {"F64", 1, 8, f64},
    [29] = {"IQ1_M", 256, 56, NULL},   [30] = {"BF16", 1, 2, bf16},
    [34] = {"TQ1_0", 256, 54, NULL},   [35] = {"TQ2_0", 256, 66, NULL},
    [39] = {"MXFP4", 32, 17, NULL},
};

const struct fmt_quant *fmt_quant_find(uint32_t kind)
{
    return kind < COUNT_OF(KINDS) && KINDS[kind].name ? &KINDS[kind] : NULL;
}
