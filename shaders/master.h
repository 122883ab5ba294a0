// shaders/master.h -- an f32 master as the 16-bit word that the model computes with and 16 bits
// beside it. Source and oracle: src/op/master.h. Include behind kernel.h.
//   MASTER(w, low, i)           float: element i
//   MASTER_EACH(w, low, i, v)   store v[PER], i and those behind it, as ST_EACH does
// w and low are elem buffers of one type. On integers, as the prelude's halves are.
#ifndef MASTER_H
#define MASTER_H

#ifdef __OPENCL_C_VERSION__
#define BITS16(buf, i) ((uint) buf[i])
// rint() of 0 <= x, which PoCL calls as a function and so makes no vectors around: from 2^23 on
// floats are whole, below the sum's last bit is 1.
#define ROUND_EVEN(x) round_even(x)
float round_even(float x)
{
    const float below = as_float(UMIN(as_uint(x), 0x4b000000u)); // at most 2^23
    return (below + 0x1p23f - 0x1p23f) + (x - below);
}
#else
#define BITS16(buf, i) ((buf[(i) >> 1] >> (((i) & 1u) << 4)) & 0xffffu)
#define ROUND_EVEN(x) roundEven(x)
#endif

#define SIGNED16(x) ((x) - (((x) & 0x8000u) << 1))
#define TWO_40 1099511627776.0f
#define TWO_M40 9.094947017729282e-13f

float master_of_bf16(uint w, uint low)
{
    return uintBitsToFloat((w << 16) + SIGNED16(low));
}

// All bits of `normal` are set from 2^-14 on, all of `inf` for Inf and NaN.
float master_of_half(uint w, uint low)
{
    const uint a = w & 0x7fffu, rest = SIGNED16(low);
    const uint normal = 0u - ((a + 0x7c00u) >> 15), inf = 0u - ((a + 0x400u) >> 15);
    const uint big = (a << 13) + 0x38000000u + ((inf & 0x38000000u) | (rest & ~inf));
    const uint small = floatBitsToUint(float(int((a << 16) + rest)) * TWO_M40);
    return uintBitsToFloat((big & normal) | (small & ~normal) | ((w & 0x8000u) << 16));
}

// The word in the lower half, what is beside it in the upper.
uint master_to_bf16(float f)
{
    const uint u = floatBitsToUint(f), nan = (0x7f800000u - (u & 0x7fffffffu)) >> 31;
    return ((u + (0x8000u & (nan - 1u))) >> 16) | (nan << 6) | (u << 16);
}

uint master_to_half(float f)
{
    const uint u = floatBitsToUint(f), m = u & 0x7fffffffu, w = float_to_half(f), a = w & 0x7fffu;
    const uint normal = 0u - ((a + 0x7c00u) >> 15);
    const float units = uintBitsToFloat(UMIN(m, 0x38800000u)) * TWO_40; // at most 2^26
    const uint beside = uint(int(ROUND_EVEN(units))) - (a << 16);
    const uint small = UMIN(UMAX(beside + 0x8000u, a & 1u), 0xffffu) - 0x8000u;
    const uint big = m - (a << 13) - 0x38000000u;
    return w | (((big & normal) | (small & ~normal)) << 16);
}

#define MASTER(w, low, i) BY_TYPE(MASTER_, TYPE_##w)(w, low, i)
#define MASTER_F32(w, low, i) w[i]
#define MASTER_F16(w, low, i) master_of_half(BITS16(w, i), BITS16(low, i))
#define MASTER_BF16(w, low, i) master_of_bf16(BITS16(w, i), BITS16(low, i))

#define MASTER_EACH(w, low, i, v) BY_TYPE(MASTER_EACH_, TYPE_##w)(w, low, i, v)
#define MASTER_EACH_F32(w, low, i, v) ST_EACH_F32(w, i, v);
#define MASTER_EACH_F16(w, low, i, v) MASTER_WORDS(master_to_half, w, low, i, v)
#define MASTER_EACH_BF16(w, low, i, v) MASTER_WORDS(master_to_bf16, w, low, i, v)
#if PER == 1
#define MASTER_WORDS(to, w, low, i, v)                                                             \
    {                                                                                              \
        const uint one_ = to(v[0]);                                                                \
        w[i] = (ushort) one_;                                                                      \
        low[i] = (ushort) (one_ >> 16);                                                            \
    }
#else
#define MASTER_WORDS(to, w, low, i, v)                                                             \
    {                                                                                              \
        const uint one_ = to(v[0]), two_ = to(v[1]);                                               \
        STORE_WORD(w, i, (one_ & 0xffffu) | (two_ << 16));                                         \
        STORE_WORD(low, i, (one_ >> 16) | (two_ & 0xffff0000u));                                   \
    }
#endif

#endif // MASTER_H
