// shaders/route_weights.comp -- softmax of the picked logits, with `norm` divided by their sum, at
// the rows of the slots; one token a lane. Oracle: op_route_weights_ref().
#include "route.h"
#define BUFFERS ROUTE_WEIGHTS_BUFFERS
#define PARAMS ROUTE_PARAMS
#define LOCALS
#include "kernel.h"
#include "exp.h"

KERNEL_BEGIN(route_weights)
    const uint t = GLOBAL_ID, rows = n_tokens * top_k;
    if (t >= n_tokens)
        return; // no barrier follows
    const float most = route[rows + 2u * t], inv = route[rows + 2u * t + 1u];
    float sum = 0.0f;
    for (uint i = 0u; i < top_k; i++)
        sum += exp_neg(logits[t * ld + index[ROUTE_IDS(rows) + t * top_k + i]] - most);
    const float scale = norm != 0u ? 1.0f / sum : inv;
    for (uint i = 0u; i < top_k; i++) {
        const uint slot = t * top_k + i;
        const float v = exp_neg(logits[t * ld + index[ROUTE_IDS(rows) + slot]] - most);
        route[index[ROUTE_PLACE(rows) + slot]] = v * scale;
    }
KERNEL_END
