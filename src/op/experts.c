#include "src/op/experts.h"

#include <string.h>

#include "src/base/arith.h"
#include "src/op/matmul_kernels.h"
#include "src/op/self_check.h"

const struct rt_kernel op_experts_matmul_kernel =
    OP_KERNEL(experts_matmul, "experts_matmul.comp", EXPERTS_MATMUL_BUFFERS,
              struct experts_matmul_params, op_experts_matmul_ref);
const struct rt_kernel op_experts_wide_kernel = {.name = "experts_wide",
                                                 .opencl_only = "experts_wide.cl",
                                                 .n_bufs = 4,
                                                 .bufs = {EXPERTS_MATMUL_BUFFERS},
                                                 .params_bytes =
                                                     sizeof(struct experts_wide_params)};
const struct rt_kernel op_experts_sum_kernel =
    OP_KERNEL(experts_sum, "experts_sum.comp", EXPERTS_SUM_BUFFERS, struct experts_sum_params,
              op_experts_sum_ref);
const struct rt_kernel op_experts_act_kernel = OP_KERNEL(
    experts_act, "experts_act.comp", EXPERTS_ACT_BUFFERS, struct act_params, op_experts_act_ref);
const struct rt_kernel op_experts_act_back_kernel =
    OP_KERNEL(experts_act_back, "experts_act_back.comp", EXPERTS_ACT_BACK_BUFFERS,
              struct act_params, op_experts_act_back_ref);

// A group's tile and a lane's share of it; the names of shaders/matmul.comp.
enum { BM = ROUTE_TILE, BN = 64, BK = 16, TM = 8, NV = 1 };

// ---- Oracles ----------------------------------------------------------------------------------

// Rows of one expert that are bound, and where its weight is.
struct part {
    const struct rt_host_call *call;
    const struct experts_matmul_params *p;
    uint64_t begin, end, w; // rows in the binding; element
};

// c[r] of the rows, from a weight.
static void part_rows(const struct part *s)
{
    const struct experts_matmul_params *p = s->p;
    const struct rt_host_buf *a = &s->call->bufs[0], *b = &s->call->bufs[1], *c = &s->call->bufs[3];
    const bool nt = p->form == OP_NT;
    const uint64_t n = nt ? p->w_rows : p->w_cols, k = nt ? p->w_cols : p->w_rows;

    for (uint64_t r = s->begin; r < s->end; r++)
        for (uint64_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (uint64_t l = 0; l < k; l++)
                sum += rt_host_load(a, r * p->lda + l) *
                       rt_host_load(b, s->w + (nt ? j * p->ldb + l : l * p->ldb + j));
            rt_host_store(c, r * p->ldc + j, sum);
        }
}

// The weight's gradient.
static void part_weight(const struct part *s)
{
    const struct experts_matmul_params *p = s->p;
    const struct rt_host_buf *a = &s->call->bufs[0], *b = &s->call->bufs[1], *c = &s->call->bufs[3];

    for (uint64_t i = 0; i < p->w_rows; i++)
        for (uint64_t j = 0; j < p->w_cols; j++) {
            double sum = rt_host_load(c, s->w + i * p->ldc + j);
            for (uint64_t r = s->begin; r < s->end; r++)
                sum += rt_host_load(a, r * p->lda + i) * rt_host_load(b, r * p->ldb + j);
            rt_host_store(c, s->w + i * p->ldc + j, sum);
        }
}

void op_experts_matmul_ref(const struct rt_host_call *call)
{
    const struct experts_matmul_params *p = call->params;
    const uint32_t *starts = (const uint32_t *) call->bufs[2].data + ROUTE_STARTS((size_t) p->rows);

    for (uint32_t e = p->e_begin; e < p->e_begin + p->e_count; e++) {
        const uint64_t begin = u32_max(starts[e], p->row_begin),
                       end = u32_min(starts[e + 1], p->row_begin + p->row_count);
        const struct part s = {call, p, begin - p->row_begin, end - p->row_begin,
                               (uint64_t) (e - p->e_begin) * p->e_stride};
        if (begin < end && p->form == OP_TN)
            part_weight(&s);
        else if (begin < end)
            part_rows(&s);
    }
}

