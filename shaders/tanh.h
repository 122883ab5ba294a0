// shaders/tanh.h -- tanh_of(float), to 3e-7 of itself. After kernel.h. Written out, because Vulkan
// defines its own through sinh and cosh, which overflow. Near 0 an odd polynomial (least squares of
// the relative error over |x| < 0.6: 3e-9), else (1 - e) / (1 + e), e = exp(-2 |x|).
#ifndef TANH_H
#define TANH_H

#include "exp.h"

float tanh_of(float x)
{
    const float a = ABS(x), q = MIN(a, 0.6f) * MIN(a, 0.6f);
    float p = MAD(q, -0.00588323305f, 0.0207851476f);
    p = MAD(p, q, -0.0537803994f);
    p = MAD(p, q, 0.133318803f);
    p = MAD(p, q, -0.333332962f);
    const float e = exp_neg(-2.0f * MIN(a, 40.0f)), far = (1.0f - e) / (1.0f + e);
    const float near = MAD(p * q, a, a), t = SELECT(a < 0.6f, near, far);
    return SELECT(x < 0.0f, -t, t);
}

#endif // TANH_H
