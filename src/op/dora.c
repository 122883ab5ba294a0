#include "src/op/dora.h"

#include <math.h>

#include "src/base/arith.h"

const struct rt_kernel op_dora_norm_kernel = OP_KERNEL(
    dora_norm, "dora_norm.comp", DORA_NORM_BUFFERS, struct dora_norm_params, op_dora_norm_ref);
const struct rt_kernel op_dora_scale_kernel = OP_KERNEL(
    dora_scale, "dora_scale.comp", DORA_SCALE_BUFFERS, struct dora_scale_params, op_dora_scale_ref);
const struct rt_kernel op_dora_back_kernel = OP_KERNEL(
    dora_back, "dora_back.comp", DORA_BACK_BUFFERS, struct dora_back_params, op_dora_back_ref);

void op_dora_norm_ref(const struct rt_host_call *call)
{
    const struct dora_norm_params *p = call->params;
    for (uint64_t r = 0; r < p->n_rows; r++) {
        double sum = 0.0;
        for (uint64_t c = 0; c < p->cols; c++) {
            const double v = rt_host_load(&call->bufs[0], r * p->ldw + c) +
                             (double) p->scale * rt_host_load(&call->bufs[1], r * p->ldd + c);
            sum += v * v;
        }
        rt_host_store(&call->bufs[4], r, sqrt(sum));
        const double norm = rt_host_load(&call->bufs[4], r), m = rt_host_load(&call->bufs[2], r);
        rt_host_store(&call->bufs[3], r, m / norm);
    }
}

void op_dora_scale_ref(const struct rt_host_call *call)
{
    const struct dora_scale_params *p = call->params;
    for (uint64_t t = 0; t < p->n_rows; t++)
        for (uint64_t c = 0; c < p->cols; c++) {
            const uint64_t at = t * p->ldy + c;
            double v =
                rt_host_load(&call->bufs[1], c) * rt_host_load(&call->bufs[0], t * p->ldz + c);
            v += p->bias ? rt_host_load(&call->bufs[2], c) : 0.0;
            rt_host_store(&call->bufs[3], at, p->add ? rt_host_load(&call->bufs[3], at) + v : v);
        }
}

void op_dora_back_ref(const struct rt_host_call *call)
{
    const struct dora_back_params *p = call->params;
    for (uint64_t t = 0; t < p->n_rows; t++)
        for (uint64_t c = 0; c < p->cols; c++) {
            const double dy = rt_host_load(&call->bufs[0], t * p->ldy + c),
                         z = rt_host_load(&call->bufs[3], t * p->ldz + c);
            rt_host_store(&call->bufs[4], t * p->ldy + c, dy * rt_host_load(&call->bufs[1], c));
            rt_host_store(&call->bufs[3], t * p->ldz + c, dy * z / rt_host_load(&call->bufs[2], c));
        }
}

// (rows, ld) of a type within its buffer.
static bool holds(struct op_vec v, uint32_t rows, uint32_t ld)
{
    return op_vec_holds(v, (uint64_t) rows * ld);
}

static bool is_f32(struct op_vec v)
{
    return rt_buf_type(v.buf) == RT_F32;
}

enum rt_err op_dora_norm(struct rt_cmd *cmd, const struct op_dora_norm_args *a)
{
    enum rt_err err = RT_OK;
    uint32_t step;

    RT_REQUIRE(a->n_rows >= 1 && isfinite(a->scale), RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldw) && op_row_ok(a->cols, a->ldd), RT_E_ARG);
    RT_REQUIRE(holds(a->w, a->n_rows, a->ldw) && holds(a->d, a->n_rows, a->ldd), RT_E_SHAPE);
    RT_REQUIRE(holds(a->magnitude, a->n_rows, 1) && holds(a->factor, a->n_rows, 1), RT_E_SHAPE);
    RT_REQUIRE(holds(a->norm, a->n_rows, 1), RT_E_SHAPE);
    RT_REQUIRE(is_f32(a->d) && is_f32(a->magnitude) && is_f32(a->factor) && is_f32(a->norm),
               RT_E_SHAPE);
    step = u32_min(op_vec_range_rows(a->w, a->ldw), op_vec_range_rows(a->d, a->ldd));
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t r = 0; r < a->n_rows; r += step) {
        const uint32_t n = u32_min(step, a->n_rows - r);
        const struct dora_norm_params p = {n, a->cols, a->ldw, a->ldd, a->scale};
        RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                        .kernel = "dora_norm",
                                        .groups = {n},
                                        .group = {op_row_lanes(a->w.buf)},
                                        .bufs = {op_bind_rows(a->w, a->ldw, r, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->d, a->ldd, r, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->magnitude, 1, r, n, RT_ACCESS_IN),
                                                 op_bind_rows(a->factor, 1, r, n, RT_ACCESS_OUT),
                                                 op_bind_rows(a->norm, 1, r, n, RT_ACCESS_OUT)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
    }
done:
    return err;
}

