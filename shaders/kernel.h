// shaders/kernel.h -- the prelude: one kernel text, read as GLSL 4.50 (Vulkan 1.1) or as OpenCL C 1.2.
//
// A kernel defines BUFFERS, PARAMS and LOCALS (lists, see any shaders/x.h), includes this, and writes
//   KERNEL_BEGIN(name) ... KERNEL_END
// Buffer entries: IN | OUT | INOUT (binding, type, name); type is float, uint or elem. elem is stored as
// f32, f16 or bf16, whatever is bound, and is touched through
//   LD(x, i)   float           LD2(x, i)  vec2, i even        LD4(x, i)  vec4, i a multiple of 4
//   ST2(x, i, v)               ST4(x, i, v)
// which convert; a lane stores whole 32-bit words, never half of one. Halves round to nearest even.
// Params: U32(x) F32(x). Locals: SHARED(type, name, count).
// The host compiles with GROUP, GROUP_Y_SIZE and TYPE_<buffer> set. What bites (seen): literals carry
// their type; abs, min, max, mix, fma go through the macros below; several results are a struct; helper
// functions take values, not buffers.
#ifndef KERNEL_H
#define KERNEL_H

#ifndef GROUP
#define GROUP 64
#endif
#ifndef GROUP_Y_SIZE
#define GROUP_Y_SIZE 1
#endif
#define LANES (GROUP * GROUP_Y_SIZE)

#define ELEM_TYPE(t) ELEM_TYPE_(t)
#define ELEM_TYPE_(t) ELEM_##t

#ifdef __OPENCL_C_VERSION__ // ---- OpenCL C ------------------------------------------------------

#pragma OPENCL FP_CONTRACT OFF
typedef float2 vec2;
typedef float4 vec4;
typedef uint2 uvec2;
typedef uint4 uvec4;
#define vec2(...) ((float2)(__VA_ARGS__))
#define vec4(...) ((float4)(__VA_ARGS__))
#define uvec2(...) ((uint2)(__VA_ARGS__))
#define uvec4(...) ((uint4)(__VA_ARGS__))
#define float(x) ((float)(x))
#define uint(x) ((uint)(x))
#define int(x) ((int)(x))
#define inversesqrt(x) rsqrt(x)
#define floatBitsToUint(x) as_uint(x)
#define uintBitsToFloat(x) as_float(x)
#define precise
#define barrier() barrier(CLK_LOCAL_MEM_FENCE)

#define ABS(x) fabs(x)
#define MIN(a, b) fmin(a, b)
#define MAX(a, b) fmax(a, b)
#define UMIN(a, b) min(a, b)
#define UMAX(a, b) max(a, b)
#ifdef FP_FAST_FMAF // hardware fma; elsewhere fma() is a slow library call
#define MAD(a, b, c) fma(a, b, c)
#else
#define MAD(a, b, c) ((a) * (b) + (c))
#endif

#define GROUP_X ((uint)get_group_id(0) + group_base_x)
#define GROUP_Y ((uint)get_group_id(1) + group_base_y)
#define GROUP_Z ((uint)get_group_id(2) + group_base_z)
#define LANE_X ((uint)get_local_id(0))
#define LANE_Y ((uint)get_local_id(1))

