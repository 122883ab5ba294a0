#include "src/op/rms_norm.h"

#include <math.h>

#include "src/base/arith.h"

const struct rt_kernel op_rms_norm_kernel =
    OP_KERNEL(rms_norm, "rms_norm.comp", RMS_NORM_BUFFERS, struct rms_norm_params, op_rms_norm_ref);
const struct rt_kernel op_rms_norm_dx_kernel =
    OP_KERNEL(rms_norm_dx, "rms_norm_dx.comp", RMS_NORM_DX_BUFFERS, struct rms_norm_dx_params,
              op_rms_norm_dx_ref);
const struct rt_kernel op_rms_norm_dw_kernel =
    OP_KERNEL(rms_norm_dw, "rms_norm_dw.comp", RMS_NORM_DW_BUFFERS, struct rms_norm_dw_params,
              op_rms_norm_dw_ref);
const struct rt_kernel op_rms_norm_dw_sum_kernel =
    OP_KERNEL(rms_norm_dw_sum, "rms_norm_dw_sum.comp", RMS_NORM_DW_SUM_BUFFERS,
              struct rms_norm_dw_sum_params, op_rms_norm_dw_sum_ref);

static const uint32_t BLOCK = 64;      // rows of one partial sum of dw
static const uint32_t MOST = 1u << 30; // rows

// Stride of the partial sums: each block's begins at a bindable place.
static uint32_t part_stride(uint32_t cols)
{
    return (uint32_t) round_up(cols, 64);
}

uint64_t op_rms_norm_scratch(uint32_t n_rows, uint32_t cols)
{
    return div_up(n_rows, BLOCK) * part_stride(cols);
}

// ---- Oracles ----------------------------------------------------------------------------------

void op_rms_norm_ref(const struct rt_host_call *call)
{
    const struct rms_norm_params *p = call->params;
    const struct rt_host_buf *x = &call->bufs[0], *w = &call->bufs[1], *y = &call->bufs[2],
                             *rstd = &call->bufs[3];

    for (uint64_t t = 0; t < p->n_rows; t++) {
        double sum = 0.0;
        for (uint64_t c = 0; c < p->cols; c++) {
            const double v = rt_host_load(x, t * p->ldx + c);
            sum += v * v;
        }
        const double r = 1.0 / sqrt(sum / p->cols + (double) p->eps);
        rt_host_store(rstd, t, r);
        for (uint64_t c = 0; c < p->ldy; c++)
            rt_host_store(y, t * p->ldy + c,
                          c >= p->cols ? 0.0
                                       : rt_host_load(x, t * p->ldx + c) * r *
                                             (rt_host_load(w, c) + (double) p->w_offset));
    }
}

void op_rms_norm_dx_ref(const struct rt_host_call *call)
{
    const struct rms_norm_dx_params *p = call->params;
    const struct rt_host_buf *dy = &call->bufs[0], *x = &call->bufs[1], *w = &call->bufs[2];
    const struct rt_host_buf *rstd = &call->bufs[3], *dx = &call->bufs[4];

    for (uint64_t t = 0; t < p->n_rows; t++) {
        const double r = rt_host_load(rstd, t);
        double mean = 0.0;
        for (uint64_t c = 0; c < p->cols; c++) {
            const double g =
                rt_host_load(dy, t * p->ldy + c) * (rt_host_load(w, c) + (double) p->w_offset);
            mean += g * rt_host_load(x, t * p->ldx + c) * r / p->cols;
        }
        for (uint64_t c = 0; c < p->cols; c++) {
            const double g =
                rt_host_load(dy, t * p->ldy + c) * (rt_host_load(w, c) + (double) p->w_offset);
            const double xhat = rt_host_load(x, t * p->ldx + c) * r;
            const uint64_t at = t * p->lddx + c;
            rt_host_store(dx, at, rt_host_load(dx, at) + r * (g - xhat * mean));
        }
    }
}

void op_rms_norm_dw_ref(const struct rt_host_call *call)
{
    const struct rms_norm_dw_params *p = call->params;
    const struct rt_host_buf *dy = &call->bufs[0], *x = &call->bufs[1], *rstd = &call->bufs[2];

    for (uint64_t first = 0, b = 0; first < p->n_rows; first += BLOCK, b++)
        for (uint64_t c = 0; c < p->cols; c++) {
            double sum = 0.0;
            for (uint64_t t = first; t < u64_min(first + BLOCK, p->n_rows); t++)
                sum += rt_host_load(dy, t * p->ldy + c) * rt_host_load(x, t * p->ldx + c) *
                       rt_host_load(rstd, t);
            rt_host_store(&call->bufs[3], b * p->ldp + c, sum);
        }
}

void op_rms_norm_dw_sum_ref(const struct rt_host_call *call)
{
    const struct rms_norm_dw_sum_params *p = call->params;

    for (uint64_t c = 0; c < p->cols; c++) {
        double sum = rt_host_load(&call->bufs[1], c);
        for (uint64_t b = 0; b < p->n_blocks; b++)
            sum += rt_host_load(&call->bufs[0], b * p->ldp + c);
        rt_host_store(&call->bufs[1], c, sum);
    }
}

// ---- Dispatch ---------------------------------------------------------------------------------

enum rt_err op_rms_norm(struct rt_cmd *cmd, const struct op_rms_norm_args *a)
{
    enum rt_err err = RT_OK;
    uint32_t step;

