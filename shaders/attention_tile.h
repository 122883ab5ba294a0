// shaders/attention_tile.h -- what the portable attention kernels share; include after kernel.h.
//
// A group is LY x 8 lanes. It owns NA = LY RA rows (queries, or keys) and walks over tiles of NB =
// 8 RB rows of the other kind. Lane (y, x) computes the products of its own rows y + LY i with the
// tile's rows x + 8 j, then sums the tile into its own rows' vec4 columns x + 8 c.
// Compiled in: D head size; GROUP = 8 LY; RA, RB; STAGE_TILE, STAGE_OWN: the tile, the own rows lie
// in shared memory as f32 (for GPUs; on CPUs, where LY is 1, nothing would be read twice); BOTH:
// two tiles fit; WINDOW, SOFTCAP: there is one.
#ifndef D // defaults, so that the kernels compile alone
#define D 64
#define RA 1
#define RB 1
#define STAGE_TILE 1
#define STAGE_OWN 0
#define BOTH 0
#endif
#define D4 ((D + 3) / 4)  // vec4 columns of a head; the last is half empty if D % 4 is 2
#define TS (D4 | 1)       // vec4s from row to row in shared memory; odd, so that banks differ
#define NC ((D4 + 7) / 8) // vec4 columns of a lane
#ifndef WINDOW
#define WINDOW 0
#endif
#ifndef SOFTCAP
#define SOFTCAP 0
#endif
#define LY (GROUP / 8)
#define NA (LY * RA)
#define NB (8 * RB)
#define PS (NB + 1)                             // floats from row to row of the products
#define LANE_COL (LANE & 7u)                    // x
#define OWN_ROW(i) ((LANE >> 3) + uint(LY * (i))) // own row i of this lane
#define TILE_ROW(j) (LANE_COL + 8u * uint(j))   // the tile's row j of this lane
#define PARTS (64 / NA)                         // groups to a block of the index

// exp() of a difference that is never above 0 but for rounding. Below -100 it is 0 in f32 anyway,
// and no driver sees an argument that overflows on the way.
#define EXP_NEG(arg) exp(MAX(arg, -200.0f))
#define NO_SCORE -1.0e30f // below every score; the running maximum before the first key

#if SOFTCAP
#include "tanh.h"
#define CAPPED(x) (softcap * tanh_of((x) / softcap))
#define CAP_SLOPE(y) (1.0f - ((y) / softcap) * ((y) / softcap)) // of a capped score
#else
#define CAPPED(x) (x)
#define CAP_SLOPE(y) 1.0f
#endif

#if WINDOW
// First position that the query at position `pos` sees.
#define WINDOW_FROM(pos) ((pos) + 1u - UMIN((pos) + 1u, window))
// Of a walk of tiles over two key ranges, the first `n` keys long: the first tile that a query sees
// which sees nothing below position `from`.
#define WINDOW_TILE(from, n, tiles1)                                                               \
    ((from) < (n) ? (from) / uint(NB) : (tiles1) + ((from) - (n)) / uint(NB))
#endif

float dot_add(vec4 a, vec4 b, float s)
{
    return MAD(a.w, b.w, MAD(a.z, b.z, MAD(a.y, b.y, MAD(a.x, b.x, s))));
}
vec4 scale_add(float a, vec4 b, vec4 s)
{
    return vec4(MAD(a, b.x, s.x), MAD(a, b.y, s.y), MAD(a, b.z, s.z), MAD(a, b.w, s.w));
}

// vec4 column c of the head that begins at element `at`, and its store.
#if D % 4 == 0
#define LD_HEAD(buf, at, c) LD4(buf, (at) + 4u * (c))
#define ST_HEAD(buf, at, c, v) ST4(buf, (at) + 4u * (c), v)
#else
#define LD_HEAD(buf, at, c)                                                                        \
    ((c) + 1u < uint(D4) ? LD4(buf, (at) + 4u * (c)) : vec4(LD2(buf, (at) + 4u * (c)), 0.0f, 0.0f))
#define ST_HEAD(buf, at, c, v)                                                                     \
    {                                                                                              \
        const vec4 v_ = v;                                                                         \
        ST2(buf, (at) + 4u * (c), vec2(v_.x, v_.y));                                               \
        if ((c) + 1u < uint(D4))                                                                   \
            ST2(buf, (at) + 4u * (c) + 2u, vec2(v_.z, v_.w));                                      \
    }
#endif

// Rows are named by lists of six: shared array, buffer, first row, row count, row stride, first
// column.
// Into shared memory; up to `most` rows, those from n on are zeros.
#define STAGE_(most, tile, buf, first, n, ld, col)                                                 \
    for (uint e_ = LANE; e_ < uint((most) * D4); e_ += uint(GROUP)) {                              \
        const uint r_ = e_ / uint(D4), c_ = e_ % uint(D4);                                         \
        vec4 v_ = vec4(0.0f, 0.0f, 0.0f, 0.0f);                                                    \
        if (r_ < (n))                                                                              \
            v_ = LD_HEAD(buf, ((first) + r_) * (ld) + (col), c_);                                  \
        tile[r_ * uint(TS) + c_] = v_;                                                             \
    }