void op_experts_sum_ref(const struct rt_host_call *call)
{
    const struct experts_sum_params *p = call->params;
    const uint32_t *place = (const uint32_t *) call->bufs[1].data + ROUTE_PLACE((size_t) p->rows);
    const struct rt_host_buf *x = &call->bufs[0], *y = &call->bufs[2];

    for (uint64_t t = 0; t < p->n_tokens; t++)
        for (uint64_t c = 0; c < (p->add ? p->cols : p->ldy); c++) {
            double sum = p->add ? rt_host_load(y, t * p->ldy + c) : 0.0;
            for (uint64_t i = 0; i < p->top_k && c < p->cols; i++) {
                const uint32_t r = place[(p->t_begin + t) * p->top_k + i] - p->row_begin;
                if (r < p->row_count) // wraps below row_begin
                    sum += rt_host_load(x, (uint64_t) r * p->ldx + c);
            }
            rt_host_store(y, t * p->ldy + c, sum);
        }
}

void op_experts_act_ref(const struct rt_host_call *call)
{
    const struct act_params *p = call->params;

    for (uint64_t i = 0; i < (uint64_t) p->n_rows * p->ld; i++) {
        const double w = rt_host_load(&call->bufs[2], i / p->ld),
                     f = op_act_at(p->act_kind, rt_host_load(&call->bufs[0], i)).f;
        rt_host_store(&call->bufs[3], i,
                      i % p->ld < p->cols ? w * f * rt_host_load(&call->bufs[1], i) : 0.0);
    }
}

void op_experts_act_back_ref(const struct rt_host_call *call)
{
    const struct act_params *p = call->params;

    for (uint64_t m = 0; m < p->n_rows; m++) {
        const double w = rt_host_load(&call->bufs[2], m);
        double sum = 0.0;
        for (uint64_t i = m * p->ld; i < (m + 1) * p->ld; i++) {
            const bool in = i % p->ld < p->cols;
            const struct op_act_value v = op_act_at(p->act_kind, rt_host_load(&call->bufs[0], i));
            const double u = rt_host_load(&call->bufs[1], i), d = rt_host_load(&call->bufs[3], i);
            rt_host_store(&call->bufs[4], i, in ? w * d * u * v.slope : 0.0);
            rt_host_store(&call->bufs[5], i, in ? w * d * v.f : 0.0);
            sum += in ? d * v.f * u : 0.0;
        }
        rt_host_store(&call->bufs[6], m, sum);
    }
}

// ---- Products ---------------------------------------------------------------------------------

static uint32_t rows_of(const struct op_experts *x)
{
    return x->n_tokens * x->top_k;
}

static struct rt_bind bind_index(const struct op_experts *x)
{
    return (struct rt_bind) RT_IN_AT(x->index, 0,
                                     op_route_words(x->n_tokens, x->n_experts, x->top_k));
}

static enum rt_err check_experts(const struct op_experts *x)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(x->n_experts >= 1 && x->n_experts <= OP_ROUTE_MAX_EXPERTS && x->top_k >= 1 &&
                   x->top_k <= x->n_experts && x->n_tokens >= 1 &&
                   x->n_tokens < (1u << 30) / x->top_k,
               RT_E_ARG);
    RT_REQUIRE(rt_buf_holds(x->index, RT_U32, op_route_words(x->n_tokens, x->n_experts, x->top_k)),
               RT_E_SHAPE);
done:
    return err;
}

// Weight e, or where its gradient goes.
static struct op_mat weight(const struct op_experts_matmul_args *a, uint32_t e)
{
    return a->form == OP_TN ? (struct op_mat){a->dw[e].buf, a->dw[e].first, a->dw[e].ld} : a->w[e];
}

static enum rt_err check_rows(struct op_mat x, uint32_t rows, uint32_t cols)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(x.first == 0 && op_row_ok(cols, x.ld), RT_E_ARG);
    RT_REQUIRE(x.buf && rt_buf_count(x.buf) / x.ld >= rows, RT_E_SHAPE);
done:
    return err;
}

static enum rt_err check_matmul(const struct op_experts_matmul_args *a)
{
    enum rt_err err = RT_OK;
    const bool tn = a->form == OP_TN, nt = a->form == OP_NT;
    const uint32_t rows = rows_of(&a->of);
    const struct op_mat c = {a->c.buf, a->c.first, a->c.ld};
    enum rt_type type;

