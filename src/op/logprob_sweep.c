// The gradient of log-probs in h, made by the forward's own sweep over the vocabulary: for a head
// that is not trained.
#include <math.h>

#include "src/base/arith.h"
#include "src/op/logprob.h"

enum { COLUMNS = OP_LOGPROB_COLUMNS };

const struct rt_kernel op_logprob_sweep_kernel =
    OP_KERNEL(logprob_sweep, "logprob_sweep.comp", LOGPROB_SWEEP_BUFFERS,
              struct logprob_sweep_params, op_logprob_sweep_ref);
const struct rt_kernel op_logprob_dh_kernel = OP_KERNEL(
    logprob_dh, "logprob_dh.comp", LOGPROB_DH_BUFFERS, struct logprob_dh_params, op_logprob_dh_ref);
const struct rt_kernel op_logprob_scale_kernel =
    OP_KERNEL(logprob_scale, "logprob_scale.comp", LOGPROB_SCALE_BUFFERS,
              struct logprob_scale_params, op_logprob_scale_ref);

// ---- Oracles ----------------------------------------------------------------------------------

// d tanh-capped logit / d what is capped, from the capped one.
static double slope_of(float softcap, double l)
{
    const double y = softcap > 0.0f ? l / (double) softcap : 0.0;
    return 1.0 - y * y;
}

void op_logprob_sweep_ref(const struct rt_host_call *call)
{
    const struct logprob_sweep_params *p = call->params;
    const uint32_t *target = call->bufs[1].data;

    for (uint64_t m = 0; m < p->n_rows; m++) {
        const double top = rt_host_load(&call->bufs[2], m * COLUMNS + ST_MAX);
        for (uint32_t j = 0; j < p->ld; j++) {
            const double l = rt_host_load(&call->bufs[0], m * p->ld + j);
            const bool other = j < p->v_count && p->v_begin + j != target[m];
            const double e = (double) SWEEP_ONE * exp(l - top) * slope_of(p->softcap, l);
            rt_host_store(&call->bufs[3], m * p->ld + j, other ? e : 0.0);
        }
    }
}

void op_logprob_dh_ref(const struct rt_host_call *call)
{
    const struct logprob_dh_params *p = call->params;
    const uint32_t *target = call->bufs[1].data;
    const struct rt_host_buf *result = &call->bufs[3], *dh = &call->bufs[4];

    for (uint64_t m = 0; m < p->n_rows; m++) {
        const double lse = rt_host_load(result, m * COLUMNS + OP_LOGPROB_LSE),
                     other = rt_host_load(result, m * COLUMNS + OP_LOGPROB_LSE_OTHER),
                     t = rt_host_load(result, m * COLUMNS + OP_LOGPROB_TARGET),
                     sum = rt_host_load(&call->bufs[2], m * COLUMNS + ST_SUM),
                     by = exp(other - lse) * (double) p->logit_scale;
        const uint32_t r = target[m] - p->row_begin;
        for (uint64_t c = 0; c < p->cols && r < p->row_count; c++) {
            const double w = rt_host_load(&call->bufs[0], (uint64_t) r * p->ldw + c),
                         others = rt_host_load(dh, m * p->ldh + c) / (double) SWEEP_ONE;
            rt_host_store(dh, m * p->ldh + c, by * (slope_of(p->softcap, t) * w - others / sum));
        }
    }
}

void op_logprob_scale_ref(const struct rt_host_call *call)
{
    const struct logprob_scale_params *p = call->params;
    const struct rt_host_buf *dh = &call->bufs[1];

    for (uint64_t m = 0; m < p->n_rows; m++) {
        const double by = rt_host_load(&call->bufs[0], m * p->ldf + p->at);
        for (uint64_t c = 0; c < p->cols; c++)
            rt_host_store(dh, m * p->ldh + c, by * rt_host_load(dh, m * p->ldh + c));
    }
}

// ---- Dispatch ---------------------------------------------------------------------------------

// Rows of dh that are bound at once.
static struct rt_bind bind_dh(struct op_mat_out dh, uint32_t row, uint32_t rows)
{
    return op_bind_rows((struct op_vec){dh.buf, dh.first}, dh.ld, row, rows, RT_ACCESS_INOUT);
}

static uint32_t dh_step(struct op_mat_out dh)
{
    return op_range_rows(dh.buf, 4 * (uint64_t) dh.ld);
}

// dh[row + i] *= factor[i * ldf + at], i < rows.
static enum rt_err scale(struct rt_cmd *cmd, const struct rt_buf *factor, uint32_t ldf, uint32_t at,
                         struct op_mat_out dh, uint32_t row, uint32_t rows, uint32_t cols)
{
    enum rt_err err = RT_OK;
    const uint32_t step = dh_step(dh);

    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t i = 0; i < rows; i += step) {
        const uint32_t n = u32_min(step, rows - i);
        const struct logprob_scale_params p = {n, cols, dh.ld, ldf, at};
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){
                     .kernel = "logprob_scale",
                     .groups = {op_groups(dh.buf, cols / 2), n},
                     .bufs = {RT_IN_AT(factor, (uint64_t) i * ldf, (uint64_t) n * ldf),
                              bind_dh(dh, row + i, n)},
                     .params = &p,
                     .params_size = sizeof(p)}));
    }
