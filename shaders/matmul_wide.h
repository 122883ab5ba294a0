// shaders/matmul_wide.h -- what the products for CPUs share (OpenCL C only). Define BUFFERS and
// PARAMS first; the kernel defines ADD_BIAS and ADD_BIAS1, blocks in braces, and says which rows
// and columns of C a work-item makes, then WIDE_PRODUCT.
//
// Explicit vectors of VW floats. B's columns are packed into local memory, `block` of k at a time,
// as panels of NR columns, A's rows by TT tiles of MR, all as floats. Within a block every element
// is one chain of fused multiply-adds, k from 0 up; blocks are added in order: in C if that is f32,
// else in local memory. With DOT the operands are bf16 and stay so: a step is two of k, a packed
// float is the bits of a pair, and vdpbf16ps (AVX512-BF16) adds both products.
#ifndef MATMUL_WIDE_H
#define MATMUL_WIDE_H

#ifndef FORM
#define FORM 0
#endif
#ifndef VW
#define VW 16
#define MR 8
#define TT 4
#define NP 4
#define KC 768    // most of k in a block
#define CHUNK 256 // most rows of a group, if sums wait in local memory
#endif
#ifndef DOT
#define DOT 0
#endif
#ifndef GROUP
#define GROUP 1
#endif
#define NR (2 * VW)  // columns of a panel: two vectors
#define NC (NP * NR) // most columns of a group
#define STEPS(k) (DOT ? ((k) + 1) / 2 : (k))
#define LDA (STEPS(KC) + 16) // stride of A's tile, no power of two
#define LOCALS                                                                                     \
    SHARED(float, bp, STEPS(KC) * NC)                                                              \
    SHARED(float, ap, (TT * MR + 2) * LDA)                                                         \
    SHARED(float, part, PART)
#include "kernel.h"
#include "wide.h"

#define IS_F32(buf) BY_TYPE(IS_F32_, TYPE_##buf)
#define IS_F32_F32 1
#define IS_F32_F16 0
#define IS_F32_BF16 0
#if IS_F32(c)
#define PART 1
#else
#define PART (CHUNK * NC) // sums of earlier blocks of k
#endif

// One element.
#define STE(buf, i, v) BY_TYPE(STE_, TYPE_##buf)(buf, i, v)
#define STE_F32(buf, i, v) buf[i] = (v)
#define STE_F16(buf, i, v) buf[i] = (ushort) float_to_half(v)
#define STE_BF16(buf, i, v) buf[i] = (ushort) float_to_bf16(v)

// ---- Packing ----------------------------------------------------------------------------------

// What a step of one row or column is packed as. ALONG: W steps of a row that runs along k, from
// element i; ACROSS: one step of W neighbours in rows `ld` apart that lie across k. ALONG1 and
// ACROSS1 take one word, whose second half is of k only if `both`.
#if DOT
#define ALONG(W, buf, i) CAT(as_float, W)(CAT(vload, W)(0, (__global const uint *) (buf + (i))))
#define ALONG1(buf, i, both) as_float(buf[i] | (both ? (uint) buf[(i) + 1] << 16 : 0u))
#define ACROSS(W, buf, i, ld, both)                                                                \
    CAT(as_float, W)                                                                               \
    (CAT(convert_uint, W)(CAT(vload, W)(0, buf + (i))) |                                           \
     (both ? CAT(convert_uint, W)(CAT(vload, W)(0, buf + (i) + ld)) << 16 : (CAT(uint, W)) 0u))
#define ACROSS1(buf, i, ld, both) as_float(buf[i] | (both ? (uint) buf[(i) + ld] << 16 : 0u))
#define K_OF(s) (2 * (s))
#else
#define ALONG(W, buf, i) LDW(W, buf, i)
#define ALONG1(buf, i, both) LD(buf, i)
#define ACROSS(W, buf, i, ld, both) LDW(W, buf, i)
#define ACROSS1(buf, i, ld, both) LD(buf, i)
#define K_OF(s) (s)
#endif
#define BOTH(s) (K_OF(s) + 1 < kc)

