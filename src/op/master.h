// src/op/master.h -- f32 masters of 16-bit weights in 32 bits: the word that the model computes
// with, and 16 bits beside it that say what its rounding left out.
//
// bf16: the word is the master's upper half, rounded half away from zero ((u + 0x8000) >> 16), the
// 16 bits its lower half: exact for every float; NaN stays NaN. To nearest even would be no code:
// 65537 floats round to an even word.
//
// f16: the word is rounded to nearest even, as everywhere. From 2^-14 on the 16 bits are the
// distance of the bit patterns, at most 2^12: exact. Below, where an f16 has steps of 2^-24, they
// are the distance in units of 2^-40, at most 2^15 - 1 upwards: exact down to 2^-17 but for ties
// between 2^-17 and 2^-16, which lose a unit; below 2^-17 the master is a multiple of 2^-40, off by
// at most 2^-41, or a unit at a tie. That is the step of an f32 from 2^-17 to 2^-16, and 2^10 times
// finer than that of a weight of 0.01: an update that is lost here is lost in an f32 master of
// nearly every weight. The word is Inf from 65520 on; then the master is Inf too.
//
// 16 bits of zero stand for the word itself. What op_join() gives is taken apart into what it was.
#ifndef OP_MASTER_H
#define OP_MASTER_H

#include <math.h>

#include "src/op/op.h"

// Weights that an optimizer moves: f32 alone, or f16 or bf16 with what is beside them.
struct op_master {
    struct op_vec w;   // (n): f32, f16 or bf16
    struct op_vec low; // (n): 16 bits each, in a buffer of w's type; buf NULL where w is f32
};

// Both hold n elements, and are of the types above. For RT_REQUIRE.
static inline bool op_master_holds(struct op_master m, uint64_t n)
{
    if (!op_vec_holds(m.w, n))
        return false;
    if (rt_buf_type(m.w.buf) == RT_F32)
        return !m.low.buf;
    return op_vec_holds(m.low, n) && rt_buf_type(m.low.buf) == rt_buf_type(m.w.buf);
}

// A master taken apart.
struct op_split {
    uint16_t w, low;
};

// type: RT_F16 or RT_BF16.
static inline struct op_split op_split(enum rt_type type, float x)
{
    const uint32_t u = f32_bits(x), a = u & 0x7fffffffu;

    if (type == RT_BF16) {
        const uint32_t w = a > 0x7f800000u ? (u >> 16) | 0x40u : (u + 0x8000u) >> 16;
        return (struct op_split){(uint16_t) w, (uint16_t) u};
    }
    const uint16_t w = f16_from_f32(x);
    const uint32_t h = w & 0x7fffu;
    if (h >= 0x400u)
        return (struct op_split){w, (uint16_t) (a - (h << 13) - 0x38000000u)};
    // A tie belongs to an even word: what comes near it on its other side stops before it.
    const int32_t units = (int32_t) rintf(f32_from_bits(a) * 0x1p40f) - (int32_t) (h << 16),
                  least = (int32_t) (h & 1u) - 0x8000;
    return (struct op_split){w, (uint16_t) (units > 0x7fff  ? 0x7fff
                                            : units < least ? least
                                                            : units)};
}

// The master again.
static inline float op_join(enum rt_type type, struct op_split s)
{
    const uint32_t rest = s.low - ((s.low & 0x8000u) << 1), h = s.w & 0x7fffu;
    const uint32_t sign = (s.w & 0x8000u) << 16;

    if (type == RT_BF16)
        return f32_from_bits(((uint32_t) s.w << 16) + rest);
    if (h >= 0x7c00u)
        return f16_to_f32(s.w);
    if (h >= 0x400u)
        return f32_from_bits(sign | ((h << 13) + 0x38000000u + rest));
    return f32_from_bits(sign | f32_bits((float) (int32_t) ((h << 16) + rest) * 0x1p-40f));
}

// Element i of a host kernel's weights; low NULL: they are f32.
static inline double op_host_master(const struct rt_host_buf *w, const struct rt_host_buf *low,
                                    uint64_t i)
{
    if (!low || w->type == RT_F32 || w->type == RT_F64)
        return rt_host_load(w, i);
    return (double) op_join(w->type, (struct op_split){((const uint16_t *) w->data)[i],
                                                       ((const uint16_t *) low->data)[i]});
}

static inline void op_host_master_set(const struct rt_host_buf *w, const struct rt_host_buf *low,
                                      uint64_t i, double x)
{
    if (!low || w->type == RT_F32 || w->type == RT_F64) {
        rt_host_store(w, i, x);
        return;
    }
    const struct op_split s = op_split(w->type, (float) x);
    ((uint16_t *) w->data)[i] = s.w;
    ((uint16_t *) low->data)[i] = s.low;
}

#endif // OP_MASTER_H
