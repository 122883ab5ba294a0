#include "src/op/rows.h"

#include <math.h>
#include <string.h>

#include "src/base/arith.h"

const struct rt_kernel op_rows_gather_kernel =
    OP_KERNEL(rows_gather, "rows_gather.comp", ROWS_GATHER_BUFFERS, struct rows_gather_params,
              op_rows_gather_ref);
const struct rt_kernel op_rows_scatter_kernel =
    OP_KERNEL(rows_scatter, "rows_scatter.comp", ROWS_SCATTER_BUFFERS, struct rows_scatter_params,
              op_rows_scatter_ref);

static const uint32_t MOST = 1u << 30; // rows of a tensor: sums of two stay below 2^32

// ---- The index --------------------------------------------------------------------------------

// Order of positions a, b: by id, then by position.
static bool before(const uint32_t *ids, uint32_t a, uint32_t b)
{
    return ids[a] != ids[b] ? ids[a] < ids[b] : a < b;
}

static void sift_down(const uint32_t *ids, uint32_t *heap, uint32_t i, uint32_t n)
{
    const uint32_t x = heap[i];
    for (uint32_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && before(ids, heap[child], heap[child + 1]))
            child++;
        if (!before(ids, x, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = x;
}

// Heapsort: in place and without recursion, so that nothing can fail.
static void sort_positions(const uint32_t *ids, uint32_t *pos, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(ids, pos, i, n);
    for (uint32_t end = n; end-- > 1;) {
        const uint32_t last = pos[0];
        pos[0] = pos[end];
        pos[end] = last;
        sift_down(ids, pos, 0, end);
    }
}

uint32_t op_scatter_index(const uint32_t *ids, uint32_t n, uint32_t *out)
{
    uint32_t *pos = out + 2 * (size_t) n + 1, *starts = out + n, unique = 0;

    memset(out, 0, (2 * (size_t) n + 1) * sizeof(*out));
    for (uint32_t i = 0; i < n; i++)
        pos[i] = i;
    sort_positions(ids, pos, n);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || ids[pos[i]] != out[unique - 1]) {
            out[unique] = ids[pos[i]];
            starts[unique++] = i;
        }
    starts[unique] = n;
    return unique;
}

// ---- Oracles ----------------------------------------------------------------------------------

void op_rows_gather_ref(const struct rt_host_call *call)
{
    const struct rows_gather_params *p = call->params;
    const uint32_t *ids = call->bufs[1].data;

    for (uint64_t m = 0; m < p->n_rows; m++) {
        const uint64_t r = (uint64_t) ids[m] - p->row_begin;
        if (ids[m] < p->row_begin || r >= p->row_count)
            continue;
        for (uint64_t c = 0; c < p->ldy; c++) {
            const double v = c < p->cols ? rt_host_load(&call->bufs[0], r * p->ldx + c) : 0.0;
            const uint64_t at = m * p->ldy + c;
            const double before = p->add ? rt_host_load(&call->bufs[2], at) : 0.0;
            if (c < p->cols || !p->add)
                rt_host_store(&call->bufs[2], at, before + (double) p->scale * v);
        }
    }
}

void op_rows_scatter_ref(const struct rt_host_call *call)
{
    const struct rows_scatter_params *p = call->params;
    const uint32_t *ids = call->bufs[1].data, *starts = ids + p->n_src,
                   *pos = starts + p->n_src + 1;

    for (uint32_t u = 0; u < p->n_unique; u++)
        for (uint64_t c = 0;
             c < p->cols && ids[u] >= p->row_begin && ids[u] - p->row_begin < p->row_count; c++) {
            const uint64_t at = (uint64_t) (ids[u] - p->row_begin) * p->ldx + c;
            double sum = 0.0;
            for (uint32_t i = starts[u]; i < starts[u + 1]; i++)
                if (pos[i] >= p->src_begin && pos[i] - p->src_begin < p->src_count)
                    sum += rt_host_load(&call->bufs[0],
                                        (uint64_t) (pos[i] - p->src_begin) * p->ldy + c);
            rt_host_store(&call->bufs[2], at,
                          rt_host_load(&call->bufs[2], at) + (double) p->scale * sum);
        }
}

// ---- Dispatch ---------------------------------------------------------------------------------

enum rt_err op_rows_gather(struct rt_cmd *cmd, const struct op_rows_gather_args *a)
{
    enum rt_err err = RT_OK;
    uint32_t step_x, step_y;

    RT_REQUIRE(a->n_table >= 1 && a->n_table <= MOST && a->n_rows >= 1 && a->n_rows <= MOST,
               RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldx) && op_row_ok(a->cols, a->ldy) && isfinite(a->scale),
               RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, (uint64_t) a->n_table * a->ldx), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->y, (uint64_t) a->n_rows * a->ldy), RT_E_SHAPE);
    RT_REQUIRE(!a->add || rt_buf_type(a->y.buf) == RT_F32, RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->ids, RT_U32, a->n_rows), RT_E_SHAPE);
    step_x = op_vec_range_rows(a->x, a->ldx);
    step_y = u32_min(op_vec_range_rows(a->y, a->ldy), op_range_rows(a->ids, 4));
    RT_REQUIRE(step_x && step_y, RT_E_UNSUPPORTED);
    for (uint32_t m = 0; m < a->n_rows; m += step_y)
        for (uint32_t r = 0; r < a->n_table; r += step_x) {
            const uint32_t rows = u32_min(step_y, a->n_rows - m),
                           count = u32_min(step_x, a->n_table - r);
            const struct rows_gather_params p = {rows, a->cols, a->ldx,   a->ldy,
                                                 r,    count,   a->scale, a->add};
            RT_TRY(rt_cmd_dispatch(
                cmd, &(struct rt_dispatch_desc){
                         .kernel = "rows_gather",
                         .groups = {op_groups(a->y.buf, a->ldy / 4), rows},
                         .bufs = {op_bind_rows(a->x, a->ldx, r, count, RT_ACCESS_IN),
                                  RT_IN_AT(a->ids, m, rows),
                                  op_bind_rows(a->y, a->ldy, m, rows, RT_ACCESS_INOUT)},
                         .params = &p,
                         .params_size = sizeof(p),
                         .tune = {{"ADD", a->add}}}));
        }