enum rt_err op_dora_scale(struct rt_cmd *cmd, const struct op_dora_scale_args *a)
{
    enum rt_err err = RT_OK;
    const struct op_vec b = a->b.buf ? a->b : a->factor; // something must be bound
    uint32_t step;

    RT_REQUIRE(a->n_rows >= 1, RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldz) && op_row_ok(a->cols, a->ldy), RT_E_ARG);
    RT_REQUIRE(holds(a->z, a->n_rows, a->ldz) && holds(a->y, a->n_rows, a->ldy), RT_E_SHAPE);
    RT_REQUIRE(holds(a->factor, a->cols, 1) && holds(b, a->cols, 1), RT_E_SHAPE);
    RT_REQUIRE(is_f32(a->z) && is_f32(a->factor) && (!a->add || is_f32(a->y)), RT_E_SHAPE);
    step = u32_min(op_vec_range_rows(a->z, a->ldz), op_vec_range_rows(a->y, a->ldy));
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct dora_scale_params p = {n, a->cols, a->ldz, a->ldy, a->b.buf != NULL, a->add};
        RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                        .kernel = "dora_scale",
                                        .groups = {n},
                                        .group = {op_row_lanes(a->z.buf)},
                                        .bufs = {op_bind_rows(a->z, a->ldz, t, n, RT_ACCESS_IN),
                                                 RT_IN_AT(a->factor.buf, a->factor.first, a->cols),
                                                 RT_IN_AT(b.buf, b.first, a->cols),
                                                 op_bind_rows(a->y, a->ldy, t, n, RT_ACCESS_INOUT)},
                                        .params = &p,
                                        .params_size = sizeof(p),
                                        .tune = {{"BIAS", a->b.buf != NULL}, {"ADD", a->add}}}));
    }
done:
    return err;
}

enum rt_err op_dora_back(struct rt_cmd *cmd, const struct op_dora_back_args *a)
{
    enum rt_err err = RT_OK;
    uint32_t step;

    RT_REQUIRE(a->n_rows >= 1, RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldz) && op_row_ok(a->cols, a->ldy), RT_E_ARG);
    RT_REQUIRE(holds(a->z, a->n_rows, a->ldz) && holds(a->dy, a->n_rows, a->ldy), RT_E_SHAPE);
    RT_REQUIRE(holds(a->dz, a->n_rows, a->ldy), RT_E_SHAPE);
    RT_REQUIRE(holds(a->factor, a->cols, 1) && holds(a->norm, a->cols, 1), RT_E_SHAPE);
    RT_REQUIRE(is_f32(a->z) && is_f32(a->factor) && is_f32(a->norm), RT_E_SHAPE);
    step = u32_min(op_vec_range_rows(a->z, a->ldz),
                   u32_min(op_vec_range_rows(a->dy, a->ldy), op_vec_range_rows(a->dz, a->ldy)));
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t);
        const struct dora_back_params p = {n, a->cols, a->ldy, a->ldz};
        RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                        .kernel = "dora_back",
                                        .groups = {n},
                                        .group = {op_row_lanes(a->z.buf)},
                                        .bufs = {op_bind_rows(a->dy, a->ldy, t, n, RT_ACCESS_IN),
                                                 RT_IN_AT(a->factor.buf, a->factor.first, a->cols),
                                                 RT_IN_AT(a->norm.buf, a->norm.first, a->cols),
                                                 op_bind_rows(a->z, a->ldz, t, n, RT_ACCESS_INOUT),
                                                 op_bind_rows(a->dz, a->ldy, t, n, RT_ACCESS_OUT)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
    }
done:
    return err;
}