    RT_REQUIRE(a->n_rows >= 1 && a->n_rows <= MOST, RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldx) && op_row_ok(a->cols, a->ldy), RT_E_ARG);
    RT_REQUIRE(isfinite(a->eps) && a->eps > 0.0f && isfinite(a->w_offset), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, (uint64_t) a->n_rows * a->ldx), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->w, a->cols), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->y, (uint64_t) a->n_rows * a->ldy), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->rstd, a->n_rows), RT_E_SHAPE);
    step = u32_min(op_vec_range_rows(a->x, a->ldx), op_vec_range_rows(a->y, a->ldy));
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct rms_norm_params p = {n, a->cols, a->ldx, a->ldy, a->eps, a->w_offset};
        RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                        .kernel = "rms_norm",
                                        .groups = {n},
                                        .group = {op_row_lanes(a->x.buf)},
                                        .bufs = {op_bind_rows(a->x, a->ldx, t, n, RT_ACCESS_IN),
                                                 RT_IN_AT(a->w.buf, a->w.first, a->cols),
                                                 op_bind_rows(a->y, a->ldy, t, n, RT_ACCESS_OUT),
                                                 op_bind_rows(a->rstd, 1, t, n, RT_ACCESS_OUT)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
    }
done:
    return err;
}

// Rows that the backward binds at once; a whole number of blocks.
static uint32_t back_step(const struct op_rms_norm_backward_args *a)
{
    const uint32_t step =
        u32_min(op_vec_range_rows(a->x, a->ldx), op_vec_range_rows(a->dy, a->ldy));
    return u32_min(step, op_vec_range_rows(a->dx, a->lddx));
}

// dw += the partial sums, as many blocks at a time as can be bound. The order of addition is that
// of one run.
static enum rt_err add_parts(struct rt_cmd *cmd, const struct op_rms_norm_backward_args *a,
                             uint32_t n_blocks)
{
    enum rt_err err = RT_OK;
    const uint32_t ldp = part_stride(a->cols), step = op_range_rows(a->scratch, 4 * (uint64_t) ldp);

    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t b = 0; b < n_blocks; b += step) {
        const uint32_t n = u32_min(step, n_blocks - b);
        const struct rms_norm_dw_sum_params p = {n, a->cols, ldp};
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){
                     .kernel = "rms_norm_dw_sum",
                     .items = a->cols,
                     .bufs = {RT_IN_AT(a->scratch, (uint64_t) b * ldp, (uint64_t) n * ldp),
                              RT_INOUT_AT(a->dw.buf, a->dw.first, a->cols)},
                     .params = &p,
                     .params_size = sizeof(p)}));
    }
done:
    return err;
}

static enum rt_err back_dw(struct rt_cmd *cmd, const struct op_rms_norm_backward_args *a,
                           uint32_t step)
{
    enum rt_err err = RT_OK;
    const uint32_t ldp = part_stride(a->cols);

    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t), blocks = (uint32_t) div_up(n, BLOCK);
        const struct rms_norm_dw_params p = {n, a->cols, a->ldx, a->ldy, ldp};
        RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                        .kernel = "rms_norm_dw",
                                        .groups = {op_groups(a->x.buf, div_up(a->cols, 4)), blocks},
                                        .bufs = {op_bind_rows(a->dy, a->ldy, t, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->x, a->ldx, t, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->rstd, 1, t, n, RT_ACCESS_IN),
                                                 RT_OUT_AT(a->scratch, (uint64_t) (t / BLOCK) * ldp,
                                                           (uint64_t) blocks * ldp)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
    }
    RT_TRY(add_parts(cmd, a, (uint32_t) div_up(a->n_rows, BLOCK)));
done:
    return err;
}

static enum rt_err back_check(const struct op_rms_norm_backward_args *a)
{
    enum rt_err err = RT_OK;

    RT_REQUIRE(a->n_rows >= 1 && a->n_rows <= MOST, RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldx) && op_row_ok(a->cols, a->ldy) &&
                   op_row_ok(a->cols, a->lddx),
               RT_E_ARG);
    RT_REQUIRE(isfinite(a->w_offset), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->dy, (uint64_t) a->n_rows * a->ldy), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->x, (uint64_t) a->n_rows * a->ldx), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->w, a->cols), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->rstd, a->n_rows), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->dx, (uint64_t) a->n_rows * a->lddx), RT_E_SHAPE);
    RT_REQUIRE(!a->dw.buf || op_vec_holds(a->dw, a->cols), RT_E_SHAPE);
    RT_REQUIRE(!a->dw.buf ||
                   rt_buf_holds(a->scratch, RT_F32, op_rms_norm_scratch(a->n_rows, a->cols)),
               RT_E_SHAPE);
    RT_REQUIRE(back_step(a), RT_E_UNSUPPORTED);
done:
    return err;
}

enum rt_err op_rms_norm_backward(struct rt_cmd *cmd, const struct op_rms_norm_backward_args *a)
{
    enum rt_err err = RT_OK;
    uint32_t step;

    RT_TRY(back_check(a));
    step = back_step(a);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct rms_norm_dx_params p = {n, a->cols, a->ldx, a->ldy, a->lddx, a->w_offset};
        RT_TRY(
            rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                     .kernel = "rms_norm_dx",
                                     .groups = {n},
                                     .group = {op_row_lanes(a->x.buf)},
                                     .bufs = {op_bind_rows(a->dy, a->ldy, t, n, RT_ACCESS_IN),
                                              op_bind_rows(a->x, a->ldx, t, n, RT_ACCESS_IN),
                                              RT_IN_AT(a->w.buf, a->w.first, a->cols),
                                              op_bind_rows(a->rstd, 1, t, n, RT_ACCESS_IN),
                                              op_bind_rows(a->dx, a->lddx, t, n, RT_ACCESS_INOUT)},
                                     .params = &p,
                                     .params_size = sizeof(p)}));
    }
    if (a->dw.buf)
        RT_TRY(back_dw(cmd, a, step));
done:
    return err;
}