done:
    return err;
}

enum rt_err op_rows_scatter_add(struct rt_cmd *cmd, const struct op_rows_scatter_args *a)
{
    enum rt_err err = RT_OK;
    uint32_t step_x, step_y;

    RT_REQUIRE(a->n_table >= 1 && a->n_table <= MOST && a->n_rows >= 1 && a->n_rows < MOST,
               RT_E_ARG);
    RT_REQUIRE(a->n_unique >= 1 && a->n_unique <= a->n_rows && isfinite(a->scale), RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->ldx) && op_row_ok(a->cols, a->ldy), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->dy, (uint64_t) a->n_rows * a->ldy), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->dx, (uint64_t) a->n_table * a->ldx), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->index, RT_U32, op_scatter_words(a->n_rows)), RT_E_SHAPE);
    step_x = op_vec_range_rows(a->dx, a->ldx);
    step_y = op_vec_range_rows(a->dy, a->ldy);
    RT_REQUIRE(step_x && step_y, RT_E_UNSUPPORTED);
    for (uint32_t r = 0; r < a->n_table; r += step_x)
        for (uint32_t s = 0; s < a->n_rows; s += step_y) {
            const uint32_t count = u32_min(step_x, a->n_table - r),
                           n_src = u32_min(step_y, a->n_rows - s);
            const struct rows_scatter_params p = {
                a->n_rows, a->n_unique, a->cols, a->ldx, a->ldy, r, count, s, n_src, a->scale};
            RT_TRY(rt_cmd_dispatch(
                cmd, &(struct rt_dispatch_desc){
                         .kernel = "rows_scatter",
                         .groups = {op_groups(a->dx.buf, div_up(a->cols, 4)), a->n_unique},
                         .bufs = {op_bind_rows(a->dy, a->ldy, s, n_src, RT_ACCESS_IN),
                                  RT_IN_AT(a->index, 0, op_scatter_words(a->n_rows)),
                                  op_bind_rows(a->dx, a->ldx, r, count, RT_ACCESS_INOUT)},
                         .params = &p,
                         .params_size = sizeof(p)}));
        }
done:
    return err;
}
