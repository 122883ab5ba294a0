// shaders/attention_delta.comp -- delta = rowsum(d_o * o), one lane a (token, head). Oracle:
// op_attention_delta_ref().
#include "attention.h"
#define BUFFERS ATTENTION_DELTA_BUFFERS
#define PARAMS ATTENTION_PARAMS
#define LOCALS
#include "kernel.h"

KERNEL_BEGIN(attention_delta)
    const uint t = GLOBAL_ID / n_heads, h = GLOBAL_ID % n_heads;
    if (t >= n_tokens)
        return; // no barrier follows
    float even = 0.0f, odd = 0.0f;
    for (uint d = 0u; d < head_dim; d += 2u) {
        const vec2 a = LD2(o, t * ldo + h * head_dim + d);
        const vec2 b = LD2(d_o, t * lddo + h * head_dim + d);
        even = MAD(a.x, b.x, even);
        odd = MAD(a.y, b.y, odd);
    }
    delta[h * n_tokens + t] = even + odd;
KERNEL_END
