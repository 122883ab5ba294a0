// shaders/matmul.comp -- C = A B by tiles in shared memory. A group makes BM x BN of C, a lane TM
// rows of it and NV times four columns, BN / NV apart; LANES = BM / TM * BN / (4 NV). Every element
// is one chain of fused multiply-adds, k upwards in its part, whatever the tile. Oracle:
// op_matmul_ref().
#ifndef __OPENCL_C_VERSION__
#extension GL_EXT_control_flow_attributes : require
#define UNROLL [[unroll]]
#else
#define UNROLL _Pragma("unroll")
#endif
#ifndef BM
#define BM 128
#define BN 64
#define BK 16
#define TM 8
#define NV 2
#endif
#ifndef GROUP
#define GROUP 128
#endif
#ifndef FORM
#define FORM 0
#endif
#define SA (uint(BM) + 4u) // strides of the shared tiles: [l][i] and [l][j]
#define SB (uint(BN) + 4u)
#ifdef EXPERTS // experts_matmul.comp
#include "experts.h"
#include "route.h"
#define BUFFERS EXPERTS_MATMUL_BUFFERS
#define PARAMS EXPERTS_MATMUL_PARAMS
#else
#include "matmul.h"
#define BUFFERS MATMUL_BUFFERS
#define PARAMS MATMUL_PARAMS
#endif
#define LOCALS SHARED(vec4, as, BK *(BM / 4 + 1)) SHARED(vec4, bs, BK *(BN / 4 + 1))
#include "kernel.h"

// The shared tiles are read four elements at a time and written one by one.
#ifdef __OPENCL_C_VERSION__
#define AT(s, i) ((__local float *)s)[i]
#else
#define AT(s, i) s[(i) >> 2][(i) & 3u]
#endif

// A tile whose rows run along k (row r of `rows` at r * ld): four elements a turn, transposed.
#define LOAD_ALONG_K(mat, mat_first, ld, r0, rows, R, s, S)                                        \
    for (uint t = LANE; t < uint(R) * (uint(BK) / 4u); t += uint(LANES)) {                         \
        const uint r = t / (uint(BK) / 4u), l = t % (uint(BK) / 4u) * 4u;                          \
        vec4 v = vec4(0.0f);                                                                       \
        if (r0 + r < rows && l0 + l < k)                                                           \
            v = LD4(mat, mat_first + (r0 + r) * ld + l0 + l);                                      \
        AT(s, l * S + r) = v.x;                                                                    \
        AT(s, (l + 1u) * S + r) = l0 + l + 1u < k ? v.y : 0.0f;                                    \
        AT(s, (l + 2u) * S + r) = l0 + l + 2u < k ? v.z : 0.0f;                                    \
        AT(s, (l + 3u) * S + r) = l0 + l + 3u < k ? v.w : 0.0f;                                    \
    }

// A tile whose rows lie across k (element r of `rows` at l * ld + r): four neighbours a turn.
#define LOAD_ACROSS_K(mat, mat_first, ld, r0, rows, R, s, S)                                       \
    for (uint t = LANE; t < uint(BK) * (uint(R) / 4u); t += uint(LANES)) {                         \
        const uint l = t / (uint(R) / 4u), r = t % (uint(R) / 4u) * 4u;                            \
        vec4 v = vec4(0.0f);                                                                       \
        if (r0 + r < rows && l0 + l < k)                                                           \
            v = LD4(mat, mat_first + (l0 + l) * ld + r0 + r);                                      \
        s[(l * S + r) / 4u] = v;                                                                   \
    }

#if FORM == 2
#define LOAD_A LOAD_ACROSS_K
#else
#define LOAD_A LOAD_ALONG_K
#endif
#if FORM == 0
#define LOAD_B LOAD_ALONG_K
#else
#define LOAD_B LOAD_ACROSS_K
#endif

#define OLD(q) (j + q < n ? LD(c, at + q) : 0.0f)
#define ADD_OLD_F32(v) v = v + vec4(OLD(0u), OLD(1u), OLD(2u), OLD(3u));
#define ADD_OLD_F16(v)
#define ADD_OLD_BF16(v)
#define PUT(q, value)                                                                              \
    if (j + q < n)                                                                                 \
        c[at + q] = value;