#define ELEM_F32 float
#define ELEM_F16 ushort
#define ELEM_BF16 ushort
#define IN(n, t, x) __global const CL_TYPE_##t(x) *restrict x,
#define OUT(n, t, x) __global CL_TYPE_##t(x) *restrict x,
#define INOUT(n, t, x) __global CL_TYPE_##t(x) *x,
#define CL_TYPE_float(x) float
#define CL_TYPE_uint(x) uint
#define CL_TYPE_elem(x) ELEM_TYPE(TYPE_##x)
#define U32(x) const uint x,
#define F32(x) const float x,
#define SHARED(t, x, n) __local t x[n];
#define KERNEL_BEGIN(name)                                                                         \
    __kernel __attribute__((reqd_work_group_size(GROUP, GROUP_Y_SIZE, 1))) void name(              \
        BUFFERS PARAMS const uint group_base_x, const uint group_base_y, const uint group_base_z)  \
    {                                                                                              \
        LOCALS
#define KERNEL_END }

// Halves by integer arithmetic, so that every driver rounds alike (and PoCL vectorizes it).
float half_to_float(uint h)
{
    const uint sign = (h & 0x8000u) << 16, em = h & 0x7fffu;
    const float small = (float) em * 0x1p-24f; // subnormals, without making a float one
    const uint big = (em << 13) + (em >= 0x7c00u ? 0x70000000u : 0x38000000u); // Inf and NaN keep theirs
    return as_float((em < 0x400u ? as_uint(small) : big) | sign);
}
#define LD_F16(buf, i) half_to_float(buf[i])
#define LD_BF16(buf, i) as_float((uint)buf[i] << 16)
#define LD2_F16(buf, i) vec2(LD_F16(buf, i), LD_F16(buf, (i) + 1u))
#define LD2_BF16(buf, i) vec2(LD_BF16(buf, i), LD_BF16(buf, (i) + 1u))
#define LD4_F16(buf, i) vec4(LD2_F16(buf, i), LD2_F16(buf, (i) + 2u))
#define LD4_BF16(buf, i) vec4(LD2_BF16(buf, i), LD2_BF16(buf, (i) + 2u))
#define LD2_F32(buf, i) vload2(0, buf + (i))
#define LD4_F32(buf, i) vload4(0, buf + (i))
#define ST2_F32(buf, i, v) vstore2(v, 0, buf + (i))
#define ST4_F32(buf, i, v) vstore4(v, 0, buf + (i))
#define STORE_WORD(buf, i, w) vstore2((ushort2)((ushort)((w) & 0xffffu), (ushort)((w) >> 16)), 0, buf + (i))

#else // ---- GLSL ----------------------------------------------------------------------------------

#define ABS(x) abs(x)
#define MIN(a, b) min(a, b)
#define MAX(a, b) max(a, b)
#define UMIN(a, b) min(a, b)
#define UMAX(a, b) max(a, b)
#define MAD(a, b, c) fma(a, b, c)

#define GROUP_X (gl_WorkGroupID.x + group_base_x)
#define GROUP_Y (gl_WorkGroupID.y + group_base_y)
#define GROUP_Z (gl_WorkGroupID.z + group_base_z)
#define LANE_X gl_LocalInvocationID.x
#define LANE_Y gl_LocalInvocationID.y

#define ELEM_F32 float
#define ELEM_F16 uint
#define ELEM_BF16 uint
#define IN(n, t, x)                                                                                \
    layout(std430, set = 0, binding = n) readonly buffer x##_block { GLSL_TYPE_##t(x) x[]; };
#define OUT(n, t, x) layout(std430, set = 0, binding = n) buffer x##_block { GLSL_TYPE_##t(x) x[]; };
#define INOUT(n, t, x) OUT(n, t, x)
#define GLSL_TYPE_float(x) float
#define GLSL_TYPE_uint(x) uint
#define GLSL_TYPE_elem(x) ELEM_TYPE(TYPE_##x)
#define U32(x) uint x;
#define F32(x) float x;
#define SHARED(t, x, n) shared t x[n];
#define KERNEL_BEGIN(name)                                                                         \
    layout(local_size_x = GROUP, local_size_y = GROUP_Y_SIZE) in;                                  \
    BUFFERS                                                                                        \
    layout(push_constant) uniform Params                                                           \
    {                                                                                              \
        PARAMS uint group_base_x;                                                                  \
        uint group_base_y;                                                                         \
        uint group_base_z;                                                                         \
    };                                                                                             \
    LOCALS void main()                                                                             \
    {
#define KERNEL_END }

#define LD_F16(buf, i) unpackHalf2x16(buf[(i) >> 1] >> (((i) & 1u) << 4)).x
#define LD_BF16(buf, i) uintBitsToFloat((buf[(i) >> 1] >> (((i) & 1u) << 4)) << 16)
#define LD2_F16(buf, i) unpackHalf2x16(buf[(i) >> 1])
#define LD2_BF16(buf, i) bf16_pair(buf[(i) >> 1])
#define LD4_F16(buf, i) vec4(LD2_F16(buf, i), LD2_F16(buf, (i) + 2u))
#define LD4_BF16(buf, i) vec4(LD2_BF16(buf, i), LD2_BF16(buf, (i) + 2u))
#define LD2_F32(buf, i) vec2(buf[i], buf[(i) + 1u])
#define LD4_F32(buf, i) vec4(buf[i], buf[(i) + 1u], buf[(i) + 2u], buf[(i) + 3u])
#define ST2_F32(buf, i, v) (buf[i] = (v).x, buf[(i) + 1u] = (v).y)
#define ST4_F32(buf, i, v) (buf[i] = (v).x, buf[(i) + 1u] = (v).y, buf[(i) + 2u] = (v).z, buf[(i) + 3u] = (v).w)
#define STORE_WORD(buf, i, w) (buf[(i) >> 1] = (w))

vec2 bf16_pair(uint w) { return vec2(uintBitsToFloat(w << 16), uintBitsToFloat(w & 0xffff0000u)); }

#endif // ---- both ---------------------------------------------------------------------------------

#define LANE LANE_X
#define GLOBAL_ID (GROUP_X * uint(GROUP) + LANE_X)

// float -> f16 bits, to nearest even; subnormals kept, overflow to Inf, NaN stays NaN.
uint float_to_half(float f)
{
    const uint u = floatBitsToUint(f);
    const uint sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a >= 0x477ff000u)
        return sign | (a > 0x7f800000u ? 0x7e00u : 0x7c00u);
    if (a < 0x38800000u) // the sum's last bits are the subnormal, rounded by the adder
        return sign | (a < 0x33000000u ? 0u : floatBitsToUint(uintBitsToFloat(a) + 0.5f) - 0x3f000000u);
    return sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13);
}

