// shaders/exp.h -- exp of numbers that are not above 0 but for rounding: exp_neg(float),
// exp_neg4(vec4), in OpenCL C exp_neg16(float16). After kernel.h. In OpenCL C written out, because PoCL makes no vectors of the
// built-in one: 2^k * e^r, |r| <= ln(2)/2, e^r by its series up to r^7, together good to 1 ULP
// (seen over all of [-87, 0]). Below -87.33, where f32 runs out of normal numbers, 0. NaN stays NaN.
#ifndef EXP_H
#define EXP_H

#ifdef __OPENCL_C_VERSION__
#define DEFINE_EXP_NEG(name, vec, ints, as_vec, as_ints)                                           \
    vec name(vec x)                                                                                \
    {                                                                                              \
        const vec y = select(x, (vec) -87.33f, x < -87.33f);                                       \
        const vec shifted = MAD(y, (vec) 1.44269504f, (vec) 12582912.0f); /* 1.5 * 2^23 + k */     \
        const vec k = shifted - 12582912.0f;                                                       \
        const vec r = MAD(k, (vec) -0x1.7f7d1cp-20f, MAD(k, (vec) -0x1.62e4p-1f, y)); /* ln 2 */   \
        vec p = MAD(r, (vec) (1.0f / 5040.0f), (vec) (1.0f / 720.0f));                             \
        p = MAD(p, r, (vec) (1.0f / 120.0f));                                                      \
        p = MAD(p, r, (vec) (1.0f / 24.0f));                                                       \
        p = MAD(p, r, (vec) (1.0f / 6.0f));                                                        \
        p = MAD(p, r, (vec) 0.5f);                                                                 \
        p = (MAD(p * r, r, r) + 1.0f) * as_vec((as_ints(shifted) << 23) + 0x3f800000);             \
        return select(p, (vec) 0.0f, x < -87.33f);                                                 \
    }
DEFINE_EXP_NEG(exp_neg, float, int, as_float, as_int)
DEFINE_EXP_NEG(exp_neg4, float4, int4, as_float4, as_int4)
DEFINE_EXP_NEG(exp_neg16, float16, int16, as_float16, as_int16)
#else
#define exp_neg(x) exp(x)
#define exp_neg4(x) exp(x)
#endif

#endif // EXP_H
