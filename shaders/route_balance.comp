// shaders/route_balance.comp -- sums[e] += how often expert e was picked, sums[E + e] += its
// probabilities, tokens counting counts[t] times; one expert a lane. Oracle:
// op_route_balance_ref().
#include "route.h"
#define BUFFERS ROUTE_BALANCE_BUFFERS
#define PARAMS ROUTE_PARAMS
#define LOCALS
#include "kernel.h"
#include "exp.h"

KERNEL_BEGIN(route_balance)
    const uint e = GLOBAL_ID, rows = n_tokens * top_k;
    if (e >= n_experts)
        return; // no barrier follows
    float picked = 0.0f, sum = 0.0f;
    for (uint t = 0u; t < n_tokens; t++) {
        const float n = float(counts[t]);
        const float p = exp_neg(logits[t * ld + e] - route[rows + 2u * t]);
        sum += n * (p * route[rows + 2u * t + 1u]);
        for (uint i = 0u; i < top_k; i++)
            picked += index[ROUTE_IDS(rows) + t * top_k + i] == e ? n : 0.0f;
    }
    sums[e] += picked;
    sums[n_experts + e] += sum;
KERNEL_END
