// shaders/matmul_register.comp -- C = A B by tiles in registers, without shared memory: for Vulkan
// on a CPU, where loads and their addresses are what costs. A lane makes RM rows x 8 columns of C;
// lanes lie along n. Every element is one chain of fused multiply-adds, k from 0 up. Oracle:
// op_matmul_ref().
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
#define BUFFERS IN(0, left, a) IN(1, right, b) IN(2, elem, bias) INOUT(3, elem, c)
#define PARAMS MATMUL_PARAMS
#define LOCALS
#include "kernel.h"

// Operands that lie along k are read by 4-byte words, WORD_HOLDS elements: a plain array's addresses
// need the least arithmetic. Those across k by eight neighbours; PAIR: elements 2 q and 2 q + 1.
#if FORM == 2
#define GLSL_TYPE_left(x) BY_TYPE(EIGHTS_, TYPE_##x)
#else
#define GLSL_TYPE_left(x) BY_TYPE(WORDS_, TYPE_##x)
#endif
#if FORM == 0
#define GLSL_TYPE_right(x) BY_TYPE(WORDS_, TYPE_##x)
#else
#define GLSL_TYPE_right(x) BY_TYPE(EIGHTS_, TYPE_##x)
#endif
#define WORDS_F32 float
#define WORDS_F16 uint
#define WORDS_BF16 uint
#define WORD_HOLDS BY_TYPE(WORD_HOLDS_, TYPE_a)
#define WORD_HOLDS_F32 1u
#define WORD_HOLDS_F16 2u
#define WORD_HOLDS_BF16 2u
#define WORD(buf, i) BY_TYPE(WORD_, TYPE_##buf)(buf, i)
#define WORD_F32(buf, i) vec2(buf[i], 0.0f)
#define WORD_F16(buf, i) LD2_F16(buf, i)
#define WORD_BF16(buf, i) LD2_BF16(buf, i)
#define EIGHTS_F32 vec4
#define EIGHTS_F16 uvec4
#define EIGHTS_BF16 uvec4
#define EIGHT BY_TYPE(EIGHT_, TYPE_a)
#define EIGHT_F32 mat2x4
#define EIGHT_F16 uvec4
#define EIGHT_BF16 uvec4
#define LD8(buf, i) BY_TYPE(LD8_, TYPE_##buf)(buf, i)
#define LD8_F32(buf, i) mat2x4(buf[(i) >> 2], buf[((i) >> 2) + 1u])
#define LD8_F16(buf, i) buf[(i) >> 3]
#define LD8_BF16(buf, i) buf[(i) >> 3]
#define PAIR(v, q) BY_TYPE(PAIR_, TYPE_a)(v, q)
#define PAIR_F32(v, q) vec2(v[(q) >> 1][((q) & 1u) * 2u], v[(q) >> 1][((q) & 1u) * 2u + 1u])
#define PAIR_F16(v, q) unpackHalf2x16(v[q])
#define PAIR_BF16(v, q) bf16_pair(v[q])

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
#define ROWS8 (uint(RM + 7) / 8u)

KERNEL_BEGIN(matmul_register)
    const uint i0 = GROUP_Y * uint(RM), j0 = GLOBAL_ID * 8u;
    if (j0 >= n)
        return; // no barrier follows
    float acc[RM][8];
    EACH_ROW EACH_OF_8 acc[r][s] = 0.0f;

    // One word a turn: of more, the sums would not stay where they are.
#if FORM == 0 // both along k
    uint at_a[RM], at_b[8];
    EACH_ROW at_a[r] = a_first + min(i0 + r, m - 1u) * lda;
    EACH_OF_8 at_b[s] = b_first + min(j0 + s, n - 1u) * ldb;
    for (uint l = 0u; l < k; l += WORD_HOLDS) {
        vec2 x[RM], y[8];
        EACH_ROW x[r] = WORD(a, at_a[r] + l);
        EACH_OF_8 y[s] = WORD(b, at_b[s] + l);
        EACH_ROW EACH_OF_8 acc[r][s] = MAD(x[r].x, y[s].x, acc[r][s]);
        if (WORD_HOLDS == 2u && l + 1u < k) // what lies beyond k may be anything
            EACH_ROW EACH_OF_8 acc[r][s] = MAD(x[r].y, y[s].y, acc[r][s]);
    }
#else // B across
    for (uint l = 0u; l < k; l++) {
        const EIGHT y = LD8(b, b_first + l * ldb + j0);
        float x[RM];
        vec2 v[4];
#if FORM == 1 // A along k
        EACH_ROW x[r] = LD(a, a_first + min(i0 + r, m - 1u) * lda + l);
#else // A across; rows beyond m are read from its last eight
        EIGHT z[ROWS8];
        UNROLL for (uint r = 0u; r < ROWS8; r++) z[r] =
            LD8(a, a_first + l * lda + (i0 & 0xfffffff8u) + (i0 + r * 8u < m ? r * 8u : 0u));
        EACH_ROW
        {
            const uint at = uint(RM) < 8u ? (i0 & 7u) + r : r & 7u;
            x[r] = PAIR(z[r >> 3], at >> 1)[at & 1u];
        }
#endif
        UNROLL for (uint q = 0u; q < 4u; q++) v[q] = PAIR(y, q);
        EACH_ROW EACH_OF_8 acc[r][s] = MAD(x[r], v[s >> 1][s & 1u], acc[r][s]);
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
