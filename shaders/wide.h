// shaders/wide.h -- vectors of VW floats for the kernels of CPUs (OpenCL C only): conversions of
// stored elements, and transposition. Define VW, 8 or 16, and include after kernel.h.
#ifndef WIDE_H
#define WIDE_H

#define CAT(a, b) CAT_(a, b)
#define CAT_(a, b) a##b
#define FV CAT(float, VW)

// Halves to floats and back, to nearest even; subnormals, Inf and NaN kept (see kernel.h).
#define CONVERSIONS(W)                                                                             \
    float##W wide_from_F16_##W(ushort##W h)                                                        \
    {                                                                                              \
        const uint##W x = convert_uint##W(h), em = (x & 0x7fffu) << 13;                            \
        const uint##W f = as_uint##W(as_float##W(em) * 0x1p112f);                                  \
        const uint##W special = em | 0x7f800000u;                                                  \
        return as_float##W(select(f, special, em >= 0x0f800000u) | ((x & 0x8000u) << 16));         \
    }                                                                                              \
    float##W wide_from_BF16_##W(ushort##W h) { return as_float##W(convert_uint##W(h) << 16); }     \
    ushort##W wide_to_F16_##W(float##W f)                                                          \
    {                                                                                              \
        const uint##W u = as_uint##W(f), a = u & 0x7fffffffu;                                      \
        const uint##W small = as_uint##W(as_float##W(a) + 0.5f) - 0x3f000000u;                     \
        const uint##W big = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;                   \
        const uint##W over = select((uint##W)0x7c00u, (uint##W)0x7e00u, a > 0x7f800000u);          \
        const uint##W finite = select(big, small, a < 0x38800000u);                                \
        return convert_ushort##W(select(finite, over, a >= 0x477ff000u) | ((u >> 16) & 0x8000u));  \
    }                                                                                              \
    ushort##W wide_to_BF16_##W(float##W f)                                                         \
    {                                                                                              \
        const uint##W u = as_uint##W(f), near = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;            \
        const uint##W nan = (u >> 16) | 0x40u;                                                     \
        return convert_ushort##W(select(near, nan, (u & 0x7fffffffu) > 0x7f800000u));              \
    }
CONVERSIONS(8)
#if VW != 8
CONVERSIONS(16)
#endif

// W elements of a buffer, converted; STF to and from floats without conversion.
#define LDW(W, buf, i) BY_TYPE(LDW_, TYPE_##buf)(W, buf, i)
#define LDW_F32(W, buf, i) CAT(vload, W)(0, buf + (i))
#define LDW_F16(W, buf, i) CAT(wide_from_F16_, W)(CAT(vload, W)(0, buf + (i)))
#define LDW_BF16(W, buf, i) CAT(wide_from_BF16_, W)(CAT(vload, W)(0, buf + (i)))
#define STW(W, buf, i, v) BY_TYPE(STW_, TYPE_##buf)(W, buf, i, v)
#define STW_F32(W, buf, i, v) CAT(vstore, W)(v, 0, buf + (i))
#define STW_F16(W, buf, i, v) CAT(vstore, W)(CAT(wide_to_F16_, W)(v), 0, buf + (i))
#define STW_BF16(W, buf, i, v) CAT(vstore, W)(CAT(wide_to_BF16_, W)(v), 0, buf + (i))
#define LDF(buf, i) CAT(vload, VW)(0, buf + (i))

// vstoren of clang's library is a store for every four elements.
#ifdef __clang__
typedef FV UNALIGNED __attribute__((aligned(4)));
#define DEFINE_STF(space)                                                                          \
    void __attribute__((overloadable)) wide_store(space float *to, FV v)                           \
    {                                                                                              \
        *(space UNALIGNED *)to = v;                                                                \
    }
DEFINE_STF(__global)
DEFINE_STF(__local)
DEFINE_STF(__private)
#define STF(buf, i, v) wide_store(buf + (i), v)
#else
#define STF(buf, i, v) CAT(vstore, VW)(v, 0, buf + (i))
#endif

// TRANSPOSE(v): vectors v[0], ..., v[VW - 1], in steps of D = VW / 2, ..., 1: MIX_D exchanges the
// columns with bit D of x with those without of y.
#define PAIRS(v, D, MIX)                                                                           \
    _Pragma("unroll") for (int i = 0; i < VW; i++) if ((i & D) == 0)                               \
    {                                                                                              \
        const FV x = v[i], y = v[i + D];                                                           \
        MIX(v[i], v[i + D], x, y);                                                                 \
    }
#if VW == 16
#define MIX_8(p, q, x, y) p = (FV)(x.lo, y.lo), q = (FV)(x.hi, y.hi)
#define MIX_4(p, q, x, y)                                                                          \
    p = (FV)(x.s0123, y.s0123, x.s89ab, y.s89ab), q = (FV)(x.s4567, y.s4567, x.scdef, y.scdef)
#define MIX_2(p, q, x, y)                                                                          \
    p = (FV)(x.s01, y.s01, x.s45, y.s45, x.s89, y.s89, x.scd, y.scd),                              \
    q = (FV)(x.s23, y.s23, x.s67, y.s67, x.sab, y.sab, x.sef, y.sef)
#define MIX_1(p, q, x, y)                                                                          \
    p = (FV)(x.s0, y.s0, x.s2, y.s2, x.s4, y.s4, x.s6, y.s6, x.s8, y.s8, x.sa, y.sa, x.sc, y.sc,   \
             x.se, y.se),                                                                          \
    q = (FV)(x.s1, y.s1, x.s3, y.s3, x.s5, y.s5, x.s7, y.s7, x.s9, y.s9, x.sb, y.sb, x.sd, y.sd,   \
             x.sf, y.sf)
#define TRANSPOSE(v) PAIRS(v, 8, MIX_8) PAIRS(v, 4, MIX_4) PAIRS(v, 2, MIX_2) PAIRS(v, 1, MIX_1)
#else
#define MIX_4(p, q, x, y) p = (FV)(x.lo, y.lo), q = (FV)(x.hi, y.hi)
#define MIX_2(p, q, x, y)                                                                          \
    p = (FV)(x.s01, y.s01, x.s45, y.s45), q = (FV)(x.s23, y.s23, x.s67, y.s67)
#define MIX_1(p, q, x, y)                                                                          \
    p = (FV)(x.s0, y.s0, x.s2, y.s2, x.s4, y.s4, x.s6, y.s6),                                      \
    q = (FV)(x.s1, y.s1, x.s3, y.s3, x.s5, y.s5, x.s7, y.s7)
#define TRANSPOSE(v) PAIRS(v, 4, MIX_4) PAIRS(v, 2, MIX_2) PAIRS(v, 1, MIX_1)
#endif

#endif // WIDE_H
