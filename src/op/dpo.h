// src/op/dpo.h -- DPO sigmoid loss and its gradient over a batch of pairs.
#ifndef OP_DPO_H
#define OP_DPO_H

#include "shaders/dpo.h"
#include "src/op/op.h"

OP_PARAMS(dpo, DPO_PARAMS);

// One batch of N pairs. Rows [0, N) are the chosen answers, rows [N, 2N) the rejected ones, same pair
// order. Buffers are f32, on the device of `cmd`, not overlapping; the caller owns them and keeps them
// alive until rt_cmd_wait().
struct op_dpo_args {
    const struct rt_buf *logp;     // (2N) in: summed answer log-prob, policy, nats
    const struct rt_buf *ref_logp; // (2N) in: the same, frozen reference, nats
    struct rt_buf *loss;           // (N)  out: loss of each pair, nats
    struct rt_buf *dlogp;          // (2N) out: d(grad_scale * sum loss) / d logp
    uint32_t n_pairs;              // N, 1 .. 2^31-1
    float beta;                    // finite, > 0, dimensionless
    float grad_scale;              // finite; 1/(pairs in the global batch)
};

// Record the kernel on `cmd`; the outputs are valid after rt_cmd_wait().
//   m = beta * ((logp_w - ref_w) - (logp_l - ref_l)),  loss = softplus(-m)
// Errors: RT_E_ARG    n_pairs, beta or grad_scale is out of range
//         RT_E_SHAPE  a buffer is smaller than its shape above
//         else        what rt_cmd_dispatch() returns
// On error nothing is recorded and the outputs are untouched.
// Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 7. Row order: TRL.
RT_NODISCARD enum rt_err op_dpo(struct rt_cmd *cmd, const struct op_dpo_args *args);

// The same maths in float64: oracle of the tests and kernel of the host backend. Buffers as listed in
// shaders/dpo.h. Cannot fail.
void op_dpo_ref(const struct rt_host_call *call);

#endif // OP_DPO_H
