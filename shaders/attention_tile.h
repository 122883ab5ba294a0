// shaders/attention_tile.h -- what the portable attention kernels share; include after kernel.h.
//
// A group is 8 x 8 lanes. It owns NA = 8 RA rows (queries, or keys) and walks over tiles of NB = 8 RB rows
// of the other kind, which lie in shared memory as f32. Lane (y, x) computes the products of its own rows
// y + 8 i with the tile's rows x + 8 j, then sums the tile into its own rows' vec4 columns x + 8 c.
// Compiled in: D head size; RA, RB; STAGE_OWN: own rows lie in shared memory too; BOTH: two tiles fit.
#define D4 ((D + 3) / 4)     // vec4 columns of a head, the last one half empty if D is not a multiple of 4
#define TS (D4 | 1)          // vec4s from row to row in shared memory; odd, so that banks differ
#define NC ((D4 + 7) / 8)    // vec4 columns of a lane
#define NA (8 * RA)
#define NB (8 * RB)
#define PS (NB + 1)          // floats from row to row of the products
#define LANE_ROW (LANE >> 3) // y
#define LANE_COL (LANE & 7u) // x
#define PARTS (64 / NA)      // groups to a block of the index

// exp() of a difference that is never above 0 but for rounding. Below -100 it is 0 in f32 anyway, and no
// driver sees an argument that overflows on the way.
#define EXP_NEG(arg) exp(MAX(arg, -200.0f))
#define NO_SCORE -1.0e30f // below every score; the running maximum before the first key

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
#define LD_HEAD(buf, at, c)                                                                          \
    ((c) + 1u < uint(D4) ? LD4(buf, (at) + 4u * (c)) : vec4(LD2(buf, (at) + 4u * (c)), 0.0f, 0.0f))
#define ST_HEAD(buf, at, c, v)                                                                       \
    {                                                                                              \
        const vec4 v_ = v;                                                                         \
        ST2(buf, (at) + 4u * (c), vec2(v_.x, v_.y));                                                 \
        if ((c) + 1u < uint(D4))                                                                   \
            ST2(buf, (at) + 4u * (c) + 2u, vec2(v_.z, v_.w));                                        \
    }
#endif

// Rows [first, first + n) of the head at column `col` into shared memory; rows up to `rows` are zeros.
#define STAGE(tile, rows, buf, first, n, ld, col)                                                    \
    for (uint e_ = LANE; e_ < uint((rows) * D4); e_ += 64u) {                                      \
        const uint r_ = e_ / uint(D4), c_ = e_ % uint(D4);                                         \
        vec4 v_ = vec4(0.0f, 0.0f, 0.0f, 0.0f);                                                    \
        if (r_ < (n))                                                                              \
            v_ = LD_HEAD(buf, ((first) + r_) * (ld) + (col), c_);                                    \
        tile[r_ * uint(TS) + c_] = v_;                                                             \
    }

// Own row i of this lane, vec4 column c: from shared memory, or from the buffer (row `last` stands for
// those beyond the end, whose results are thrown away).
#if STAGE_OWN
#define OWN(tile, buf, first, last, ld, col, i, c) tile[(LANE_ROW + 8u * uint(i)) * uint(TS) + (c)]
#else
#define OWN(tile, buf, first, last, ld, col, i, c)                                                   \
    LD_HEAD(buf, ((first) + UMIN(LANE_ROW + 8u * uint(i), last)) * (ld) + (col), c)
#endif

// s[i * RB + j] = dot(own row i, tile row j).
#define PRODUCTS(s, own_tile, buf, first, last, ld, col, tile)                                       \
    for (int e_ = 0; e_ < RA * RB; e_++)                                                           \
        s[e_] = 0.0f;                                                                              \
    for (uint c_ = 0u; c_ < uint(D4); c_++) {                                                      \
        vec4 a_[RA];                                                                               \
        for (int i_ = 0; i_ < RA; i_++)                                                            \
            a_[i_] = OWN(own_tile, buf, first, last, ld, col, i_, c_);                               \
        for (int j_ = 0; j_ < RB; j_++) {                                                          \
            const vec4 b_ = tile[(LANE_COL + 8u * uint(j_)) * uint(TS) + c_];                      \
            for (int i_ = 0; i_ < RA; i_++)                                                        \
                s[i_ * RB + j_] = dot_add(a_[i_], b_, s[i_ * RB + j_]);                            \
        }                                                                                          \
    }

// acc[i * NC + c] += sum over the tile's rows of p[own row i][row] * tile[row].
#define ACCUMULATE(acc, p, tile)                                                                   \
    for (uint j_ = 0u; j_ < uint(NB); j_++) {                                                      \
        float w_[RA];                                                                              \
        for (int i_ = 0; i_ < RA; i_++)                                                            \
            w_[i_] = p[(LANE_ROW + 8u * uint(i_)) * uint(PS) + j_];                                \
        for (int c_ = 0; c_ < NC; c_++) {                                                          \
            const vec4 b_ = tile[j_ * uint(TS) + UMIN(LANE_COL + 8u * uint(c_), uint(D4) - 1u)];   \
            for (int i_ = 0; i_ < RA; i_++)                                                        \
                acc[i_ * NC + c_] = scale_add(w_[i_], b_, acc[i_ * NC + c_]);                      \
        }                                                                                          \
    }

#define CLEAR(acc)                                                                                 \
    for (int e_ = 0; e_ < RA * NC; e_++)                                                           \
        acc[e_] = vec4(0.0f, 0.0f, 0.0f, 0.0f);

// Own row `row` (of rows) times factor[i] into head `head` of `heads`; the last head clears the padding.
#define STORE_ROWS(buf, acc, factor, first, rows, ld, head, heads)                                   \
    for (int i_ = 0; i_ < RA; i_++) {                                                              \
        const uint r_ = LANE_ROW + 8u * uint(i_);                                                  \
        if (r_ < (rows)) {                                                                         \
            const uint at_ = ((first) + r_) * (ld);                                                \
            for (int c_ = 0; c_ < NC; c_++)                                                        \
                if (LANE_COL + 8u * uint(c_) < uint(D4))                                           \
                    ST_HEAD(buf, at_ + (head) * uint(D), LANE_COL + 8u * uint(c_),                   \
                            acc[i_ * NC + c_] * (factor));                                         \
            const uint pad_ = (heads) * uint(D) + 2u * LANE_COL;                                   \
            if ((head) + 1u == (heads) && pad_ < (((heads) * uint(D) + 7u) & ~7u))                 \
                ST2(buf, at_ + pad_, vec2(0.0f, 0.0f));                                              \
        }                                                                                          \
    }
