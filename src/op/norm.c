#include "src/op/norm.h"

#include <math.h>

#include "src/base/arith.h"
#include "src/op/colsum.h"

const struct rt_kernel op_norm_kernel =
    OP_KERNEL(norm, "norm.comp", NORM_BUFFERS, struct norm_params, op_norm_ref);
const struct rt_kernel op_norm_dx_kernel =
    OP_KERNEL(norm_dx, "norm_dx.comp", NORM_DX_BUFFERS, struct norm_dx_params, op_norm_dx_ref);
const struct rt_kernel op_norm_dw_kernel =
    OP_KERNEL(norm_dw, "norm_dw.comp", NORM_DW_BUFFERS, struct norm_dw_params, op_norm_dw_ref);

static const uint32_t BLOCK = OP_COLSUM_BLOCK; // rows of one partial sum of dw
static const uint32_t MOST = 1u << 30;         // rows

uint64_t op_norm_scratch(uint32_t n_rows, uint32_t cols)
{
    return op_colsum_scratch(n_rows, cols);
}

// ---- Oracles ----------------------------------------------------------------------------------

// Row t's rstd and mean.
struct stats {
    double r, mean;
};

static struct stats load_stats(const struct rt_host_buf *b, uint64_t t, bool center)
{
    return center ? (struct stats){rt_host_load(b, 2 * t), rt_host_load(b, 2 * t + 1)}
                  : (struct stats){rt_host_load(b, t), 0.0};
}

static struct stats make_stats(const struct norm_params *p, const struct rt_host_buf *x, uint64_t t)
{
    struct stats s = {0.0, 0.0};
    double sum = 0.0;
    for (uint64_t c = 0; p->center && c < p->cols; c++)
        s.mean += rt_host_load(x, t * p->ldx + c) / p->cols;
    for (uint64_t c = 0; c < p->cols; c++) {
        const double v = rt_host_load(x, t * p->ldx + c) - s.mean;
        sum += v * v;
    }
    s.r = 1.0 / sqrt(sum / p->cols + (double) p->eps);
    return s;
}

void op_norm_ref(const struct rt_host_call *call)
{
    const struct norm_params *p = call->params;
    const struct rt_host_buf *x = &call->bufs[0], *w = &call->bufs[1], *b = &call->bufs[2],
                             *y = &call->bufs[3], *stats = &call->bufs[4];

    for (uint64_t t = 0; t < p->n_rows; t++) {
        const struct stats s = make_stats(p, x, t);
        rt_host_store(stats, p->center ? 2 * t : t, s.r);
        if (p->center)
            rt_host_store(stats, 2 * t + 1, s.mean);
        for (uint64_t c = 0; c < (p->add ? p->cols : p->ldy); c++) {
            double v = 0.0;
            if (c < p->cols)
                v = (rt_host_load(x, t * p->ldx + c) - s.mean) * s.r *
                        (rt_host_load(w, c) + (double) p->w_offset) +
                    (p->bias ? rt_host_load(b, c) : 0.0);
            rt_host_store(y, t * p->ldy + c, p->add ? rt_host_load(y, t * p->ldy + c) + v : v);
        }
    }
}

static void dx_row(const struct rt_host_call *call, uint64_t t)
{
    const struct norm_dx_params *p = call->params;
    const struct rt_host_buf *dy = &call->bufs[0], *x = &call->bufs[1], *w = &call->bufs[2];
    const struct rt_host_buf *dx = &call->bufs[4];
    const struct stats s = load_stats(&call->bufs[3], t, p->center);
    double mean_g = 0.0, mean_gx = 0.0;

    for (uint64_t c = 0; c < p->cols; c++) {
        const double g =
            rt_host_load(dy, t * p->ldy + c) * (rt_host_load(w, c) + (double) p->w_offset);
        mean_g += p->center ? g / p->cols : 0.0;
        mean_gx += g * (rt_host_load(x, t * p->ldx + c) - s.mean) * s.r / p->cols;
    }
    for (uint64_t c = 0; c < (p->add ? p->cols : p->lddx); c++) {
        const uint64_t at = t * p->lddx + c;
        double d = 0.0;
        if (c < p->cols) {
            const double g =
                rt_host_load(dy, t * p->ldy + c) * (rt_host_load(w, c) + (double) p->w_offset);
            const double xhat = (rt_host_load(x, t * p->ldx + c) - s.mean) * s.r;
            d = s.r * (g - mean_g - xhat * mean_gx);
        }
        rt_host_store(dx, at, p->add ? rt_host_load(dx, at) + d : d);
    }
}

