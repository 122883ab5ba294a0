#include "src/format/quant.h"

#include <math.h>
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

// 16 sub-blocks of 16 whose low two bits lie in 64 bytes: within a half of 128 elements, 32 bytes
// hold two bits each for elements i, 32 + i, 64 + i, 96 + i.
static int two_bits(const unsigned char *q, unsigned i)
{
    return q[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

// 16 bytes with a scale in the low and a minimum in the high nibble, 64 bytes of two bits, f16 d,
// f16 dmin. x = d scale q - dmin min.
static void q2_k(const unsigned char *p, uint64_t n, float *out)
{
    for (; n; n--, p += 84, out += 256) {
        const float d = load_f16(p + 80), dmin = load_f16(p + 82);
        for (unsigned i = 0; i < 256; i++) {
            const float scale = d * (float) (p[i / 16] & 15), min = dmin * (float) (p[i / 16] >> 4);
            out[i] = scale * (float) two_bits(p + 16, i) - min;
        }
    }
}

// 32 bytes of third bits, bit i / 32 of byte i % 32; 64 bytes of two bits; 12 bytes of 6-bit
// scales, the low nibbles of 0 .. 7 and high nibbles of 8 .. 15 first, then four times four pairs
// of bits; f16 d. x = d (scale - 32) (q - 4).
static void q3_k(const unsigned char *p, uint64_t n, float *out)
{
    for (; n; n--, p += 110, out += 256) {
        const unsigned char *s = p + 96;
        const float d = load_f16(p + 108);
        for (unsigned i = 0; i < 256; i++) {
            const unsigned k = i / 16;
            const int low = s[k % 8] >> (k / 8 * 4) & 15, high = s[8 + k % 4] >> (k / 4 * 2) & 3;
            const int q = two_bits(p + 32, i) | (p[i % 32] >> (i / 32) & 1) << 2;
            out[i] = d * (float) ((low | high << 4) - 32) * (float) (q - 4);
        }
    }
}

// ---- writing ----

static void store16(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char) v;
    p[1] = (unsigned char) (v >> 8);
}

static void put_f32(const float *x, uint64_t n, unsigned char *p)
{
    memcpy(p, x, n * sizeof(*x));
}

static void put_f16(const float *x, uint64_t n, unsigned char *p)
{
    for (uint64_t i = 0; i < n; i++)
        store16(p + 2 * i, f16_from_f32(x[i]));
}

static void put_bf16(const float *x, uint64_t n, unsigned char *p)
{
    for (uint64_t i = 0; i < n; i++)
        store16(p + 2 * i, bf16_from_f32(x[i]));
}

// d = amax / 127, q = x / d rounded to nearest, ties away from zero; q by the d before its rounding
// to f16, as the reference has it.
static void put_q8_0(const float *x, uint64_t n, unsigned char *p)
{
    for (; n; n--, p += 34, x += 32) {
        float amax = 0.0f;
        for (unsigned i = 0; i < 32; i++)
            amax = fmaxf(amax, fabsf(x[i]));
        const float d = amax / 127.0f, inverse = d > 0.0f ? 1.0f / d : 0.0f;
        store16(p, f16_from_f32(d));
        // 1 / d overflows below 2^-128: then d is 0 in f16, and any q will do
        for (unsigned i = 0; i < 32; i++)
            p[2 + i] = (unsigned char) (isfinite(inverse) ? (int8_t) roundf(x[i] * inverse) : 0);
    }
}

// By the kind's number. A new format is a row here and its function above.
static const struct fmt_quant KINDS[] = {
    [0] = {"F32", 1, 4, f32, put_f32, INFINITY},
    [1] = {"F16", 1, 2, f16, put_f16, 65520.0f},
    [2] = {"Q4_0", 32, 18, q4_0, NULL, 0.0f},
    [3] = {"Q4_1", 32, 20, q4_1, NULL, 0.0f},
    [6] = {"Q5_0", 32, 22, q5_0, NULL, 0.0f},
    [7] = {"Q5_1", 32, 24, q5_1, NULL, 0.0f},
    [8] = {"Q8_0", 32, 34, q8_0, put_q8_0, 127.0f * 65519.0f},
    [10] = {"Q2_K", 256, 84, q2_k, NULL, 0.0f},
    [11] = {"Q3_K", 256, 110, q3_k, NULL, 0.0f},
    [12] = {"Q4_K", 256, 144, q4_k, NULL, 0.0f},
    [13] = {"Q5_K", 256, 176, q5_k, NULL, 0.0f},
    [14] = {"Q6_K", 256, 210, q6_k, NULL, 0.0f},
    [15] = {"Q8_K", 256, 292, NULL, NULL, 0.0f},
    [16] = {"IQ2_XXS", 256, 66, NULL, NULL, 0.0f},
    [17] = {"IQ2_XS", 256, 74, NULL, NULL, 0.0f},
    [18] = {"IQ3_XXS", 256, 98, NULL, NULL, 0.0f},
    [19] = {"IQ1_S", 256, 50, NULL, NULL, 0.0f},
    [20] = {"IQ4_NL", 32, 18, NULL, NULL, 0.0f},
    [21] = {"IQ3_S", 256, 110, NULL, NULL, 0.0f},
    [22] = {"IQ2_S", 256, 82, NULL, NULL, 0.0f},
    [23] = {"IQ4_XS", 256, 136, NULL, NULL, 0.0f},
    [24] = {"I8", 1, 1, NULL, NULL, 0.0f},
    [25] = {"I16", 1, 2, NULL, NULL, 0.0f},
    [26] = {"I32", 1, 4, NULL, NULL, 0.0f},
    [27] = {"I64", 1, 8, NULL, NULL, 0.0f},
    [28] = {"F64", 1, 8, f64, NULL, 0.0f},
    [29] = {"IQ1_M", 256, 56, NULL, NULL, 0.0f},
    [30] = {"BF16", 1, 2, bf16, put_bf16, 0x1.ffp127f},
    [34] = {"TQ1_0", 256, 54, NULL, NULL, 0.0f},
    [35] = {"TQ2_0", 256, 66, NULL, NULL, 0.0f},
    [39] = {"MXFP4", 32, 17, NULL, NULL, 0.0f},
};

const struct fmt_quant *fmt_quant_find(uint32_t kind)
{
    return kind < COUNT_OF(KINDS) && KINDS[kind].name ? &KINDS[kind] : NULL;
}