    RT_REQUIRE((unsigned) a->form <= OP_TN, RT_E_ARG);
    RT_TRY(check_experts(&a->of));
    RT_REQUIRE(tn ? a->dw != NULL : a->w != NULL, RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->w_rows, op_stride(a->w_rows)) &&
                   op_row_ok(a->w_cols, op_stride(a->w_cols)),
               RT_E_ARG);
    RT_TRY(check_rows(a->a, rows, nt ? a->w_cols : a->w_rows));
    type = rt_buf_type(a->a.buf);
    RT_TRY(check_rows(tn ? a->b : c, rows, nt ? a->w_rows : a->w_cols));
    RT_REQUIRE(rt_buf_type(tn ? a->b.buf : c.buf) == type || (!tn && rt_buf_type(c.buf) == RT_F32),
               RT_E_SHAPE);
    for (uint32_t e = 0; e < a->of.n_experts; e++) {
        const struct op_mat w = weight(a, e);
        RT_REQUIRE(op_row_ok(a->w_cols, w.ld) && w.ld == weight(a, 0).ld, RT_E_ARG);
        RT_REQUIRE(op_vec_holds((struct op_vec){w.buf, w.first}, (uint64_t) a->w_rows * w.ld),
                   RT_E_SHAPE);
        RT_REQUIRE(rt_buf_type(w.buf) == (tn ? RT_F32 : type), RT_E_SHAPE);
    }
done:
    return err;
}

// How many experts from e on can be bound at once, as long as they are equally far apart.
static uint32_t run_length(const struct op_experts_matmul_args *a, uint32_t e, uint64_t *stride)
{
    const struct op_mat w = weight(a, e);
    const uint64_t size = (uint64_t) a->w_rows * w.ld,
                   most = rt_dev_plan(rt_buf_dev(w.buf))->range_bytes /
                          rt_type_size(rt_buf_type(w.buf));
    uint32_t n = 1;

    *stride = size;
    if (size > most || size > UINT32_MAX)
        return 0;
    for (; e + n < a->of.n_experts; n++) {
        const struct op_mat x = weight(a, e + n);
        if (x.buf != w.buf || x.first <= w.first)
            break;
        const uint64_t far = x.first - w.first;
        if (n == 1)
            *stride = far;
        if (far != n * *stride || *stride < size || size > u64_min(most, UINT32_MAX) ||
            far > u64_min(most, UINT32_MAX) - size)
            break;
    }
    return n;
}

bool op_experts_has(const struct rt_dev *dev, enum op_matmul_variant variant, enum rt_type type)
{
    return variant == OP_MATMUL_TILE ||
           ((variant == OP_MATMUL_WIDE || variant == OP_MATMUL_BF16_DOT) &&
            op_matmul_has(dev, variant, type) && !op_is_dropped(dev, type, OP_DROP_EXPERTS_WIDE));
}

enum op_matmul_variant op_experts_choice(const struct rt_dev *dev, enum rt_type type)
{
    if (op_experts_has(dev, OP_MATMUL_BF16_DOT, type))
        return OP_MATMUL_BF16_DOT;
    return op_experts_has(dev, OP_MATMUL_WIDE, type) ? OP_MATMUL_WIDE : OP_MATMUL_TILE;
}

static enum rt_err run_tile(struct rt_cmd *cmd, const struct op_experts_matmul_args *a,
                            const struct experts_matmul_params *p, struct rt_dispatch_desc *d)
{
    static const struct rt_tune TUNES[] = {
        {"BM", BM}, {"BN", BN}, {"BK", BK}, {"TM", TM}, {"NV", NV}};
    const bool tn = a->form == OP_TN;
    const uint32_t n = a->form == OP_NT ? a->w_rows : a->w_cols;

    d->kernel = "experts_matmul";
    d->groups[0] = (uint32_t) div_up(n, BN);
    d->groups[1] = tn ? (uint32_t) div_up(a->w_rows, BM)
                      : op_route_tiles(a->of.n_tokens, a->of.n_experts, a->of.top_k);
    d->groups[2] = tn ? p->e_count : 1;
    d->group[0] = BM / TM * BN / (4 * NV);
    d->params = p;
    d->params_size = sizeof(*p);
    d->tune[0] = (struct rt_tune){"FORM", (int32_t) p->form};
    memcpy(d->tune + 1, TUNES, sizeof(TUNES));
    return rt_cmd_dispatch(cmd, d);
}