// float -> bf16 bits, to nearest even; NaN stays NaN.
uint float_to_bf16(float f)
{
    const uint u = floatBitsToUint(f);
    return (u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
}

#define LD_F32(buf, i) buf[i]
#define ST2_F16(buf, i, v) STORE_WORD(buf, i, float_to_half((v).x) | (float_to_half((v).y) << 16))
#define ST2_BF16(buf, i, v) STORE_WORD(buf, i, float_to_bf16((v).x) | (float_to_bf16((v).y) << 16))
#define ST4_F16(buf, i, v) ST4_HALVES(ST2_F16, buf, i, v)
#define ST4_BF16(buf, i, v) ST4_HALVES(ST2_BF16, buf, i, v)
#define ST4_HALVES(st, buf, i, v)                                                                    \
    {                                                                                              \
        st(buf, i, vec2((v).x, (v).y));                                                              \
        st(buf, (i) + 2u, vec2((v).z, (v).w));                                                       \
    }

#define BY_TYPE(op, t) BY_TYPE_(op, t)
#define BY_TYPE_(op, t) op##t
#define LD(buf, i) BY_TYPE(LD_, TYPE_##buf)(buf, i)
#define LD2(buf, i) BY_TYPE(LD2_, TYPE_##buf)(buf, i)
#define LD4(buf, i) BY_TYPE(LD4_, TYPE_##buf)(buf, i)
#define ST2(buf, i, v) BY_TYPE(ST2_, TYPE_##buf)(buf, i, v)
#define ST4(buf, i, v) BY_TYPE(ST4_, TYPE_##buf)(buf, i, v)

// Sum or maximum of `v` (a float variable) over the lanes of a group; afterwards every lane holds the
// result. `red` is SHARED(float, red, LANES); LANES is a power of two. Fixed order: a binary tree.
#define GROUP_REDUCE(red, v, op)                                                                   \
    {                                                                                              \
        red[LANE] = v;                                                                             \
        barrier();                                                                                 \
        for (uint half_ = uint(LANES) / 2u; half_ > 0u; half_ >>= 1) {                             \
            if (LANE < half_)                                                                      \
                red[LANE] = op(red[LANE], red[LANE + half_]);                                      \
            barrier();                                                                             \
        }                                                                                          \
        v = red[0];                                                                                \
        barrier();                                                                                 \
    }
#define PLUS(a, b) ((a) + (b))
#define GROUP_SUM(red, v) GROUP_REDUCE(red, v, PLUS)
#define GROUP_MAX(red, v) GROUP_REDUCE(red, v, MAX)

#endif // KERNEL_H