void op_norm_dx_ref(const struct rt_host_call *call)
{
    const struct norm_dx_params *p = call->params;
    for (uint64_t t = 0; t < p->n_rows; t++)
        dx_row(call, t);
}

void op_norm_dw_ref(const struct rt_host_call *call)
{
    const struct norm_dw_params *p = call->params;
    const struct rt_host_buf *dy = &call->bufs[0], *x = &call->bufs[1];

    for (uint64_t first = 0, b = 0; first < p->n_rows; first += BLOCK, b++)
        for (uint64_t c = 0; c < p->cols; c++) {
            double sum = 0.0;
            for (uint64_t t = first; t < u64_min(first + BLOCK, p->n_rows); t++) {
                const struct stats s = load_stats(&call->bufs[2], t, p->center);
                sum += rt_host_load(dy, t * p->ldy + c) *
                       (rt_host_load(x, t * p->ldx + c) - s.mean) * s.r;
            }
            rt_host_store(&call->bufs[3], b * p->ldp + c, sum);
        }
}

// ---- Dispatch ---------------------------------------------------------------------------------

static bool added_ok(struct op_vec v, bool add)
{
    return !add || rt_buf_type(v.buf) == RT_F32;
}

static enum rt_err check(const struct op_norm_args *a)
{
    enum rt_err err = RT_OK;

    RT_REQUIRE(a->kind == OP_NORM_RMS || a->kind == OP_NORM_LAYER, RT_E_ARG);
    RT_REQUIRE(a->n_rows >= 1 && a->n_rows <= MOST, RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldx) && op_row_ok(a->cols, a->ldy), RT_E_ARG);
    RT_REQUIRE(isfinite(a->eps) && a->eps > 0.0f && isfinite(a->w_offset), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, (uint64_t) a->n_rows * a->ldx), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->w, a->cols), RT_E_SHAPE);
    RT_REQUIRE(!a->b.buf || op_vec_holds(a->b, a->cols), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->y, (uint64_t) a->n_rows * a->ldy) && added_ok(a->y, a->add),
               RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->stats, (uint64_t) a->n_rows * op_norm_stats(a->kind)), RT_E_SHAPE);
done:
    return err;
}

enum rt_err op_norm(struct rt_cmd *cmd, const struct op_norm_args *a)
{
    enum rt_err err = RT_OK;
    const uint32_t center = a->kind == OP_NORM_LAYER, lds = op_norm_stats(a->kind);
    const struct op_vec b = a->b.buf ? a->b : a->w;
    uint32_t step;

    RT_TRY(check(a));
    step = u32_min(op_vec_range_rows(a->x, a->ldx), op_vec_range_rows(a->y, a->ldy));
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct norm_params p = {n,           a->cols, a->ldx,           a->ldy, a->eps,
                                      a->w_offset, center,  a->b.buf != NULL, a->add};
        RT_TRY(rt_cmd_dispatch(
            cmd,
            &(struct rt_dispatch_desc){
                .kernel = "norm",
                .groups = {n},
                .group = {op_row_lanes(a->x.buf)},
                .bufs = {op_bind_rows(a->x, a->ldx, t, n, RT_ACCESS_IN),
                         RT_IN_AT(a->w.buf, a->w.first, a->cols), RT_IN_AT(b.buf, b.first, a->cols),
                         op_bind_rows(a->y, a->ldy, t, n, RT_ACCESS_INOUT),
                         op_bind_rows(a->stats, lds, t, n, RT_ACCESS_OUT)},
                .params = &p,
                .params_size = sizeof(p),
                .tune = {
                    {"CENTER", (int32_t) center}, {"BIAS", a->b.buf != NULL}, {"ADD", a->add}}}));
    }
done:
    return err;
}

// Rows that the backward binds at once; a whole number of blocks.
static uint32_t back_step(const struct op_norm_backward_args *a)
{
    const uint32_t step =
        u32_min(op_vec_range_rows(a->x, a->ldx), op_vec_range_rows(a->dy, a->ldy));
    return u32_min(step, op_vec_range_rows(a->dx, a->lddx));
}

