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
#define SELECT(when, yes, no) ((when) ? (yes) : (no))
#define ALL2(a, b) ((a) && (b))
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
#define INOUT(n, t, x) __global CL_TYPE_##t(x) *restrict x,
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

// Halves by integer arithmetic, so that every driver rounds alike. Without comparisons, so that
// PoCL makes vectors of lanes, not of what a lane reads. `small` is the subnormal, without making a
// float one; where one of it and `big` does not apply it is 2^-14 (0x38800000). Inf and NaN keep
// their exponent.
#define FROM_HALF(h, uint_t, as_float_t, as_uint_t, convert)                              \
    const uint_t em = (h) & 0x7fffu, small = as_uint_t(convert(UMIN(em, 0x400u)) * 0x1p-24f);      \
    const uint_t big = (UMAX(em, 0x400u) << 13) + ((0u - ((em + 0x400u) >> 15)) & 0x38000000u);    \
    return as_float_t((small + big - 0x800000u) | ((h) & 0x8000u) << 16);
float half_to_float(uint h) { FROM_HALF(h, uint, as_float, as_uint, (float)) }
float4 half_to_float4(uint4 h) { FROM_HALF(h, uint4, as_float4, as_uint4, convert_float4) }
#define LD_F16(buf, i) half_to_float(buf[i])
#define LD_BF16(buf, i) as_float((uint)buf[i] << 16)
#define LD2_F16(buf, i) vec2(LD_F16(buf, i), LD_F16(buf, (i) + 1u))
#define LD2_BF16(buf, i) vec2(LD_BF16(buf, i), LD_BF16(buf, (i) + 1u))
#define LD4_F16(buf, i) half_to_float4(convert_uint4(vload4(0, buf + (i))))
#define LD4_BF16(buf, i) as_float4(convert_uint4(vload4(0, buf + (i))) << 16)
#define LD2_F32(buf, i) vload2(0, buf + (i))
#define LD4_F32(buf, i) vload4(0, buf + (i))
#define ST2_F32(buf, i, v) vstore2(v, 0, buf + (i))
#define ST4_F32(buf, i, v) vstore4(v, 0, buf + (i))
// A word, because PoCL makes no wide vectors of vstore2.
#define STORE_WORD(buf, i, w) (((__global uint *)(buf))[(i) >> 1] = (w))


#else // ---- GLSL ----------------------------------------------------------------------------------

#define ABS(x) abs(x)
#define MIN(a, b) min(a, b)
#define MAX(a, b) max(a, b)
#define UMIN(a, b) min(a, b)
#define UMAX(a, b) max(a, b)
// Without branches, which ?: and && are to glslang: for code that is unrolled, because SwiftShader's
// compile time doubles with each. Both sides are computed, so neither may read out of bounds.
#define SELECT(when, yes, no) mix(no, yes, when)
#define ALL2(a, b) all(bvec2(a, b))
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

// Elementwise kernels compute PER neighbours a lane, i and those behind it, into an array and store
// it with ST_EACH. Two make a whole word. On a CPU behind OpenCL the host asks for one (op_grid()
// in src/op/op.h), because only then PoCL makes wide vectors of the lanes; nor does it where lanes
// ask whether they are beyond the end, so a host that cuts its grid so that none is says that it is
// WHOLE.
#ifndef PER
#define PER 2
#endif
#ifndef WHOLE
#define WHOLE 0
#endif
#define BEYOND(i, n) (WHOLE == 0 && (i) >= (n))
#if PER == 1
#define ST1(buf, i, v) BY_TYPE(ST1_, TYPE_##buf)(buf, i, v)
#define ST_EACH(buf, i, v) ST1(buf, i, v[0])
#define ST_EACH_F32(buf, i, v) (buf[i] = v[0])
#else
#define ST_EACH(buf, i, v) ST2(buf, i, vec2(v[0], v[1]))
#define ST_EACH_F32(buf, i, v) ST2_F32(buf, i, vec2(v[0], v[1]))
#endif

#define LANE LANE_X
#define GLOBAL_ID (GROUP_X * uint(GROUP) + LANE_X)

// float -> f16 bits, to nearest even; subnormals kept, overflow to Inf, NaN stays NaN. u is the
// float's bits. Without branches or comparisons, so that PoCL makes vectors of lanes, not of a
// lane's two results. Below 2^-14 (0x38800000) the sum's last bits are the subnormal, rounded by
// the adder; from 2^16 (0x47800000) on it is Inf. Where one of `small` and `normal` does not apply
// it is 0x400, the bits of 2^-14.
#define TO_HALF(u, a, uint_t, as_float_t, as_uint_t)                                               \
    const uint_t small = as_uint_t(as_float_t(UMIN(a, 0x38800000u)) + 0.5f) - 0x3f000000u;         \
    const uint_t most = UMIN(UMAX(a, 0x38800000u), 0x47800000u);                                   \
    const uint_t normal = (most - 0x38000000u + 0xfffu + ((most >> 13) & 1u)) >> 13;               \
    const uint_t nan = (0x7f800000u - (a)) >> 31;                                                  \
    return (((u) >> 16) & 0x8000u) | (small + normal - 0x400u) | (nan << 9);

// float -> bf16 bits, to nearest even; NaN stays NaN.
#define TO_BF16(u, uint_t)                                                                         \
    const uint_t nan = (0x7f800000u - ((u) & 0x7fffffffu)) >> 31;                                  \
    return (((u) + ((0x7fffu + (((u) >> 16) & 1u)) & (nan - 1u))) >> 16) | (nan << 6);

uint float_to_half(float f)
{
    const uint u = floatBitsToUint(f), a = u & 0x7fffffffu;
    TO_HALF(u, a, uint, uintBitsToFloat, floatBitsToUint)
}
uint float_to_bf16(float f)
{
    const uint u = floatBitsToUint(f);
    TO_BF16(u, uint)
}

#define LD_F32(buf, i) buf[i]
#define ST1_F32(buf, i, v) (buf[i] = (v))
#define ST1_F16(buf, i, v) (buf[i] = (ushort) float_to_half(v))
#define ST1_BF16(buf, i, v) (buf[i] = (ushort) float_to_bf16(v))
#define ST2_F16(buf, i, v) STORE_WORD(buf, i, float_to_half((v).x) | (float_to_half((v).y) << 16))
#define ST2_BF16(buf, i, v) STORE_WORD(buf, i, float_to_bf16((v).x) | (float_to_bf16((v).y) << 16))
#ifdef __OPENCL_C_VERSION__
uint4 float_to_half4(uint4 u)
{
    const uint4 a = u & 0x7fffffffu;
    TO_HALF(u, a, uint4, as_float4, as_uint4)
}
uint4 float_to_bf16_4(uint4 u) { TO_BF16(u, uint4) }
#define ST4_F16(buf, i, v) vstore4(convert_ushort4(float_to_half4(as_uint4(v))), 0, buf + (i))
#define ST4_BF16(buf, i, v) vstore4(convert_ushort4(float_to_bf16_4(as_uint4(v))), 0, buf + (i))
#else
#define ST4_F16(buf, i, v) ST4_HALVES(ST2_F16, buf, i, v)
#define ST4_BF16(buf, i, v) ST4_HALVES(ST2_BF16, buf, i, v)
#define ST4_HALVES(st, buf, i, v)                                                                    \
    {                                                                                              \
        st(buf, i, vec2((v).x, (v).y));                                                              \
        st(buf, (i) + 2u, vec2((v).z, (v).w));                                                       \
    }
#endif

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