#define PUT4_F32(v) PUT(0u, (v).x) PUT(1u, (v).y) PUT(2u, (v).z) PUT(3u, (v).w)
#define PUT4_F16(v) PUT4_HALVES(v)
#define PUT4_BF16(v) PUT4_HALVES(v)
#define PUT4_HALVES(v)                                                                             \
    if (j < n) {                                                                                   \
        ST2(c, at, vec2((v).x, j + 1u < n ? (v).y : 0.0f));                                        \
        if (j + 2u < n)                                                                            \
            ST2(c, at + 2u, vec2((v).z, j + 3u < n ? (v).w : 0.0f));                               \
    }

#ifdef EXPERTS
#include "experts_tile.h"
KERNEL_BEGIN(experts_matmul)
    EXPERTS_TILE
    const uint k_begin = 0u, k_end = k, c_at = c_first;
#else
KERNEL_BEGIN(matmul)
    const uint i0 = GROUP_Y * uint(BM), j0 = GROUP_X * uint(BN);
    const uint k_begin = GROUP_Z * k_part, k_end = UMIN(k, k_begin + k_part);
    const uint c_at = c_first + GROUP_Z * c_part;
#endif
    const uint tx = LANE % (uint(BN) / uint(4 * NV)), ty = LANE / (uint(BN) / uint(4 * NV));
    vec4 acc[TM * NV];

    UNROLL for (uint q = 0u; q < uint(TM * NV); q++) acc[q] = vec4(0.0f);
    for (uint l0 = k_begin; l0 < k_end; l0 += uint(BK)) {
        LOAD_A(a, a_first, lda, i0, m, BM, as, SA)
        LOAD_B(b, b_first, ldb, j0, n, BN, bs, SB)
        barrier();
        for (uint l = 0u; l < uint(BK); l++) {
            const uint ia = (l * SA + ty * uint(TM)) / 4u, ib = (l * SB) / 4u + tx;
            vec4 y[NV];
            UNROLL for (uint v = 0u; v < uint(NV); v++) y[v] = bs[ib + v * uint(BN / NV / 4)];
#if TM >= 4
            UNROLL for (uint i = 0u; i < uint(TM); i += 4u)
            {
                const vec4 x = as[ia + i / 4u];
                UNROLL for (uint v = 0u; v < uint(NV); v++)
                {
                    const uint q = i * uint(NV) + v;
                    acc[q] = MAD(vec4(x.x), y[v], acc[q]);
                    acc[q + uint(NV)] = MAD(vec4(x.y), y[v], acc[q + uint(NV)]);
                    acc[q + uint(2 * NV)] = MAD(vec4(x.z), y[v], acc[q + uint(2 * NV)]);
                    acc[q + uint(3 * NV)] = MAD(vec4(x.w), y[v], acc[q + uint(3 * NV)]);
                }
            }
#else // one row
            UNROLL for (uint v = 0u; v < uint(NV); v++) acc[v] =
                MAD(vec4(AT(as, l * SA + ty)), y[v], acc[v]);
#endif
        }
        barrier();
    }

    UNROLL for (uint v = 0u; v < uint(NV); v++)
    {
        const uint j = j0 + v * uint(BN / NV) + tx * 4u;
        vec4 add = vec4(0.0f);
#ifndef EXPERTS
        if ((flags & 2u) != 0u) {
            add.x = j < n ? LD(bias, bias_first + j) : 0.0f;
            add.y = j + 1u < n ? LD(bias, bias_first + j + 1u) : 0.0f;
            add.z = j + 2u < n ? LD(bias, bias_first + j + 2u) : 0.0f;
            add.w = j + 3u < n ? LD(bias, bias_first + j + 3u) : 0.0f;
        }
#endif
        UNROLL for (uint i = 0u; i < uint(TM); i++)
        {
            const uint row = i0 + ty * uint(TM) + i, at = c_at + row * ldc + j;
            if (row < m) {
                vec4 sum = acc[i * uint(NV) + v] + add;
                if ((flags & 1u) != 0u) {
                    BY_TYPE(ADD_OLD_, TYPE_c)(sum)
                }
                BY_TYPE(PUT4_, TYPE_c)(sum)
            }
        }
    }
KERNEL_END
