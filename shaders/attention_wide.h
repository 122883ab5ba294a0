// shaders/attention_wide.h -- what the attention kernels for CPUs share (OpenCL C only); include
// after kernel.h. Groups of one work-item, local memory as its scratch.
//
// A work-item owns L = 16 QV rows (queries, or keys) of HG heads, one row a vector lane, with the
// rows' elements transposed: [d][lane]. It walks over blocks of at most KB rows of the other kind,
// converted to floats [row][d], so that every product is a broadcast scalar times a vector: KT rows
// x QV vectors, or KT columns x QV vectors, of sums stay in registers. Scores, maxima and sums are
// vectors over the lanes too, and a lane's result depends on its own row alone. DP: head size,
// rounded up to a multiple of 8.
#ifndef ATTENTION_WIDE_H
#define ATTENTION_WIDE_H

#ifndef WINDOW
#define WINDOW 0
#endif
#ifndef SOFTCAP
#define SOFTCAP 0
#endif

#define L (16 * QV)
#define DP ((D + 7) / 8 * 8)
#define PARTS (ATTENTION_Q_BLOCK / L) // groups to a block of the index
#define NO_SCORE -1.0e30f             // below every score

#define VW 16
#include "wide.h"
#include "exp.h"
#define UNROLL _Pragma("unroll")

// A score under the cap, and the cap's slope there. tanh: near 0 an odd polynomial, as in tanh.h.
#if SOFTCAP
FV capped(FV x, float softcap)
{
    const FV a = fabs(x / softcap), b = fmin(a, (FV)(0.6f)), q = b * b;
    FV p = fma(q, (FV)(-0.00588323305f), (FV)(0.0207851476f));
    p = fma(p, q, (FV)(-0.0537803994f));
    p = fma(p, q, (FV)(0.133318803f));
    p = fma(p, q, (FV)(-0.333332962f));
    const FV e = exp_neg16(-2.0f * fmin(a, (FV)(40.0f)));
    const FV t = select((1.0f - e) / (1.0f + e), fma(p * q, a, a), a < 0.6f);
    return copysign(softcap * t, x);
}
#define CAPPED(x) capped(x, softcap)
#define CAP_SLOPE(y) (1.0f - ((y) / softcap) * ((y) / softcap))
#else
#define CAPPED(x) (x)
#endif

#if WINDOW
// First position that the query at position `pos` sees; scalars and vectors.
#define WINDOW_FROM(pos) ((pos) + 1 - min((pos) + 1, window))
#endif

// n rows of DP floats out of rows of a buffer; row r begins at element `at` + r * ld. Times
// `factor`.
#define LOAD_ROWS(to, buf, at, ld, n, factor)                                                      \
    for (uint r_ = 0; r_ < (n); r_++) {                                                            \
        const uint at_ = (at) + r_ * (ld);                                                         \
        for (uint d_ = 0; d_ + 8 <= D; d_ += 8)                                                    \
            vstore8(LDW(8, buf, at_ + d_) * (factor), 0, to + r_ * DP + d_);                       \
        for (uint d_ = D / 8 * 8; d_ < DP; d_++)                                                   \
            to[r_ * DP + d_] = d_ < D ? LD(buf, at_ + d_) * (factor) : 0.0f;                       \
    }

// The L rows that the lanes stand for, transposed; lanes from n on repeat row n - 1.
#define LOAD_LANES(to, buf, at, ld, n, factor)                                                     \
    for (uint l_ = 0; l_ < L; l_ += 16) {                                                          \
        for (uint d_ = 0; d_ + 16 <= D; d_ += 16) {                                                \
            FV t_[16];                                                                             \
            UNROLL for (int i = 0; i < 16; i++) t_[i] =                                            \
                LDW(16, buf, (at) + min(l_ + i, (n) - 1) * (ld) + d_) * (factor);                  \
            TRANSPOSE(t_)                                                                          \
            UNROLL for (int i = 0; i < 16; i++) STF(to, (d_ + i) * L + l_, t_[i]);                 \
        }                                                                                          \
        for (uint d_ = D / 16 * 16; d_ < DP; d_++)                                                 \
            for (uint i = l_; i < l_ + 16; i++)                                                    \
                to[d_ * L + i] =                                                                   \
                    d_ < D ? LD(buf, (at) + min(i, (n) - 1) * (ld) + d_) * (factor) : 0.0f;        \
    }

