// src/base/half.h -- IEEE binary16 and bfloat16 to and from float, rounding to nearest even.
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof(u));
    return u;
}

static inline float f32_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof(f));
    return f;
}

// bf16: the upper half of a float. NaN keeps a set mantissa bit. Exact in the other direction.
static inline uint16_t bf16_from_f32(float f)
{
    const uint32_t u = f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t) ((u >> 16) | 0x0040u);
    return (uint16_t) ((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline float bf16_to_f32(uint16_t h)
{
    return f32_from_bits((uint32_t) h << 16);
}

// f16: overflow gives Inf from 65520 on, subnormals are kept.
static inline uint16_t f16_from_f32(float f)
{
    const uint32_t u = f32_bits(f), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u)
        return (uint16_t) (sign | 0x7e00u | ((a >> 13) & 0x3ffu));
    if (a >= 0x477ff000u) // 65520 rounds to Inf
        return (uint16_t) (sign | 0x7c00u);
    if (a <
        0x38800000u) { // below 2^-14: adding 0.5 leaves the subnormal's bits, rounded by the FPU
        const float magic = 0.5f;
        return (uint16_t) (sign | (f32_bits(f32_from_bits(a) + magic) - f32_bits(magic)));
    }
    return (uint16_t) (sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
}

static inline float f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t) (h & 0x8000u) << 16, em = h & 0x7fffu;
    if (em >= 0x7c00u)
        return f32_from_bits(sign | 0x7f800000u | ((em & 0x3ffu) << 13));
    if (em < 0x0400u) { // zero and subnormals: em * 2^-24 is exact
        const float v = (float) em * 0x1p-24f;
        return sign ? -v : v;
    }
    return f32_from_bits(sign | ((em << 13) + 0x38000000u));
}

#endif // BASE_HALF_H