static enum rt_err back_dw(struct rt_cmd *cmd, const struct op_norm_backward_args *a, uint32_t step)
{
    enum rt_err err = RT_OK;
    const uint32_t ldp = op_colsum_stride(a->cols), center = a->kind == OP_NORM_LAYER;

    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t), blocks = (uint32_t) div_up(n, BLOCK);
        const struct norm_dw_params p = {n, a->cols, a->ldx, a->ldy, ldp, center};
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){
                     .kernel = "norm_dw",
                     .groups = {op_groups(a->x.buf, div_up(a->cols, 4)), blocks},
                     .bufs = {op_bind_rows(a->dy, a->ldy, t, n, RT_ACCESS_IN),
                              op_bind_rows(a->x, a->ldx, t, n, RT_ACCESS_IN),
                              op_bind_rows(a->stats, op_norm_stats(a->kind), t, n, RT_ACCESS_IN),
                              RT_OUT_AT(a->scratch, (uint64_t) (t / BLOCK) * ldp,
                                        (uint64_t) blocks * ldp)},
                     .params = &p,
                     .params_size = sizeof(p),
                     .tune = {{"CENTER", (int32_t) center}}}));
    }
    RT_TRY(op_colsum_add(cmd, a->scratch, (uint32_t) div_up(a->n_rows, BLOCK), a->cols, a->dw));
done:
    return err;
}

static enum rt_err back_check(const struct op_norm_backward_args *a)
{
    enum rt_err err = RT_OK;
    const bool sums = a->dw.buf || a->db.buf;

    RT_REQUIRE(a->kind == OP_NORM_RMS || a->kind == OP_NORM_LAYER, RT_E_ARG);
    RT_REQUIRE(a->n_rows >= 1 && a->n_rows <= MOST, RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldx) && op_row_ok(a->cols, a->ldy) &&
                   op_row_ok(a->cols, a->lddx),
               RT_E_ARG);
    RT_REQUIRE(isfinite(a->w_offset), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->dy, (uint64_t) a->n_rows * a->ldy), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->x, (uint64_t) a->n_rows * a->ldx), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->w, a->cols), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->stats, (uint64_t) a->n_rows * op_norm_stats(a->kind)), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->dx, (uint64_t) a->n_rows * a->lddx) && added_ok(a->dx, a->add),
               RT_E_SHAPE);
    RT_REQUIRE(!a->dw.buf || op_vec_holds(a->dw, a->cols), RT_E_SHAPE);
    RT_REQUIRE(!sums || rt_buf_holds(a->scratch, RT_F32, op_norm_scratch(a->n_rows, a->cols)),
               RT_E_SHAPE);
    RT_REQUIRE(back_step(a), RT_E_UNSUPPORTED);
done:
    return err;
}

static enum rt_err back_dx(struct rt_cmd *cmd, const struct op_norm_backward_args *a, uint32_t step)
{
    enum rt_err err = RT_OK;
    const uint32_t center = a->kind == OP_NORM_LAYER, lds = op_norm_stats(a->kind);

    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct norm_dx_params p = {n,       a->cols,     a->ldx, a->ldy,
                                         a->lddx, a->w_offset, center, a->add};
        RT_TRY(
            rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                     .kernel = "norm_dx",
                                     .groups = {n},
                                     .group = {op_row_lanes(a->x.buf)},
                                     .bufs = {op_bind_rows(a->dy, a->ldy, t, n, RT_ACCESS_IN),
                                              op_bind_rows(a->x, a->ldx, t, n, RT_ACCESS_IN),
                                              RT_IN_AT(a->w.buf, a->w.first, a->cols),
                                              op_bind_rows(a->stats, lds, t, n, RT_ACCESS_IN),
                                              op_bind_rows(a->dx, a->lddx, t, n, RT_ACCESS_INOUT)},
                                     .params = &p,
                                     .params_size = sizeof(p),
                                     .tune = {{"CENTER", (int32_t) center}, {"ADD", a->add}}}));
    }
done:
    return err;
}

enum rt_err op_norm_backward(struct rt_cmd *cmd, const struct op_norm_backward_args *a)
{
    enum rt_err err = RT_OK;
    uint32_t step;

    RT_TRY(back_check(a));
    step = back_step(a);
    RT_TRY(back_dx(cmd, a, step));
    if (a->dw.buf)
        RT_TRY(back_dw(cmd, a, step));
    if (a->db.buf)
        RT_TRY(op_colsum(cmd, &(struct op_colsum_args){.x = a->dy,
                                                       .y = a->db,
                                                       .scratch = a->scratch,
                                                       .n_rows = a->n_rows,
                                                       .cols = a->cols,
                                                       .ld = a->ldy}));
done:
    return err;
}
