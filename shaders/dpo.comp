// shaders/dpo.comp -- DPO sigmoid loss, one lane a pair. Oracle: op_dpo_ref().
#include "dpo.h"
#define BUFFERS DPO_BUFFERS
#define PARAMS DPO_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(dpo)
    const uint i = GLOBAL_ID;
    if (i >= n_pairs)
        return; // no barrier follows

    // `precise`: terms of ~1e2 nats differ by ~1e-1, so the compiler must not reassociate the
    // subtractions (Vulkan lets it by default).
    const uint j = i + n_pairs;
    precise float w = logp[i] - ref_logp[i];
    precise float l = logp[j] - ref_logp[j];
    precise float m = beta * (w - l);

    const float e = exp(-ABS(m));                        // in (0, 1]: no overflow
    const float s = (m >= 0.0f ? e : 1.0f) / (1.0f + e); // sigmoid(-m)
    const float g = grad_scale * beta * s;

    loss[i] = MAX(-m, 0.0f) + log(1.0f + e); // softplus(-m)
    dlogp[i] = -g;
    dlogp[j] = g;
KERNEL_END