// How k is cut depends on the weight alone, in TN on the device.
static enum rt_err run_wide(struct rt_cmd *cmd, const struct op_experts_matmul_args *a,
                            const struct experts_matmul_params *p, struct rt_dispatch_desc *d)
{
    const bool tn = a->form == OP_TN, nt = a->form == OP_NT;
    const struct rt_dev *dev = rt_buf_dev(a->a.buf);
    const uint32_t n = nt ? a->w_rows : a->w_cols, k = nt ? a->w_cols : a->w_rows;
    const struct matmul_cut cut =
        tn ? matmul_wide_cut(dev, a->w_rows, n, 0, true)
           : matmul_wide_cut(dev, p->row_count, n, k, rt_buf_type(a->c.buf) == RT_F32);
    struct experts_wide_params q;

    memcpy(&q, p, sizeof(*p)); // the list begins with theirs
    q.chunk = cut.chunk;
    q.width = cut.width;
    q.block = cut.block;
    d->kernel = "experts_wide";
    d->groups[0] = (uint32_t) div_up(n, cut.width);
    d->groups[1] = tn ? (uint32_t) div_up(a->w_rows, cut.chunk) : 1;
    d->groups[2] = p->e_count;
    d->group[0] = 1;
    d->params = &q;
    d->params_size = sizeof(q);
    matmul_wide_tunes(dev, a->form, a->variant == OP_MATMUL_BF16_DOT, d);
    return rt_cmd_dispatch(cmd, d);
}

// One window of rows with one run of experts.
static enum rt_err run_part(struct rt_cmd *cmd, const struct op_experts_matmul_args *a,
                            const struct experts_matmul_params *p)
{
    const bool tn = a->form == OP_TN;
    const struct op_mat first = weight(a, p->e_begin),
                        last = weight(a, p->e_begin + p->e_count - 1);
    const struct rt_bind w = {first.buf, tn ? RT_ACCESS_INOUT : RT_ACCESS_IN, first.first,
                              last.first - first.first + (uint64_t) a->w_rows * last.ld};
    const struct op_mat in = tn ? a->b : (struct op_mat){a->c.buf, a->c.first, a->c.ld};
    const struct rt_bind rows = op_bind_rows((struct op_vec){in.buf, 0}, in.ld, p->row_begin,
                                             p->row_count, tn ? RT_ACCESS_IN : RT_ACCESS_INOUT);
    struct rt_dispatch_desc d = {.bufs = {op_bind_rows((struct op_vec){a->a.buf, 0}, a->a.ld,
                                                       p->row_begin, p->row_count, RT_ACCESS_IN),
                                          tn ? rows : w, bind_index(&a->of), tn ? w : rows},
                                 .flops = 2.0 * p->row_count * a->w_rows * a->w_cols * p->e_count /
                                          p->n_experts};

    return a->variant == OP_MATMUL_TILE ? run_tile(cmd, a, p, &d) : run_wide(cmd, a, p, &d);
}

// Rows of a tensor that can be bound at once, a multiple of 128.
static uint32_t window(struct op_mat x)
{
    return op_vec_range_rows((struct op_vec){x.buf, 0}, x.ld) & ~127u;
}

// The variant that `a` means.
static enum rt_err choose(struct op_experts_matmul_args *a)
{
    enum rt_err err = RT_OK;
    const struct rt_dev *dev = rt_buf_dev(a->a.buf);
    const enum rt_type type = rt_buf_type(a->a.buf);

    if (a->variant == OP_MATMUL_AUTO)
        a->variant = op_experts_choice(dev, type);
    if (!op_experts_has(dev, a->variant, type))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "products of experts: %s lacks the variant %s for %s",
                       rt_dev_id(dev), op_matmul_variant_name(a->variant), rt_type_name(type)));
done:
    return err;
}

enum rt_err op_experts_matmul(struct rt_cmd *cmd, const struct op_experts_matmul_args *args)
{
    enum rt_err err = RT_OK;
    struct op_experts_matmul_args in = *args, *a = &in;
    const uint32_t rows = rows_of(&a->of);
    struct experts_matmul_params p = {.form = (uint32_t) a->form,
                                      .rows = rows,
                                      .n_experts = a->of.n_experts,
                                      .w_rows = a->w_rows,
                                      .w_cols = a->w_cols,
                                      .lda = a->a.ld};
    const bool tn = a->form == OP_TN;
    uint32_t step, n;