// One float a lane out of a statistic; lanes from n on repeat lane n - 1.
#define LOAD_STATS(to, buf, at, n)                                                                 \
    for (uint v_ = 0; v_ < QV; v_++) {                                                             \
        float x_[16];                                                                              \
        for (uint l_ = 0; l_ < 16; l_++)                                                           \
            x_[l_] = buf[(at) + min(v_ * 16 + l_, (n) - 1)];                                       \
        (to)[v_] = vload16(0, x_);                                                                 \
    }

// The first n lanes back to rows, each times its element of factor[L].
#define STORE_LANES(buf, from, at, ld, n, factor)                                                  \
    for (uint l_ = 0; l_ < (n); l_ += 16) {                                                        \
        const uint end_ = min((n) - l_, 16u);                                                      \
        for (uint d_ = 0; d_ + 16 <= D; d_ += 16) {                                                \
            FV t_[16];                                                                             \
            UNROLL for (int i = 0; i < 16; i++) t_[i] = LDF(from, (d_ + i) * L + l_);              \
            TRANSPOSE(t_)                                                                          \
            UNROLL for (uint i = 0; i < 16; i++) if (i < end_)                                     \
                STW(16, buf, (at) + (l_ + i) * (ld) + d_, t_[i] * factor[l_ + i]);                 \
        }                                                                                          \
        for (uint i = l_; i < l_ + end_; i++)                                                      \
            for (uint d_ = D / 16 * 16; d_ < D; d_ += 2)                                           \
                ST2(buf, (at) + i * (ld) + d_,                                                     \
                    vec2(from[d_ * L + i], from[(d_ + 1) * L + i]) * factor[i]);                   \
    }

// The padding columns of n rows of `cols` columns.
#define CLEAR_PADDING(buf, first, ld, n, cols)                                                     \
    for (uint l_ = 0; l_ < (n); l_++)                                                              \
        for (uint c_ = (cols); c_ < (((cols) + 7u) & ~7u); c_ += 2)                                \
            ST2(buf, ((first) + l_) * (ld) + c_, vec2(0.0f, 0.0f));

// s[j * QV + v] = sum over d of rows[j][d] * lanes[d], j < KT.
void products(__local const float *rows, __local const float *lanes, FV *s)
{
    UNROLL for (int e = 0; e < KT * QV; e++) s[e] = (FV)(0.0f);
    for (int d = 0; d < DP; d++) {
        FV b[QV];
        UNROLL for (int v = 0; v < QV; v++) b[v] = LDF(lanes, d * L + v * 16);
        UNROLL for (int j = 0; j < KT; j++)
        {
            const FV a = (FV)(rows[j * DP + d]);
            UNROLL for (int v = 0; v < QV; v++) s[j * QV + v] = fma(a, b[v], s[j * QV + v]);
        }
    }
}

// sums[d] = sums[d] * shrink + sum over j < n of rows[j][d] * p[j], for all d.
void accumulate(__local float *sums, const FV *shrink, __local const float *rows,
                __local const float *p, uint n)
{
    for (int d = 0; d < DP; d += KT) {
        FV s[KT * QV];
        UNROLL for (int i = 0; i < KT; i++)
            UNROLL for (int v = 0; v < QV; v++)
                s[i * QV + v] = LDF(sums, (d + i) * L + v * 16) * shrink[v];
        for (uint j = 0; j < n; j++) {
            FV b[QV];
            UNROLL for (int v = 0; v < QV; v++) b[v] = LDF(p, j * L + v * 16);
            UNROLL for (int i = 0; i < KT; i++)
            {
                const FV a = (FV)(rows[j * DP + d + i]);
                UNROLL for (int v = 0; v < QV; v++) s[i * QV + v] = fma(a, b[v], s[i * QV + v]);
            }
        }
        UNROLL for (int i = 0; i < KT; i++)
            UNROLL for (int v = 0; v < QV; v++) STF(sums, (d + i) * L + v * 16, s[i * QV + v]);
    }
}

// A `shrink` that changes nothing.
#if QV == 2
#define ONES { (FV)(1.0f), (FV)(1.0f) }
#else
#define ONES { (FV)(1.0f) }
#endif

void clear(__local float *x, uint n)
{
    for (uint i = 0; i < n; i += 16)
        STF(x, i, (FV)(0.0f));
}

// Numbers of the lanes of vector v.
uint16 lane_numbers(uint v)
{
    return (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) + 16 * v;
}

#endif // ATTENTION_WIDE_H