done:
    return err;
}

enum rt_err op_logprob_scale(struct rt_cmd *cmd, struct op_mat_out dh, const struct rt_buf *coef,
                             uint32_t n_rows, uint32_t cols)
{
    enum rt_err err = RT_OK;
    const struct op_vec v = {dh.buf, dh.first};

    RT_REQUIRE(n_rows >= 1 && n_rows <= 1u << 28 && op_row_ok(cols, dh.ld), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(v, (uint64_t) n_rows * dh.ld) && rt_buf_type(dh.buf) == RT_F32,
               RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(coef, RT_F32, n_rows), RT_E_SHAPE);
    RT_TRY(scale(cmd, coef, 1, 0, dh, 0, n_rows, cols));
done:
    return err;
}

static enum rt_err weights(struct rt_cmd *cmd, const struct op_logprob_sweep_args *a)
{
    const struct op_logprob_args *f = a->all;
    const struct logprob_sweep_params p = {a->n_rows, a->ld, a->v_begin, a->v_count, f->softcap};
    const struct op_grid grid = op_grid(f->h.buf, op_stride(a->v_count));
    const uint64_t n = (uint64_t) a->n_rows * a->ld;
    return rt_cmd_dispatch(
        cmd,
        &(struct rt_dispatch_desc){
            .kernel = "logprob_sweep",
            .groups = {grid.groups, a->n_rows},
            .group = {grid.group},
            .bufs = {RT_IN_AT(f->scratch.logits, 0, n), RT_IN_AT(f->targets, a->row, a->n_rows),
                     RT_IN_AT(f->scratch.state, 0, (uint64_t) a->n_rows * COLUMNS),
                     RT_OUT_AT(f->scratch.dlogits, 0, n)},
            .params = &p,
            .params_size = sizeof(p),
            .tune = {{"CAP", f->softcap > 0.0f ? 2 : 0}, OP_GRID_TUNES(grid)}});
}

enum rt_err op_logprob_sweep(struct rt_cmd *cmd, const struct op_logprob_sweep_args *a)
{
    enum rt_err err = RT_OK;
    const struct op_logprob_args *f = a->all;
    const bool first = a->v_begin == 0;

    if (!first)
        RT_TRY(scale(cmd, f->scratch.state, COLUMNS, ST_SHRINK, f->dh, a->row, a->n_rows, f->cols));
    RT_TRY(weights(cmd, a));
    RT_TRY(
        op_matmul(cmd, &(struct op_matmul_args){
                           .form = OP_NN,
                           .m = a->n_rows,
                           .n = f->cols,
                           .k = a->v_count,
                           .a = {f->scratch.dlogits, 0, a->ld},
                           .b = {f->w.buf, f->w.first + (uint64_t) a->v_begin * f->w.ld, f->w.ld},
                           .c = {f->dh.buf, f->dh.first + (uint64_t) a->row * f->dh.ld, f->dh.ld},
                           .accumulate = !first,
                           .scratch = f->scratch.matmul}));
done:
    return err;
}

// Rows [m, m + rows) of the chunk, whose targets are among words [r, r + words).
static enum rt_err finish(struct rt_cmd *cmd, const struct op_logprob_sweep_args *a, uint32_t m,
                          uint32_t rows, uint32_t r, uint32_t words)
{
    const struct op_logprob_args *f = a->all;
    const struct op_vec w = {f->w.buf, f->w.first};
    const struct logprob_dh_params p = {
        rows,      f->cols, f->w.ld, f->dh.ld, r, words, op_logprob_logit_scale(f->logit_scale),
        f->softcap};
    return rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                    .kernel = "logprob_dh",
                                    .groups = {op_groups(f->dh.buf, f->cols / 2), rows},
                                    .bufs = {op_bind_rows(w, f->w.ld, r, words, RT_ACCESS_IN),
                                             RT_IN_AT(f->targets, a->row + m, rows),
                                             RT_IN_AT(f->scratch.state, (uint64_t) m * COLUMNS,
                                                      (uint64_t) rows * COLUMNS),
                                             RT_IN_AT(f->result, (uint64_t) (a->row + m) * COLUMNS,
                                                      (uint64_t) rows * COLUMNS),
                                             bind_dh(f->dh, a->row + m, rows)},
                                    .params = &p,
                                    .params_size = sizeof(p),
                                    .tune = {{"CAP", f->softcap > 0.0f ? 2 : 0}}});
}

enum rt_err op_logprob_sweep_finish(struct rt_cmd *cmd, const struct op_logprob_sweep_args *a)
{
    enum rt_err err = RT_OK;
    const struct op_logprob_args *f = a->all;
    const uint32_t step_w = op_vec_range_rows((struct op_vec){f->w.buf, f->w.first}, f->w.ld),
                   step = dh_step(f->dh);

    RT_REQUIRE(step_w && step, RT_E_UNSUPPORTED);
    for (uint32_t m = 0; m < a->n_rows; m += step)
        for (uint32_t r = 0; r < f->n_vocab; r += step_w)
            RT_TRY(finish(cmd, a, m, u32_min(step, a->n_rows - m), r,
                          u32_min(step_w, f->n_vocab - r)));
done:
    return err;
}