    RT_TRY(check_matmul(a));
    RT_TRY(choose(a));
    p.ldb = tn ? a->b.ld : weight(a, 0).ld;
    p.ldc = tn ? weight(a, 0).ld : a->c.ld;
    step = u32_min(window(a->a), window(tn ? a->b : (struct op_mat){a->c.buf, 0, a->c.ld}));
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    for (uint32_t r = 0; r < rows; r += step)
        for (uint32_t e = 0; e < a->of.n_experts; e += n) {
            uint64_t stride;
            n = run_length(a, e, &stride);
            RT_REQUIRE(n && stride <= UINT32_MAX, RT_E_UNSUPPORTED);
            p.row_begin = r;
            p.row_count = u32_min(step, rows - r);
            p.e_begin = e;
            p.e_count = n;
            p.e_stride = (uint32_t) stride;
            RT_TRY(run_part(cmd, a, &p));
        }
done:
    return err;
}

// ---- Sums and activations ---------------------------------------------------------------------

// Rows beyond a binding's range are added in later rounds.
enum rt_err op_experts_sum(struct rt_cmd *cmd, const struct op_experts_sum_args *a)
{
    enum rt_err err = RT_OK;
    const uint32_t rows = rows_of(&a->of);
    uint32_t step_x, step_y;

    RT_TRY(check_experts(&a->of));
    RT_REQUIRE(op_row_ok(a->cols, a->ldx) && op_row_ok(a->cols, a->ldy), RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->x, (uint64_t) rows * a->ldx), RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->y, (uint64_t) a->of.n_tokens * a->ldy) &&
                   rt_buf_type(a->y.buf) == RT_F32,
               RT_E_SHAPE);
    step_x = op_vec_range_rows(a->x, a->ldx);
    step_y = op_vec_range_rows(a->y, a->ldy);
    RT_REQUIRE(step_x && step_y, RT_E_UNSUPPORTED);
    for (uint32_t t = 0; t < a->of.n_tokens; t += step_y)
        for (uint32_t r = 0; r < rows; r += step_x) {
            const uint32_t count = u32_min(step_x, rows - r), add = a->add || r > 0,
                           tokens = u32_min(step_y, a->of.n_tokens - t);
            const struct experts_sum_params p = {rows,   a->of.top_k, tokens, t,     a->cols,
                                                 a->ldx, a->ldy,      r,      count, add};
            RT_TRY(rt_cmd_dispatch(
                cmd,
                &(struct rt_dispatch_desc){
                    .kernel = "experts_sum",
                    .groups = {op_groups(a->y.buf, a->ldy / 4), tokens},
                    .bufs = {op_bind_rows(a->x, a->ldx, r, count, RT_ACCESS_IN), bind_index(&a->of),
                             op_bind_rows(a->y, a->ldy, t, tokens, RT_ACCESS_INOUT)},
                    .params = &p,
                    .params_size = sizeof(p),
                    .tune = {{"ADD", (int32_t) add}}}));
        }
done:
    return err;
}

enum rt_err op_experts_act(struct rt_cmd *cmd, const struct op_experts_act_args *a)
{
    return op_act_record(
        cmd, &(struct op_act_job){.kernel = "experts_act",
                                  .v = {a->g, a->u, a->w, a->a},
                                  .scalar = {[2] = true},
                                  .n = 4,
                                  .n_in = 3,
                                  .params = {a->n_rows, a->cols, a->ld, (uint32_t) a->act}});
}

enum rt_err op_experts_act_backward(struct rt_cmd *cmd,
                                    const struct op_experts_act_backward_args *a)
{
    return op_act_record(
        cmd, &(struct op_act_job){.kernel = "experts_act_back",
                                  .v = {a->g, a->u, a->w, a->da, a->dg, a->du, a->dw},
                                  .scalar = {[2] = true, [6] = true},
                                  .n = 7,
                                  .n_in = 4,
                                  .sums = true,
                                  .params = {a->n_rows, a->cols, a->ld, (uint32_t) a->act}});
}
