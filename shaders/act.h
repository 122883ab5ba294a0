// shaders/act.h -- activations by number (enum op_act) and their slopes. ACT is compiled in. After
// kernel.h.
#ifndef ACT_H
#define ACT_H

#include "exp.h"

#ifndef ACT
#define ACT 0
#endif

#if ACT == 0
// silu: z * sigmoid(z). The exp of a number that is not above 0 cannot overflow.
float act(float z)
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
#endif

#endif // ACT_H
