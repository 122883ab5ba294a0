// shaders/route_pick.comp -- the top_k largest logits of a token, one token a lane, and what its
// softmax is made of. Of equal ones the lower expert. Oracle: op_route_pick_ref().
#include "route.h"
#define BUFFERS ROUTE_PICK_BUFFERS
#define PARAMS ROUTE_PARAMS
#define LOCALS
#include "kernel.h"
#include "exp.h"

KERNEL_BEGIN(route_pick)
    const uint t = GLOBAL_ID, at = t * ld, rows = n_tokens * top_k;
    if (t >= n_tokens)
        return; // no barrier follows
    uint last = n_experts;
    float before = 0.0f, most = 0.0f;
    for (uint i = 0u; i < top_k; i++) {
        uint best = n_experts;
        float value = 0.0f;
        for (uint e = 0u; e < n_experts; e++) {
            // Behind the one that was picked last: smaller, or equal and of a higher number.
            const float v = logits[at + e];
            if (last < n_experts && !(v < before || (v == before && e > last)))
                continue;
            if (best == n_experts || v > value) {
                best = e;
                value = v;
            }
        }
        index[ROUTE_IDS(rows) + t * top_k + i] = UMIN(best, n_experts - 1u); // NaN: any
        last = best;
        before = value;
        most = i == 0u ? value : most;
    }
    float sum = 0.0f;
    for (uint e = 0u; e < n_experts; e++)
        sum += exp_neg(logits[at + e] - most);
    route[rows + 2u * t] = most;
    route[rows + 2u * t + 1u] = 1.0f / sum;
KERNEL_END
