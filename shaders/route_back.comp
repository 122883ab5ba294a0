// shaders/route_back.comp -- gradient of the logits out of those of the weights, and of factor *
// sum_e picked[e] * sum_t counts[t] p[t][e]; one token a lane. Oracle: op_route_back_ref().
//   dp[e] = factor counts[t] picked[e] + (e picked: g), dlogits[e] = p[e] (dp[e] - sum p dp);
//   g = dw, or with `norm` (dw - sum dw w) / sum of the picked p
#include "route.h"
#define BUFFERS ROUTE_BACK_BUFFERS
#define PARAMS ROUTE_BACK_PARAMS
#define LOCALS
#include "kernel.h"
#include "exp.h"

#define P(e) (exp_neg(logits[t * ld + (e)] - most) * inv)
#define EVEN(e) (factor_t != 0.0f ? factor_t * sums[e] : 0.0f)

KERNEL_BEGIN(route_back)
    const uint t = GLOBAL_ID, rows = n_tokens * top_k, slots = t * top_k;
    if (t >= n_tokens)
        return; // no barrier follows
    const float most = route[rows + 2u * t], inv = route[rows + 2u * t + 1u];
    float factor_t = 0.0f;
    if (factor != 0.0f)
        factor_t = factor * float(counts[t]);
    float dot_w = 0.0f, share = 0.0f, mean = 0.0f;
    for (uint i = 0u; i < top_k; i++) {
        const uint at = index[ROUTE_PLACE(rows) + slots + i];
        dot_w += droute[at] * route[at];
        share += P(index[ROUTE_IDS(rows) + slots + i]);
    }
    // What `norm` takes off every picked one, and divides by.
    const float off = norm != 0u ? dot_w : 0.0f, by = norm != 0u ? 1.0f / share : 1.0f;
    for (uint i = 0u; i < top_k; i++) {
        const float g = (droute[index[ROUTE_PLACE(rows) + slots + i]] - off) * by;
        mean += P(index[ROUTE_IDS(rows) + slots + i]) * g;
    }
    for (uint e = 0u; e < n_experts; e++)
        mean += P(e) * EVEN(e);
    for (uint e = 0u; e < ldd; e += 2u) {
        float d[2];
        for (uint j = 0u; j < 2u; j++) {
            const uint x = e + j, in_range = UMIN(x, n_experts - 1u);
            float dp = EVEN(in_range) - mean;
            for (uint i = 0u; i < top_k; i++)
                if (index[ROUTE_IDS(rows) + slots + i] == x)
                    dp += (droute[index[ROUTE_PLACE(rows) + slots + i]] - off) * by;
            d[j] = x < n_experts ? P(in_range) * dp : 0.0f;
        }
        ST2(dlogits, t * ldd + e, vec2(d[0], d[1]));
    }
KERNEL_END
