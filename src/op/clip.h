// src/op/clip.h -- what gradients are multiplied by in an update: the clip by their norm, and the
// loss scale taken back.
#ifndef OP_CLIP_H
#define OP_CLIP_H

#include "shaders/clip.h"
#include "src/op/op.h"

OP_PARAMS(clip, CLIP_PARAMS);

// mult[0] = min(1, max_norm / (norm + 1e-6)) / scale, norm = sqrt(sum of part) / scale; 1 / scale
// where max_norm is 0. Rounded to f32 once, as if computed in f64: about one result in a million is
// its neighbour. Parts with Inf or NaN give a number without meaning: the host looks at them.
struct op_clip_args {
    const struct rt_buf *part; // (n) in: f32, sums of squares of scaled gradients (op/sumsq.h)
    uint64_t n;                // 1 .. 2^32 - 1
    struct rt_buf *mult;       // (1) out: f32
    double max_norm;           // finite, >= 0; 0: no clipping
    double scale;              // of the loss; finite, > 0
};

// Errors: RT_E_ARG    n or a number is out of range
//         RT_E_SHAPE  part or mult is smaller than said, or not f32
//         else        what rt_cmd_dispatch() returns
// Source: torch.nn.utils.clip_grad_norm_, torch.amp.GradScaler.unscale_.
RT_NODISCARD enum rt_err op_clip(struct rt_cmd *cmd, const struct op_clip_args *a);

// Oracle and host kernel.
void op_clip_ref(const struct rt_host_call *call);

#endif // OP_CLIP_H
