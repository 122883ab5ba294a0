// shaders/experts_act_back.comp -- dg = w da u act'(g), du = w da act(g), dw[m] = sum da act(g) u;
// one group a row. Oracle: op_experts_act_back_ref().
#include "act.h"
#include "experts.h"
#define BUFFERS EXPERTS_ACT_BACK_BUFFERS
#define PARAMS ACT_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"
#include "act_kind.h"

KERNEL_BEGIN(experts_act_back)
    const uint m = GROUP_Y;
    const float weight = w[m];
    float sum = 0.0f;
    for (uint c = LANE * 2u; c < ld; c += uint(LANES) * 2u) {
        const uint i = m * ld + c;
        const vec2 z = LD2(g, i), up = LD2(u, i), d = LD2(da, i);
        const vec2 value = vec2(act_of(z.x), act_of(z.y));
        const vec2 slope = vec2(act_slope(z.x), act_slope(z.y));
        vec2 to_u = d * value, to_g = d * up * slope;
        if (c >= cols) { // cols is even
            to_u = vec2(0.0f, 0.0f);
            to_g = to_u;
        } else {
            sum += to_u.x * up.x + to_u.y * up.y;
        }
        ST2(du, i, to_u * weight);
        ST2(dg, i, to_g * weight);
    }
    GROUP_SUM(red, sum)
    if (LANE == 0u)
        dw[m] = sum;
KERNEL_END
