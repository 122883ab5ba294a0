// The sum of squared probabilities, for those who ask for it: two kernels beside those of
// op_logprob().
#include <math.h>

#include "src/op/logprob.h"

enum { COLUMNS = OP_LOGPROB_COLUMNS };

const struct rt_kernel op_logprob_squares_kernel =
    OP_KERNEL(logprob_squares, "logprob_squares.comp", LOGPROB_STATS_BUFFERS,
              struct logprob_stats_params, op_logprob_squares_ref);
const struct rt_kernel op_logprob_squares_finish_kernel =
    OP_KERNEL(logprob_squares_finish, "logprob_squares_finish.comp", LOGPROB_SQUARES_FINISH_BUFFERS,
              struct logprob_finish_params, op_logprob_squares_finish_ref);

void op_logprob_squares_ref(const struct rt_host_call *call)
{
    const struct logprob_stats_params *p = call->params;
    const struct rt_host_buf *logits = &call->bufs[0], *state = &call->bufs[2];
    const uint32_t *target = call->bufs[1].data;

    for (uint64_t m = 0; m < p->n_rows; m++) {
        const double top = rt_host_load(state, m * COLUMNS + ST_MAX),
                     shrink = rt_host_load(state, m * COLUMNS + ST_SHRINK);
        double sum =
            p->v_begin == 0 ? 0.0 : rt_host_load(state, m * COLUMNS + ST_SQUARES) * shrink * shrink;
        for (uint32_t j = 0; j < p->v_count; j++)
            if (p->v_begin + j != target[m])
                sum += exp(2.0 * (rt_host_load(logits, m * p->ld + j) - top));
        rt_host_store(state, m * COLUMNS + ST_SQUARES, sum);
    }
}

void op_logprob_squares_finish_ref(const struct rt_host_call *call)
{
    const struct logprob_finish_params *p = call->params;
    const struct rt_host_buf *state = &call->bufs[0], *result = &call->bufs[1];

    for (uint64_t m = 0; m < p->n_rows; m++) {
        const double logp = rt_host_load(result, m * COLUMNS + OP_LOGPROB_LOGP);
        const double lse = rt_host_load(result, m * COLUMNS + OP_LOGPROB_LSE);
        const double d = rt_host_load(state, m * COLUMNS + ST_MAX) - lse;
        const double squares =
            exp(2.0 * logp) + rt_host_load(state, m * COLUMNS + ST_SQUARES) * exp(2.0 * d);
        rt_host_store(result, m * COLUMNS + OP_LOGPROB_WEIGHT, logp - log(squares));
    }
}

enum rt_err op_logprob_squares(struct rt_cmd *cmd, const struct op_logprob_squares_args *a)
{
    const struct logprob_stats_params p = {a->n_rows, a->ld, a->v_begin, a->v_count};
    return rt_cmd_dispatch(cmd,
                           &(struct rt_dispatch_desc){
                               .kernel = "logprob_squares",
                               .groups = {a->n_rows},
                               .bufs = {RT_IN_AT(a->logits, a->first, (uint64_t) a->n_rows * a->ld),
                                        RT_IN_AT(a->targets, a->row, a->n_rows),
                                        RT_INOUT_AT(a->state, 0, (uint64_t) a->n_rows * COLUMNS)},
                               .params = &p,
                               .params_size = sizeof(p)});
}

enum rt_err op_logprob_squares_finish(struct rt_cmd *cmd, const struct op_logprob_squares_args *a,
                                      struct rt_buf *result)
{
    const struct logprob_finish_params p = {a->n_rows, 0};
    return rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                    .kernel = "logprob_squares_finish",
                                    .items = a->n_rows,
                                    .bufs = {RT_IN_AT(a->state, 0, (uint64_t) a->n_rows * COLUMNS),
                                             RT_INOUT_AT(result, (uint64_t) a->row * COLUMNS,
                                                         (uint64_t) a->n_rows * COLUMNS)},
                                    .params = &p,
                                    .params_size = sizeof(p)});
}
