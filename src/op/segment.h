// src/op/segment.h -- sums of per-token numbers over sequences, and the gradient's way back.
#ifndef OP_SEGMENT_H
#define OP_SEGMENT_H

#include "shaders/segment.h"
#include "src/op/op.h"

OP_PARAMS(segment_sum, SEGMENT_SUM_PARAMS);
OP_PARAMS(segment_spread, SEGMENT_SPREAD_PARAMS);

// y[y_first + s] = sum of x[m][column] over starts[s] <= m < starts[s + 1]; with `mean`, divided by
// the number of rows. An empty segment gives 0. The order of addition depends on the segment's
// length alone.
struct op_segment_sum_args {
    const struct rt_buf *x; // (M, ld) in: f32, e.g. the result of op_logprob()
    const struct rt_buf
        *starts; // u32 in: S + 1 numbers from starts_first on, ascending, each <= M (not checked)
    struct rt_buf *y;    // f32 out: S numbers from y_first on; the rest is untouched
    uint32_t n_rows;     // M, >= 1
    uint32_t n_segs;     // S, >= 1
    uint32_t ld, column; // column < ld; e.g. OP_LOGPROB_COLUMNS, OP_LOGPROB_LOGP
    uint32_t starts_first, y_first;
    bool mean;
};

// Errors: RT_E_ARG    a number is out of range
//         RT_E_SHAPE  a buffer is smaller than said, or of another type
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_segment_sum(struct rt_cmd *cmd, const struct op_segment_sum_args *a);

// dx[m] = scale * dy[dy_first + s] for starts[s] <= m < starts[s + 1]; with `mean`, divided by the
// number of rows. Rows of no segment are left untouched.
struct op_segment_spread_args {
    const struct rt_buf *dy;     // f32 in: S numbers from dy_first on
    const struct rt_buf *starts; // as above
    struct rt_buf *dx;           // (M) out: f32
    uint32_t n_rows, n_segs;
    uint32_t starts_first, dy_first;
    bool mean;
    float scale; // finite
};

// Errors: as op_segment_sum().
RT_NODISCARD enum rt_err op_segment_spread(struct rt_cmd *cmd,
                                           const struct op_segment_spread_args *a);

// Oracles and host kernels.
void op_segment_sum_ref(const struct rt_host_call *call);
void op_segment_spread_ref(const struct rt_host_call *call);

#endif // OP_SEGMENT_H