// vec4 column c of a row: from shared memory, or from the buffer, where row n - 1 stands for those
// beyond the end, whose results are thrown away.
#define SHARED_ROW(tile, buf, first, n, ld, col, row, c) tile[(row) * uint(TS) + (c)]
#define BUFFER_ROW(tile, buf, first, n, ld, col, row, c)                                           \
    LD_HEAD(buf, ((first) + UMIN(row, (n) - 1u)) * (ld) + (col), c)
#if STAGE_OWN
#define OWN SHARED_ROW
#define STAGE_OWN_ROWS(list) STAGE_(NA, list)
#else
#define OWN BUFFER_ROW
#define STAGE_OWN_ROWS(list)
#endif
#if STAGE_TILE
#define TILE SHARED_ROW
#define STAGE_TILE_ROWS(list) STAGE_(NB, list)
#define TILE_VEC4S (NB * TS)
#else
#define TILE BUFFER_ROW
#define STAGE_TILE_ROWS(list)
#define TILE_VEC4S 1
#endif

// s[i * RB + j] = dot(own row i, tile row j).
#define PRODUCTS(s, own, other) PRODUCTS_(s, own, other)
#define PRODUCTS_(s, own, a, a0, an, lda, acol, tile, b, b0, bn, ldb, bcol)                        \
    UNROLL for (int e_ = 0; e_ < RA * RB; e_++)                                                    \
        s[e_] = 0.0f;                                                                              \
    for (uint c_ = 0u; c_ < uint(D4); c_++) {                                                      \
        vec4 a_[RA];                                                                               \
        UNROLL for (int i_ = 0; i_ < RA; i_++)                                                     \
            a_[i_] = OWN(own, a, a0, an, lda, acol, OWN_ROW(i_), c_);                              \
        UNROLL for (int j_ = 0; j_ < RB; j_++) {                                                   \
            const vec4 b_ = TILE(tile, b, b0, bn, ldb, bcol, TILE_ROW(j_), c_);                    \
            UNROLL for (int i_ = 0; i_ < RA; i_++)                                                 \
                s[i_ * RB + j_] = dot_add(a_[i_], b_, s[i_ * RB + j_]);                            \
        }                                                                                          \
    }

// acc[i * NC + c] += sum over the tile's rows of p[own row i][row] * tile[row].
#define ACCUMULATE(acc, p, other) ACCUMULATE_(acc, p, other)
#define ACCUMULATE_(acc, p, tile, b, b0, bn, ldb, bcol)                                            \
    for (uint j_ = 0u; j_ < UMIN(uint(NB), bn); j_++) {                                            \
        float w_[RA];                                                                              \
        UNROLL for (int i_ = 0; i_ < RA; i_++)                                                     \
            w_[i_] = p[OWN_ROW(i_) * uint(PS) + j_];                                               \
        UNROLL for (int c_ = 0; c_ < NC; c_++) {                                                   \
            const uint col_ = UMIN(LANE_COL + 8u * uint(c_), uint(D4) - 1u);                       \
            const vec4 b_ = TILE(tile, b, b0, bn, ldb, bcol, j_, col_);                            \
            UNROLL for (int i_ = 0; i_ < RA; i_++)                                                 \
                acc[i_ * NC + c_] = scale_add(w_[i_], b_, acc[i_ * NC + c_]);                      \
        }                                                                                          \
    }

#define CLEAR(acc)                                                                                 \
    UNROLL for (int e_ = 0; e_ < RA * NC; e_++)                                                    \
        acc[e_] = vec4(0.0f, 0.0f, 0.0f, 0.0f);

// Own row `row` (of rows) times factor[i] into head `head` of `heads`; the last head clears the
// padding.
#define STORE_ROWS(buf, acc, factor, first, rows, ld, head, heads)                                 \
    UNROLL for (int i_ = 0; i_ < RA; i_++) {                                                       \
        const uint r_ = OWN_ROW(i_);                                                               \
        if (r_ < (rows)) {                                                                         \
            const uint at_ = ((first) + r_) * (ld);                                                \
            UNROLL for (int c_ = 0; c_ < NC; c_++)                                                 \
                if (LANE_COL + 8u * uint(c_) < uint(D4))                                           \
                    ST_HEAD(buf, at_ + (head) * uint(D), LANE_COL + 8u * uint(c_),                 \
                            acc[i_ * NC + c_] * (factor));                                         \
            const uint pad_ = (heads) * uint(D) + 2u * LANE_COL;                                   \
            if ((head) + 1u == (heads) && pad_ < (((heads) * uint(D) + 7u) & ~7u))                 \
                ST2(buf, at_ + pad_, vec2(0.0f, 0.0f));                                            \
        }                                                                                          \
    }
