// shaders/logprob_stats.comp -- carry a row's statistics over one more chunk of its logits; one
// group a row. The target's column stays out of the maximum and the sums: the columns before and
// behind it are walked one after the other, WIDTH at once. Oracle: op_logprob_stats_ref().
#include "logprob.h"
#define BUFFERS LOGPROB_STATS_BUFFERS
#define PARAMS LOGPROB_STATS_PARAMS
#define LOCALS SHARED(float, red, LANES)
#include "kernel.h"
#include "exp.h"

#define LOWEST (-1e30f) // stands for -Inf, which Vulkan may assume away
#define OF4(op, v) op(op((v).x, (v).y), op((v).z, (v).w))
#if defined(__OPENCL_C_VERSION__) && LANES == 1 // a CPU
#define WIDTH 16u
#define vec float16
#define ZEROS (float16)(0.0f)
#define LARGER(a, b) select(a, b, (b) > (a))
#define LD_VEC(buf, i) vload16(0, buf + (i))
#define EXP_NEG exp_neg16
#define OF_ALL(op, v) OF4(op, op(op((v).s0123, (v).s4567), op((v).s89ab, (v).scdef)))
#else
#define WIDTH 4u
#define vec vec4
#define ZEROS vec4(0.0f, 0.0f, 0.0f, 0.0f)
#define LARGER(a, b) MAX(a, b)
#define LD_VEC(buf, i) LD4_F32(buf, i)
#define EXP_NEG exp_neg4
#define OF_ALL(op, v) OF4(op, v)
#endif
#define STEP (WIDTH * uint(LANES))

// For the columns [from, to) of the row, shared among the lanes: `wide` at j .. j + WIDTH - 1, then
// `one` at j.
#define WALK(j, from, to, wide, one)                                                               \
    {                                                                                              \
        const uint rest_ = (from) + ((to) - (from)) / STEP * STEP;                                 \
        for (uint j = (from) + LANE * WIDTH; j < rest_; j += STEP) {                               \
            wide                                                                                   \
        }                                                                                          \
        for (uint j = rest_ + LANE; j < (to); j += uint(LANES)) {                                  \
            one                                                                                    \
        }                                                                                          \
    }

#define LARGEST(from, to, best)                                                                    \
    {                                                                                              \
        vec bests = ZEROS + best;                                                                  \
        WALK(j, from, to,                                                                          \
             const vec l = LD_VEC(logits, row + j); bests = LARGER(bests, l); totals += l;,        \
             const float l = logits[row + j]; best = MAX(best, l); total += l;)                    \
        best = MAX(best, OF_ALL(MAX, bests));                                                      \
    }

#define SUMS(from, to)                                                                             \
    WALK(j, from, to, const vec d = LD_VEC(logits, row + j) - top; const vec e = EXP_NEG(d);       \
         sums += e; products += e * d;, const float d = logits[row + j] - top;                     \
         const float e = exp_neg(d); sum += e; dots += e * d;)

KERNEL_BEGIN(logprob_stats)
    const uint m = GROUP_X, row = m * ld, s = m * 8u, t = target[m];
    // Columns before the target, and the first one behind it; both 0 or both v_count when it is not
    // here.
    const uint before = t < v_begin ? 0u : UMIN(t - v_begin, v_count);
    const uint behind = t < v_begin ? 0u : UMIN(t - v_begin + 1u, v_count);
    const bool first = v_begin == 0u;
    const float old_top = first ? LOWEST : state[s + ST_MAX];
    float low = first ? LOWEST : state[s + ST_MAX_LOW], top = old_top;
    float total = 0.0f, sum = 0.0f, dots = 0.0f;
    vec totals = ZEROS, sums = ZEROS, products = ZEROS;

    LARGEST(0u, before, low)
    LARGEST(behind, v_count, top)
    top = MAX(top, low);
    total += OF_ALL(PLUS, totals);
    GROUP_MAX(red, low)
    GROUP_MAX(red, top)
    GROUP_SUM(red, total)
    SUMS(0u, before)
    SUMS(behind, v_count)
    sum += OF_ALL(PLUS, sums);
    dots += OF_ALL(PLUS, products);
    GROUP_SUM(red, sum)
    GROUP_SUM(red, dots)
    if (LANE == 0u) {
        const float old_sum = first ? 0.0f : state[s + ST_SUM];
        const float old_dot = first ? 0.0f : state[s + ST_DOT];
        const float old_total = first ? 0.0f : state[s + ST_TOTAL];
        // At first old_top is LOWEST, and both `shrink` and old_sum are 0.
        const float d = old_top - top, shrink = exp_neg(d);
        const bool here = before < behind;
        const float l = here ? logits[row + before] : 0.0f;
        state[s + ST_MAX] = top;
        state[s + ST_SUM] = old_sum * shrink + sum;
        state[s + ST_DOT] = (old_dot + old_sum * d) * shrink + dots;
        state[s + ST_MAX_LOW] = low;
        state[s + ST_TOTAL] = old_total + (total + l);
        state[s + ST_SHRINK] = shrink;
        if (here)
            state[s + ST_TARGET] = l;
    }
KERNEL_END
