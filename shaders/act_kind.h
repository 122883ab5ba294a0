// shaders/act_kind.h -- activations by number (enum op_act) and their slopes. ACT is compiled in.
// After kernel.h.
#ifndef ACT_KIND_H
#define ACT_KIND_H

#include "exp.h"

#ifndef ACT
#define ACT 0
#endif

#if ACT == 0
// silu: z * sigmoid(z). The exp of a number that is not above 0 cannot overflow.
float act_of(float z)
{
    const float e = exp_neg(-ABS(z)), r = 1.0f / (1.0f + e);
    return z * (z >= 0.0f ? r : e * r);
}

float act_slope(float z)
{
    const float e = exp_neg(-ABS(z)), r = 1.0f / (1.0f + e), q = e * r;
    const float s = z >= 0.0f ? r : q, one_minus_s = z >= 0.0f ? q : r;
    return s * (1.0f + z * one_minus_s);
}
#elif ACT == 1
// gelu by tanh: z/2 (1 + tanh(v)) = z * sigmoid(2v), v = sqrt(2/pi) (z + 0.044715 z^3). Beyond |z|
// = 12, where the sigmoid is 0 or 1 in f32, v is as at 12.
#define GELU_A 1.5957691216f // 2 sqrt(2/pi)
#define GELU_B 0.0713548162f // GELU_A * 0.044715

float act_of(float z)
{
    const float w = MIN(MAX(z, -12.0f), 12.0f), v2 = w * MAD(GELU_B, w * w, GELU_A);
    const float e = exp_neg(-ABS(v2)), r = 1.0f / (1.0f + e);
    return z * (z >= 0.0f ? r : e * r);
}

float act_slope(float z)
{
    const float w = MIN(MAX(z, -12.0f), 12.0f), v2 = w * MAD(GELU_B, w * w, GELU_A);
    const float e = exp_neg(-ABS(v2)), r = 1.0f / (1.0f + e), q = e * r;
    const float s = z >= 0.0f ? r : q;
    return MAD(w * MAD(3.0f * GELU_B, w * w, GELU_A), r * q, s);
}
#else
// gelu: z * Phi(z). The tail of the normal distribution is exp(-z^2 / 2) t P(t), t = 1 / (1 + |z| /
// sqrt(8)); P by least squares of the relative error over |z| < 14: 5e-8.
float gauss_tail(float z, float e)
{
    const float t = 1.0f / MAD(ABS(z), 0.35355339f, 1.0f);
    float p = -0.0601087078f;
    p = MAD(p, t, 0.289446101f);
    p = MAD(p, t, -0.496829578f);
    p = MAD(p, t, 0.288515147f);
    p = MAD(p, t, -0.0333990209f);
    p = MAD(p, t, 0.20536043f);
    p = MAD(p, t, 0.242479379f);
    p = MAD(p, t, 0.282453842f);
    p = MAD(p, t, 0.282082358f);
    return 0.5f * e * t * p;
}

float act_of(float z)
{
    const float q = gauss_tail(z, exp_neg(-MIN(0.5f * z * z, 100.0f)));
    return z * (z >= 0.0f ? 1.0f - q : q);
}

float act_slope(float z)
{
    const float e = exp_neg(-MIN(0.5f * z * z, 100.0f)), q = gauss_tail(z, e);
    const float w = MIN(MAX(z, -14.0f), 14.0f);
    return MAD(w * 0.39894228f, e, z >= 0.0f ? 1.0f - q : q);
}
#endif

#endif // ACT_KIND_H
