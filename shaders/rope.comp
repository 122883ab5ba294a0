// shaders/rope.comp -- rotate pairs (j, j + R/2) of each head, two elements of y a lane. Oracle:
// op_rope_ref(). ODD: R/2 is odd, so that partners do not lie in words of their own. PAIRS: pairs are
// (2j, 2j + 1), which one lane has. PER 1, on a
// CPU: two groups make a row, which is nothing but whole heads, the first the elements j of each
// head, the second j + R/2: of two results a lane PoCL would make vectors, not of lanes.
#include "rope.h"
#define BUFFERS ROPE_BUFFERS
#define PARAMS ROPE_PARAMS
#define LOCALS
#include "kernel.h"

#ifndef ODD
#define ODD 0
#endif
#ifndef PAIRS
#define PAIRS 0
#endif

// e's share of the rotation by (c, s), where e is an element of its head and `low` says that it is
// x[j], not x[j + R/2].
float turn(float e, float partner, float c, float s, bool low)
{
    return e * c + (low ? -partner : partner) * s;
}

KERNEL_BEGIN(rope)
    const uint t = GROUP_Y, half_ = rot_dim / 2u;
#if PER == 1
    const uint e = LANE_Y * head_dim + LANE_X, from = t * ldx + e, to = t * ldy + e;
    const uint at = pos[t] * half_ + LANE_X, own = GROUP_X * half_, other = half_ - own;
    const bool low = GROUP_X == 0u;
    const float s = sin_table[at] * sign;
    ST1(y, to + own, turn(LD(x, from + own), LD(x, from + other), cos_table[at], s, low));
#else
    const uint i = GLOBAL_ID * 2u;
    if (i >= ldy)
        return; // no barrier follows
    vec2 v = vec2(0.0f, 0.0f);
    if (i < n_heads * head_dim) {
        const uint e = i % head_dim, row = t * ldx + i - e, table = pos[t] * half_;
        v = LD2(x, row + e);
        if (e < rot_dim) {
#if PAIRS
            const float c = cos_table[table + e / 2u], s = sin_table[table + e / 2u] * sign;
            v = vec2(turn(v.x, v.y, c, s, true), turn(v.y, v.x, c, s, false));
#else
            const bool low = e < half_;
            const uint j = low ? e : e - half_;
#if ODD
            const bool low1 = e + 1u < half_;
            const uint j1 = low1 ? e + 1u : e + 1u - half_;
            const uint p = low ? j + half_ : j, p1 = low1 ? j1 + half_ : j1;
            const vec2 partner = vec2(LD(x, row + p), LD(x, row + p1));
#else
            const bool low1 = low;
            const uint j1 = j + 1u;
            const vec2 partner = LD2(x, row + (low ? j + half_ : j));
#endif
            const float s = sin_table[table + j] * sign, s1 = sin_table[table + j1] * sign;
            v = vec2(turn(v.x, partner.x, cos_table[table + j], s, low),
                     turn(v.y, partner.y, cos_table[table + j1], s1, low1));
#endif
        }
    }
    ST2(y, t * ldy + i, v);
#endif
KERNEL_END