// Memory is asked for ahead of its use: the next tiles of A while these are multiplied (16 steps a
// turn, spread over the panels), rows of B while others are packed.
#ifdef __clang__
#define FETCH(buf, i) __builtin_prefetch((const void *) (ulong) (buf + (i)))
#else
#define FETCH(buf, i)
#endif
#define LINE (IS_F32(b) ? 16u : 32u) // elements of a cache line

// Step s of column j of panel q: bp[(q * steps + s) * NR + j]. Columns beyond n hold anything.
#if FORM == 0 // rows of B run along k: transposed block by block
#define ROW_B(j) ((ulong) min(j0 + (j), n - 1u) * ldb + b_first + l0)
#define PACK_B                                                                                     \
    for (uint j = 0; j < columns; j += VW) {                                                       \
        __local float *to = bp + (j / NR * steps) * NR + j % NR;                                   \
        uint s = 0;                                                                                \
        for (; K_OF(s + VW) <= kc; s += VW) {                                                      \
            FV v[VW];                                                                              \
            _Pragma("unroll") for (int i = 0; i < VW; i++)                                         \
            {                                                                                      \
                v[i] = ALONG(VW, b, ROW_B(j + i) + K_OF(s));                                       \
                FETCH(b, ROW_B(j + i) + K_OF(s) + 8 * VW);                                         \
            }                                                                                      \
            TRANSPOSE(v)                                                                           \
            _Pragma("unroll") for (int i = 0; i < VW; i++) STF(to, (s + i) * NR, v[i]);            \
        }                                                                                          \
        for (; s < steps; s++)                                                                     \
            for (uint i = 0; i < VW; i++)                                                          \
                to[s * NR + i] = ALONG1(b, ROW_B(j + i) + K_OF(s), BOTH(s));                       \
    }
#else // rows of B run along n
#define PACK_B                                                                                     \
    for (uint s = 0; s < steps; s++) {                                                             \
        const ulong row = (ulong) (l0 + K_OF(s)) * ldb + b_first + j0;                             \
        uint j = 0;                                                                                \
        for (; j < columns; j += LINE) {                                                           \
            FETCH(b, row + K_OF(8) * (ulong) ldb + j);                                             \
            if (DOT)                                                                               \
                FETCH(b, row + (K_OF(8) + 1) * (ulong) ldb + j);                                   \
        }                                                                                          \
        for (j = 0; j + VW <= columns; j += VW)                                                    \
            STF(bp, (j / NR * steps + s) * NR + j % NR, ACROSS(VW, b, row + j, ldb, BOTH(s)));     \
        for (; j < columns; j++)                                                                   \
            bp[(j / NR * steps + s) * NR + j % NR] = ACROSS1(b, row + j, ldb, BOTH(s));            \
    }
#endif

#if FORM == 2 // element r of step s of A's tile
#define AP(r, s) at_a[(s) * MR + (r)]
#define A_PLACE(i, l) ((ulong) (l) * lda + a_first + (i))
#define FETCH_A(s)                                                                                 \
    {                                                                                              \
        const uint turn = ((t * panels + q) * steps + (s)) / (TT * panels);                        \
        const ulong from = next + K_OF(turn) * (ulong) lda;                                        \
        FETCH(a, from);                                                                            \
        FETCH(a, from + lda);                                                                      \
        if (DOT) {                                                                                 \
            FETCH(a, from + 2 * (ulong) lda);                                                      \
            FETCH(a, from + 3 * (ulong) lda);                                                      \
        }                                                                                          \
        FETCH(a, from + LINE);                                                                     \
        FETCH(a, from + lda + LINE);                                                               \
    }
