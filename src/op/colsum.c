#include "src/op/colsum.h"

#include "src/base/arith.h"

const struct rt_kernel op_colsum_kernel =
    OP_KERNEL(colsum, "colsum.comp", COLSUM_BUFFERS, struct colsum_params, op_colsum_ref);
const struct rt_kernel op_colsum_add_kernel = OP_KERNEL(
    colsum_add, "colsum_add.comp", COLSUM_ADD_BUFFERS, struct colsum_add_params, op_colsum_add_ref);

enum { BLOCK = OP_COLSUM_BLOCK };

uint32_t op_colsum_stride(uint32_t cols)
{
    return (uint32_t) round_up(cols, 64);
}

uint64_t op_colsum_scratch(uint32_t n_rows, uint32_t cols)
{
    return div_up(n_rows, BLOCK) * op_colsum_stride(cols);
}

void op_colsum_ref(const struct rt_host_call *call)
{
    const struct colsum_params *p = call->params;

    for (uint64_t first = 0, b = 0; first < p->n_rows; first += BLOCK, b++)
        for (uint64_t c = 0; c < p->cols; c++) {
            double sum = 0.0;
            for (uint64_t t = first; t < u64_min(first + BLOCK, p->n_rows); t++)
                sum += rt_host_load(&call->bufs[0], t * p->ld + c);
            rt_host_store(&call->bufs[1], b * p->ldp + c, sum);
        }
}

void op_colsum_add_ref(const struct rt_host_call *call)
{
    const struct colsum_add_params *p = call->params;

    for (uint64_t c = 0; c < p->cols; c++) {
        double sum = rt_host_load(&call->bufs[1], p->y_first + c);
        for (uint64_t b = 0; b < p->n_blocks; b++)
            sum += rt_host_load(&call->bufs[0], b * p->ldp + c);
        rt_host_store(&call->bufs[1], p->y_first + c, sum);
    }
}

// As many blocks at a time as can be bound. The order of addition is that of one run.
enum rt_err op_colsum_add(struct rt_cmd *cmd, const struct rt_buf *scratch, uint32_t n_blocks,
                          uint32_t cols, struct op_vec y)
{
    enum rt_err err = RT_OK;
    const uint32_t ldp = op_colsum_stride(cols), step = op_range_rows(scratch, 4 * (uint64_t) ldp);
    const uint64_t rest = y.first % 128;

    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t b = 0; b < n_blocks; b += step) {
        const uint32_t n = u32_min(step, n_blocks - b);
        const struct colsum_add_params p = {n, cols, ldp, (uint32_t) rest};
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){
                     .kernel = "colsum_add",
                     .items = cols,
                     .bufs = {RT_IN_AT(scratch, (uint64_t) b * ldp, (uint64_t) n * ldp),
                              RT_INOUT_AT(y.buf, y.first - rest, cols + rest)},
                     .params = &p,
                     .params_size = sizeof(p)}));
    }
done:
    return err;
}

enum rt_err op_colsum(struct rt_cmd *cmd, const struct op_colsum_args *a)
{
    enum rt_err err = RT_OK;
    const uint32_t ldp = op_colsum_stride(a->cols);
    uint32_t step;

    RT_REQUIRE(a->n_rows >= 1 && a->n_rows <= 1u << 30 && op_row_ok(a->cols, a->ld), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, (uint64_t) a->n_rows * a->ld), RT_E_SHAPE);
    RT_REQUIRE(a->y.buf && a->y.first <= rt_buf_count(a->y.buf) &&
                   a->cols <= rt_buf_count(a->y.buf) - a->y.first,
               RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->scratch, RT_F32, op_colsum_scratch(a->n_rows, a->cols)), RT_E_SHAPE);
    step = op_vec_range_rows(a->x, a->ld);
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t t = 0; t < a->n_rows; t += step) {
        const uint32_t n = u32_min(step, a->n_rows - t), blocks = (uint32_t) div_up(n, BLOCK);
        const struct colsum_params p = {n, a->cols, a->ld, ldp};
        RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                        .kernel = "colsum",
                                        .groups = {op_groups(a->x.buf, div_up(a->cols, 4)), blocks},
                                        .bufs = {op_bind_rows(a->x, a->ld, t, n, RT_ACCESS_IN),
                                                 RT_OUT_AT(a->scratch, (uint64_t) (t / BLOCK) * ldp,
                                                           (uint64_t) blocks * ldp)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
    }
    RT_TRY(op_colsum_add(cmd, a->scratch, (uint32_t) div_up(a->n_rows, BLOCK), a->cols, a->y));
done:
    return err;
}
