// shaders/clip.comp -- mult = min(most, max / (sqrt(sum of parts) + add)), one group. Numbers are
// pairs of floats (x + y, y below x's last bit), so that the result is the nearest float but for
// rare ties. Source: Dekker 1971, https://doi.org/10.1007/BF01397083. Oracle: op_clip_ref().
#include "clip.h"
#define BUFFERS CLIP_BUFFERS
#define PARAMS CLIP_PARAMS
#define LOCALS SHARED(float, red, 4 * LANES)
#include "kernel.h"

#define SMALL 5.421010862427522e-20f // 2^-64: for sums that would leave the range of a float
#define ROOT 4294967296.0f           // 2^32

// a + b, exactly.
vec2 sum_of(float a, float b)
{
    precise float s = a + b, back = s - a;
    precise float rest = (a - (s - back)) + (b - back);
    return vec2(s, rest);
}

// a * b, exactly, where nothing leaves the range.
vec2 product_of(float a, float b)
{
    precise float p = a * b, s = 4097.0f * a, t = 4097.0f * b;
    precise float a1 = s - (s - a), b1 = t - (t - b);
    precise float a2 = a - a1, b2 = b - b1;
    precise float rest = ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2;
    return vec2(p, rest);
}

vec2 add_pairs(vec2 a, vec2 b)
{
    const vec2 s = sum_of(a.x, b.x);
    precise float rest = s.y + (a.y + b.y);
    return sum_of(s.x, rest);
}

// sqrt(a), a > 0: one step of Newton's method from the float's root.
vec2 root_of(vec2 a)
{
    const float r = sqrt(a.x);
    const vec2 square = product_of(r, r);
    precise float rest = ((a.x - square.x) - square.y) + a.y;
    return sum_of(r, rest / (2.0f * r));
}

// a / b, rounded to a float.
float quotient_of(vec2 a, vec2 b)
{
    const float q = a.x / b.x;
    const vec2 back = product_of(q, b.x);
    precise float rest = ((a.x - back.x) - back.y) + (a.y - q * b.y);
    precise float all = q + rest / b.x;
    return all;
}

KERNEL_BEGIN(clip)
    vec2 sum = vec2(0.0f, 0.0f), small = sum;
    for (uint i = LANE; i < n; i += uint(LANES)) {
        sum = add_pairs(sum, vec2(part[i], 0.0f));
        small = add_pairs(small, vec2(part[i] * SMALL, 0.0f));
    }
    red[4u * LANE] = sum.x;
    red[4u * LANE + 1u] = sum.y;
    red[4u * LANE + 2u] = small.x;
    red[4u * LANE + 3u] = small.y;
    barrier();
    if (LANE == 0u) {
        for (uint k = 1u; k < uint(LANES); k++) {
            sum = add_pairs(sum, vec2(red[4u * k], red[4u * k + 1u]));
            small = add_pairs(small, vec2(red[4u * k + 2u], red[4u * k + 3u]));
        }
        const bool big = small.x > 1.0e10f; // the sum is above 1e29
        const vec2 from = big ? small : sum;
        vec2 norm = vec2(0.0f, 0.0f);
        if (from.x > 0.0f)
            norm = root_of(from);
        if (big)
            norm = vec2(norm.x * ROOT, norm.y * ROOT);
        const vec2 below = add_pairs(norm, vec2(add_hi, add_lo));
        float clip = most;
        if (max_hi > 0.0f && below.x > 0.0f && max_hi / below.x < 2.0f * most)
            clip = MIN(most, quotient_of(vec2(max_hi, max_lo), below));
        mult[0] = clip;
    }
KERNEL_END