#define PACK_A                                                                                     \
    for (uint s = 0; s < steps; s++) {                                                             \
        const ulong row = (ulong) (l0 + K_OF(s)) * lda + a_first + i0;                             \
        __local float *to = ap + s * MR;                                                           \
        if (i0 + (TT - 1) * MR + 8u <= ((m + 7u) & ~7u)) {                                         \
            _Pragma("unroll") for (uint t = 0; t < TT; t++)                                        \
                vstore8(ACROSS(8, a, row + t * MR, lda, BOTH(s)), 0, to + t * (MR * LDA));         \
        } else {                                                                                   \
            uint r = 0;                                                                            \
            for (; r + 8 <= rows; r += MR)                                                         \
                vstore8(ACROSS(8, a, row + r, lda, BOTH(s)), 0, to + r * LDA);                     \
            for (; r < rows; r++)                                                                  \
                to[r / MR * (MR * LDA) + r % MR] = ACROSS1(a, row + r, lda, BOTH(s));              \
        }                                                                                          \
    }
#else
#define AP(r, s) at_a[(r) * LDA + (s)]
#define A_PLACE(i, l) ((ulong) (i) * lda + a_first + (l))
#define FETCH_A(s)                                                                                 \
    for (uint r = t * MR + q; r < (t + 1) * MR; r += panels)                                       \
        FETCH(a, next + r * (ulong) lda + K_OF(s));
#define PACK_A                                                                                     \
    for (uint r = 0; r < rows; r++) {                                                              \
        const ulong row = (ulong) (i0 + r) * lda + a_first + l0;                                   \
        uint s = 0;                                                                                \
        for (; K_OF(s + VW) <= kc; s += VW)                                                        \
            STF(ap, r * LDA + s, ALONG(VW, a, row + K_OF(s)));                                     \
        for (; s < steps; s++)                                                                     \
            ap[r * LDA + s] = ALONG1(a, row + K_OF(s), BOTH(s));                                   \
    }
#endif

// ---- Tiles ------------------------------------------------------------------------------------

#if DOT
#define AS_BITS CAT(as_int, VW)
#define MULTIPLY_ADD(acc, x, y)                                                                    \
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(AS_BITS(x)), "v"(AS_BITS(y)))
#else
#define MULTIPLY_ADD(acc, x, y) acc = fma(x, y, acc)
#endif

