// shaders/columns.h -- some columns of a row at a time where the last ones are padding. After
// kernel.h. Four, or in kernels with a group a row ROW_WIDTH: eight where a group is one lane of
// a CPU, which then makes vectors of nothing else.
#ifndef COLUMNS_H
#define COLUMNS_H

// v, with zero in the columns c .. c + 3 that are not below `end`. c is a multiple of 4, end is
// even.
vec4 columns_below(vec4 v, uint c, uint end)
{
    const float z = c + 2u < end ? v.z : 0.0f, w = c + 2u < end ? v.w : 0.0f;
    return vec4(c < end ? v.x : 0.0f, c < end ? v.y : 0.0f, z, w);
}

// Four elements of an elem vector of `end` elements that has no padding: pairs beyond the end
// repeat the last one.
#define LD4_BELOW(b_, c, end)                                                                      \
    vec4(LD2(b_, UMIN(c, (end) - 2u)), LD2(b_, UMIN((c) + 2u, (end) - 2u)))

// Add v to b_[i .. i + 3], elements of a float row at columns c .. c + 3, and leave those from
// `end` on alone.
#define ADD4_BELOW(b_, i, v, c, end)                                                               \
    {                                                                                              \
        const vec2 lo_ = LD2_F32(b_, i) + vec2((v).x, (v).y);                                      \
        ST2_F32(b_, i, lo_);                                                                       \
        if ((c) + 2u < (end)) {                                                                    \
            const vec2 hi_ = LD2_F32(b_, (i) + 2u) + vec2((v).z, (v).w);                           \
            ST2_F32(b_, (i) + 2u, hi_);                                                            \
        }                                                                                          \
    }

#if defined(__OPENCL_C_VERSION__) && LANES == 1
#define VW 8
#include "wide.h"
#define ROW_WIDTH 8u
#define rvec float8
#define RVEC(x) ((float8)(x))
#define LDR(buf, i) LDW(8, buf, i)
#define STR(buf, i, v) STW(8, buf, i, v)
#define LDR_BELOW(buf, c, end) BY_TYPE(row_below_, TYPE_##buf)(buf, c, end)
#define ROW_BELOW(type, elem)                                                                      \
    float8 row_below_##type(__global const elem *buf, uint c, uint end)                            \
    {                                                                                              \
        float v[8];                                                                                \
        if (c + 8u <= end)                                                                         \
            return LDW_##type(8, buf, c);                                                          \
        for (uint i = 0u; i < 8u; i++)                                                             \
            v[i] = LD_##type(buf, min(c + i, end - 1u));                                           \
        return vload8(0, v);                                                                       \
    }
ROW_BELOW(F32, float)
ROW_BELOW(F16, ushort)
ROW_BELOW(BF16, ushort)
float8 row_columns_below(float8 v, uint c, uint end)
{
    const uint8 column = (uint8)(0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u) + c;
    return select((float8)(0.0f), v, column < (uint8)(end));
}
#define ADDR_BELOW(buf, i, v, c, end)                                                              \
    {                                                                                              \
        const float8 new_ = vload8(0, buf + (i)) + (v);                                            \
        if ((c) + 8u <= (end)) {                                                                   \
            vstore8(new_, 0, buf + (i));                                                           \
        } else {                                                                                   \
            float each_[8];                                                                        \
            vstore8(new_, 0, each_);                                                               \
            for (uint e_ = 0u; (c) + e_ < (end); e_++)                                             \
                buf[(i) + e_] = each_[e_];                                                         \
        }                                                                                          \
    }
#define ROW_SUM(v) row_sum(v)
float row_sum(float8 v)
{
    const float4 w = v.lo + v.hi;
    return (w.x + w.y) + (w.z + w.w);
}
#else
#define ROW_WIDTH 4u
#define rvec vec4
#define RVEC(x) vec4(x, x, x, x)
#define LDR(buf, i) LD4(buf, i)
#define STR(buf, i, v) ST4(buf, i, v)
#define LDR_BELOW(buf, c, end) LD4_BELOW(buf, c, end)
#define row_columns_below(v, c, end) columns_below(v, c, end)
#define ADDR_BELOW(buf, i, v, c, end) ADD4_BELOW(buf, i, v, c, end)
#define ROW_SUM(v) (((v).x + (v).y) + ((v).z + (v).w))
#endif

#endif // COLUMNS_H
