// shaders/columns.h -- four columns of a row at a time where the last ones are padding. After
// kernel.h.
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

#endif // COLUMNS_H