// R rows from r0 of A's tile, those beyond the last idle, times panel q: rows i + r0, ... and
// columns j, ... of C.
#define TILE(R, r0)                                                                                \
    {                                                                                              \
        FV acc[R][2];                                                                              \
        _Pragma("unroll") for (int r = 0; r < R; r++) acc[r][0] = acc[r][1] = 0.0f;                \
        for (uint s = 0; s < steps;) {                                                             \
            const uint s_end = min(s + 16u, steps);                                                \
            FETCH_A(s)                                                                             \
            for (; s < s_end; s++) {                                                               \
                const FV y0 = LDF(bq, s * NR), y1 = LDF(bq, s * NR + VW);                          \
                _Pragma("unroll") for (int r = 0; r < R; r++)                                      \
                {                                                                                  \
                    const FV x = (FV) AP(r0 + r, s);                                               \
                    MULTIPLY_ADD(acc[r][0], x, y0);                                                \
                    MULTIPLY_ADD(acc[r][1], x, y1);                                                \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        if (j + NR <= n) {                                                                         \
            _Pragma("unroll") for (int r = 0; r < R; r++)                                          \
            {                                                                                      \
                const uint row = i + r0 + r;                                                       \
                const ulong at = (ulong) row * ldc + c_first + j;                                  \
                if (row < i_end) {                                                                 \
                    PUT_FULL(0, acc[r][0])                                                         \
                    PUT_FULL(VW, acc[r][1])                                                        \
                }                                                                                  \
            }                                                                                      \
        } else {                                                                                   \
            _Pragma("unroll") for (int r = 0; r < R; r++)                                          \
            {                                                                                      \
                STF(edge, r *NR, acc[r][0]);                                                       \
                STF(edge, r *NR + VW, acc[r][1]);                                                  \
            }                                                                                      \
            edge_rows = min((uint) R, i_end - i - r0);                                             \
        }                                                                                          \
    }

// The last panel, if n ends inside it: element by element.
#define PUT_EDGES(r0)                                                                              \
    for (uint r = 0; r < edge_rows; r++) {                                                         \
        const uint row = i + r0 + r;                                                               \
        const ulong at = (ulong) row * ldc + c_first + j;                                          \
        for (uint e = 0; j + e < n; e++)                                                           \
            PUT_EDGE(edge[r * NR + e])                                                             \
        PUT_PAD                                                                                    \
    }

#if IS_F32(c) // C holds the sum of the earlier blocks
#define PUT_FULL(d, sum)                                                                           \
    {                                                                                              \
        FV v = sum;                                                                                \
        if (l0 == 0)                                                                               \
            ADD_BIAS(v, VW, j + d)                                                                 \
        if (l0 > 0 || (flags & 1u) != 0)                                                           \
            v += LDF(c, at + d);                                                                   \
        STF(c, at + d, v);                                                                         \
    }
#define PUT_EDGE(sum)                                                                              \
    {                                                                                              \
        float v = sum;                                                                             \
        if (l0 == 0)                                                                               \
            ADD_BIAS1(v, j + e)                                                                    \
        if (l0 > 0 || (flags & 1u) != 0)                                                           \
            v += c[at + e];                                                                        \
        c[at + e] = v;                                                                             \
    }
#define PUT_PAD
#else
#define AT_PART ((row - i_begin) * NC + q * NR)
#define PUT_FULL(d, sum)                                                                           \
    {                                                                                              \
        FV v = sum;                                                                                \
        if (l0 > 0)                                                                                \
            v += LDF(part, AT_PART + d);                                                           \
        if (l0 + block < k) {                                                                      \
            STF(part, AT_PART + d, v);                                                             \
        } else {                                                                                   \
            ADD_BIAS(v, VW, j + d)                                                                 \
            STW(VW, c, at + d, v);                                                                 \
        }                                                                                          \
    }
#define PUT_EDGE(sum)                                                                              \
    {                                                                                              \
        float v = sum;                                                                             \
        if (l0 > 0)                                                                                \
            v += part[AT_PART + e];                                                                \
        if (l0 + block < k) {                                                                      \
            part[AT_PART + e] = v;                                                                 \
        } else {                                                                                   \
            ADD_BIAS1(v, j + e)                                                                    \
            STE(c, at + e, v);                                                                     \
        }                                                                                          \
    }
#define PUT_PAD                                                                                    \
    if (n % 2u != 0)                                                                               \
        c[at + n - j] = 0;
#endif

// Rows i_begin .. i_end and columns j0 .. j0 + columns of C = A B.
#define WIDE_PRODUCT                                                                               \
    const uint panels = (columns + NR - 1) / NR;                                                   \
    float edge[MR * NR];                                                                           \
    for (uint l0 = 0; l0 < k; l0 += block) {                                                       \
        const uint kc = min(block, k - l0), steps = STEPS(kc);                                     \
        PACK_B                                                                                     \
        for (uint i0 = i_begin; i0 < i_end; i0 += TT * MR) {                                       \
            const uint rows = min((uint) (TT * MR), i_end - i0);                                   \
            const ulong next = A_PLACE(i0 + TT * MR, l0);                                          \
            PACK_A                                                                                 \
            for (uint t = 0; t * MR < rows; t++) {                                                 \
                __local const float *at_a = ap + t * (MR * LDA);                                   \
                const uint i = i0 + t * MR;                                                        \
                for (uint q = 0; q < panels; q++) {                                                \
                    __local const float *bq = bp + q * steps * NR;                                 \
                    const uint j = j0 + q * NR;                                                    \
                    const uint whole = rows - t * MR >= MR;                                        \
                    for (uint r0 = 0; r0 < MR && r0 < rows - t * MR; r0 += whole ? MR : 4) {       \
                        uint edge_rows = 0;                                                        \
                        if (whole)                                                                 \
                            TILE(MR, 0)                                                            \
                        else                                                                       \
                            TILE(4, r0)                                                            \
                        PUT_EDGES(r0)                                                              \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

#endif // MATMUL_WIDE_H
