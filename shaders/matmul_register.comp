// shaders/matmul_register.comp -- C = A B by tiles in registers, without shared memory: for Vulkan
// on a CPU, where loads are what costs. A lane makes RM rows x 8 columns of C, loading 8 elements
// at a time; lanes lie along n. Every element is one chain of fused multiply-adds, k from 0 up.
// Oracle: op_matmul_ref().
#extension GL_EXT_control_flow_attributes : require
#define UNROLL [[unroll]]
#ifndef RM
#define RM 8
#endif
#ifndef GROUP
#define GROUP 8
#endif
#ifndef FORM
#define FORM 0
#endif
#include "matmul.h"
#define BUFFERS IN(0, eight, a) IN(1, eight, b) IN(2, elem, bias) INOUT(3, elem, c)
#define PARAMS MATMUL_PARAMS
#define LOCALS
#include "kernel.h"

// Operands as their 16-byte words. EIGHT: 8 neighbours; PAIR: elements 2 q and 2 q + 1 of them.
#define GLSL_TYPE_eight(x) BY_TYPE(WORD_, TYPE_##x)
#define WORD_F32 vec4
#define WORD_F16 uvec4
#define WORD_BF16 uvec4
#define EIGHT BY_TYPE(EIGHT_, TYPE_a)
#define EIGHT_F32 mat2x4
#define EIGHT_F16 uvec4
#define EIGHT_BF16 uvec4
#define NONE BY_TYPE(NONE_, TYPE_a)
#define NONE_F32 mat2x4(0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f)
#define NONE_F16 uvec4(0u)
#define NONE_BF16 uvec4(0u)
#define LD8(buf, i) BY_TYPE(LD8_, TYPE_##buf)(buf, i)
#define LD8_F32(buf, i) mat2x4(buf[(i) >> 2], buf[((i) >> 2) + 1u])
#define LD8_F16(buf, i) buf[(i) >> 3]
#define LD8_BF16(buf, i) buf[(i) >> 3]
#define PAIR(v, q) BY_TYPE(PAIR_, TYPE_a)(v, q)
#define PAIR_F32(v, q) vec2(v[(q) >> 1][((q) & 1u) * 2u], v[(q) >> 1][((q) & 1u) * 2u + 1u])
#define PAIR_F16(v, q) unpackHalf2x16(v[q])
#define PAIR_BF16(v, q) bf16_pair(v[q])

// The first `left` of eight elements, zeros behind them: what lies beyond k may be anything.
mat2x4 head_of(mat2x4 v, uint left)
{
    UNROLL for (uint q = 0u; q < 8u; q++) v[q >> 2][q & 3u] = q < left ? v[q >> 2][q & 3u] : 0.0f;
    return v;
}
uvec4 head_of(uvec4 v, uint left)
{
    UNROLL for (uint q = 0u; q < 4u; q++) v[q] =
        2u * q + 1u < left ? v[q] : 2u * q < left ? v[q] & 0xffffu : 0u;
    return v;
}

#define PUT2_F32(i, v)                                                                             \
    {                                                                                              \
        const bool old = (flags & 1u) != 0u;                                                       \
        c[i] = (v).x + (old ? c[i] : 0.0f);                                                        \
        if (j + 1u < n)                                                                            \
            c[(i) + 1u] = (v).y + (old ? c[(i) + 1u] : 0.0f);                                      \
    }
#define PUT2_F16(i, v) ST2(c, i, vec2((v).x, j + 1u < n ? (v).y : 0.0f));
#define PUT2_BF16(i, v) PUT2_F16(i, v)
#define EACH_ROW UNROLL for (uint r = 0u; r < uint(RM); r++)
#define EACH_OF_8 UNROLL for (uint s = 0u; s < 8u; s++)
#define ROW_A(r) (a_first + min(i0 + r, m - 1u) * lda + l0)
#define ROWS8 (uint(RM + 7) / 8u)

