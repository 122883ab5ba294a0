// shaders/act.h -- activations by number (enum op_act) with their slopes. ACT is compiled in. After kernel.h.
#ifndef ACT_H
#define ACT_H

#ifndef ACT
#define ACT 0
#endif

#if ACT == 0
// silu: (z * sigmoid(z), its derivative). The exp of a negative number cannot overflow.
vec2 act(float z)
{
    const float e = exp(-ABS(z)), r = 1.0f / (1.0f + e);
    const float s = z >= 0.0f ? r : e * r, one_minus_s = z >= 0.0f ? e * r : r;
    return vec2(z * s, s * (1.0f + z * one_minus_s));
}
#endif

#endif // ACT_H