KERNEL_BEGIN(matmul_register)
    const uint i0 = GROUP_Y * uint(RM), j0 = GLOBAL_ID * 8u;
    if (j0 >= n)
        return; // no barrier follows
    float acc[RM][8];
    EACH_ROW EACH_OF_8 acc[r][s] = 0.0f;

#if FORM == 0 // both run along k
    for (uint l0 = 0u; l0 < k; l0 += 8u) {
        EIGHT x[RM], y[8];
        EACH_ROW x[r] = LD8(a, ROW_A(r));
        EACH_OF_8 y[s] = LD8(b, b_first + min(j0 + s, n - 1u) * ldb + l0);
        if (l0 + 8u > k) {
            EACH_ROW x[r] = head_of(x[r], k - l0);
            EACH_OF_8 y[s] = head_of(y[s], k - l0);
        }
        UNROLL for (uint q = 0u; q < 4u; q++)
        {
            vec2 v[8];
            EACH_OF_8 v[s] = PAIR(y[s], q);
            EACH_ROW
            {
                const vec2 u = PAIR(x[r], q);
                EACH_OF_8 acc[r][s] = MAD(u.y, v[s].y, MAD(u.x, v[s].x, acc[r][s]));
            }
        }
    }
#elif FORM == 1 // A runs along k, B across
    for (uint l0 = 0u; l0 < k; l0 += 8u) {
        EIGHT x[RM], y[8];
        EACH_ROW x[r] = LD8(a, ROW_A(r));
        EACH_OF_8 y[s] = LD8(b, b_first + min(l0 + s, k - 1u) * ldb + j0);
        if (l0 + 8u > k) {
            EACH_ROW x[r] = head_of(x[r], k - l0);
            EACH_OF_8 y[s] = l0 + s < k ? y[s] : NONE;
        }
        UNROLL for (uint l = 0u; l < 8u; l++)
        {
            vec2 v[4];
            UNROLL for (uint q = 0u; q < 4u; q++) v[q] = PAIR(y[l], q);
            EACH_ROW
            {
                const float u = PAIR(x[r], l >> 1)[l & 1u];
                EACH_OF_8 acc[r][s] = MAD(u, v[s >> 1][s & 1u], acc[r][s]);
            }
        }
    }
#else // both across k; rows of A beyond m are read from its last eight
    for (uint l = 0u; l < k; l++) {
        EIGHT x[ROWS8];
        vec2 v[4];
        const EIGHT y = LD8(b, b_first + l * ldb + j0);
        UNROLL for (uint r = 0u; r < ROWS8; r++) x[r] =
            LD8(a, a_first + l * lda + (i0 & 0xfffffff8u) + (i0 + r * 8u < m ? r * 8u : 0u));
        UNROLL for (uint q = 0u; q < 4u; q++) v[q] = PAIR(y, q);
        EACH_ROW
        {
            const uint at = uint(RM) < 8u ? (i0 & 7u) + r : r & 7u;
            const float u = PAIR(x[r >> 3], at >> 1)[at & 1u];
            EACH_OF_8 acc[r][s] = MAD(u, v[s >> 1][s & 1u], acc[r][s]);
        }
    }
#endif

    float add[8];
    EACH_OF_8
    {
        add[s] = 0.0f;
        if ((flags & 2u) != 0u && j0 + s < n)
            add[s] = LD(bias, bias_first + j0 + s);
    }
    EACH_ROW
    {
        const uint at = c_first + (i0 + r) * ldc + j0;
        if (i0 + r < m) {
            UNROLL for (uint s = 0u; s < 8u; s += 2u)
            {
                const vec2 sum = vec2(acc[r][s] + add[s], acc[r][s + 1u] + add[s + 1u]);
                const uint j = j0 + s;
                if (j < n) {
                    BY_TYPE(PUT2_, TYPE_c)(at + s, sum)
                }
            }
        }
    }
KERNEL_END
