#include "src/op/logprob.h"

#include <math.h>

#include "src/base/arith.h"

const struct rt_kernel op_logprob_stats_kernel =
    OP_KERNEL(logprob_stats, "logprob_stats.comp", LOGPROB_STATS_BUFFERS,
              struct logprob_stats_params, op_logprob_stats_ref);
const struct rt_kernel op_logprob_finish_kernel =
    OP_KERNEL(logprob_finish, "logprob_finish.comp", LOGPROB_FINISH_BUFFERS,
              struct logprob_finish_params, op_logprob_finish_ref);
const struct rt_kernel op_logprob_grad_kernel =
    OP_KERNEL(logprob_grad, "logprob_grad.comp", LOGPROB_GRAD_BUFFERS, struct logprob_grad_params,
              op_logprob_grad_ref);
const struct rt_kernel op_logprob_cap_kernel =
    OP_KERNEL(logprob_cap, "logprob_cap.comp", LOGPROB_CAP_BUFFERS, struct logprob_cap_params,
              op_logprob_cap_ref);

enum { COLUMNS = OP_LOGPROB_COLUMNS };

// ---- How the work is cut ----------------------------------------------------------------------

// Chunks with the defaults filled in, no larger than the work and than what can be bound. rows is 0
// when not even 64 rows of a chunk of logits can be.
static struct op_logprob_chunks cut(const struct rt_dev *dev, uint32_t n_rows, uint32_t n_vocab,
                                    struct op_logprob_chunks c)
{
    uint64_t rows;
    c.rows = u32_min(c.rows ? c.rows : 1024, (uint32_t) round_up(n_rows, 64));
    c.vocab = u32_min(c.vocab ? c.vocab : 8192, (uint32_t) round_up(n_vocab, 128));
    rows = rt_dev_plan(dev)->range_bytes / (4 * (uint64_t) c.vocab) & ~(uint64_t) 63;
    c.rows = (uint32_t) u64_min(c.rows, rows);
    return c;
}

// What the products of a chunk need, whole or the last and smaller one.
static uint64_t matmul_scratch(const struct rt_dev *dev, enum rt_type type, uint32_t rows,
                               uint32_t cols, uint32_t vocab, bool backward)
{
    uint64_t n = op_matmul_scratch(dev, OP_NT, type, rows, vocab, cols);
    if (backward) {
        n = u64_max(n, op_matmul_scratch(dev, OP_NN, type, rows, cols, vocab));
        n = u64_max(n, op_matmul_scratch(dev, OP_TN, type, vocab, cols, rows));
    }
    return n;
}

struct op_logprob_sizes op_logprob_sizes(const struct rt_dev *dev, enum rt_type type,
                                         uint32_t n_rows, uint32_t cols, uint32_t n_vocab,
                                         struct op_logprob_chunks chunks, bool backward)
{
    const struct op_logprob_chunks c = cut(dev, n_rows, n_vocab, chunks);
    const uint64_t n = (uint64_t) c.rows * c.vocab;
    const uint32_t rest = n_vocab % c.vocab;
    struct op_logprob_sizes s = {n, backward ? n : 0, (uint64_t) c.rows * COLUMNS, 0};

    s.matmul = matmul_scratch(dev, type, u32_max(c.rows, 1), cols, c.vocab, backward);
    if (rest)
        s.matmul =
            u64_max(s.matmul, matmul_scratch(dev, type, u32_max(c.rows, 1), cols, rest, backward));
    return s;
}

uint64_t op_logprob_all_logits(const struct rt_dev *dev, uint32_t n_rows, uint32_t n_vocab,
                               struct op_logprob_chunks chunks)
{
    const struct op_logprob_chunks c = cut(dev, n_rows, n_vocab, chunks);
    return n_rows * round_up(n_vocab, c.vocab);
}

// ---- Checks -----------------------------------------------------------------------------------

static bool mat_holds(const struct rt_buf *buf, uint64_t first, uint32_t ld, uint32_t rows)
{
    return op_vec_holds((struct op_vec){buf, first}, (uint64_t) rows * ld);
}

// What forward and backward have in common.
static enum rt_err check(const struct op_logprob_backward_args *a)
{
    enum rt_err err = RT_OK;
    const struct op_logprob_chunks c = a->chunks;

    RT_REQUIRE(a->n_rows >= 1 && a->n_rows <= 1u << 28 && a->n_vocab >= 2 && a->n_vocab <= 1u << 28,
               RT_E_ARG);
    RT_REQUIRE(op_row_ok(a->cols, a->h.ld) && op_row_ok(a->cols, a->w.ld), RT_E_ARG);
    RT_REQUIRE(c.rows % 64 == 0 && c.vocab % 128 == 0 && c.rows <= 1u << 20 && c.vocab <= 1u << 24,
               RT_E_ARG);
    RT_REQUIRE(isfinite(a->softcap) && a->softcap >= 0.0f && isfinite(a->logit_scale), RT_E_ARG);
    RT_REQUIRE(mat_holds(a->h.buf, a->h.first, a->h.ld, a->n_rows), RT_E_SHAPE);
    RT_REQUIRE(mat_holds(a->w.buf, a->w.first, a->w.ld, a->n_vocab), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_type(a->h.buf) == rt_buf_type(a->w.buf), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->targets, RT_U32, a->n_rows), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->result, RT_F32, (uint64_t) a->n_rows * COLUMNS), RT_E_SHAPE);
done:
    return err;
}

// Scratch for one chunk of these sizes.
static enum rt_err check_scratch(const struct op_logprob_backward_args *a,
                                 struct op_logprob_chunks c, bool backward)
{
    enum rt_err err = RT_OK;
    const uint64_t n = (uint64_t) c.rows * c.vocab;
    const uint64_t all = op_logprob_all_logits(rt_buf_dev(a->h.buf), a->n_rows, a->n_vocab, c);
    const bool grad = backward || a->dh.buf;

    RT_REQUIRE(c.rows, RT_E_UNSUPPORTED);
    RT_REQUIRE(!a->kept || backward || !a->dh.buf, RT_E_ARG);
    RT_REQUIRE(rt_buf_holds(a->scratch.logits, RT_F32, a->kept ? all : n), RT_E_SHAPE);
    RT_REQUIRE(backward || rt_buf_holds(a->scratch.state, RT_F32, (uint64_t) c.rows * COLUMNS),
               RT_E_SHAPE);
    RT_REQUIRE(!grad || rt_buf_holds(a->scratch.dlogits, rt_buf_type(a->h.buf), n), RT_E_SHAPE);
    RT_REQUIRE(!backward || rt_buf_holds(a->coef, RT_F32, a->n_rows), RT_E_SHAPE);
    RT_REQUIRE(!grad || op_row_ok(a->cols, a->dh.ld), RT_E_ARG);
    RT_REQUIRE(!grad || mat_holds(a->dh.buf, a->dh.first, a->dh.ld, a->n_rows), RT_E_SHAPE);
    RT_REQUIRE(!grad || rt_buf_type(a->dh.buf) == RT_F32, RT_E_SHAPE);
    if (backward && a->dw.buf) {
        RT_REQUIRE(op_row_ok(a->cols, a->dw.ld), RT_E_ARG);
        RT_REQUIRE(mat_holds(a->dw.buf, a->dw.first, a->dw.ld, a->n_vocab), RT_E_SHAPE);
    }
done:
    return err;
}

// ---- One chunk --------------------------------------------------------------------------------

// Rows [m, m + rows) and words [v, v + words) of the whole; the logits' stride is the chunk's size.
struct chunk {
    uint32_t m, rows, v, words, ld;
    uint64_t at; // the first of its logits
};

// Where they are all kept, chunks lie row by row of chunks one behind the other.
static struct chunk chunk_of(const struct op_logprob_backward_args *a, struct op_logprob_chunks c,
                             uint32_t m, uint32_t v)
{
    const uint32_t rows = u32_min(c.rows, a->n_rows - m);
    const uint64_t at = m * round_up(a->n_vocab, c.vocab) + (uint64_t) rows * v;
    return (struct chunk){m, rows, v, u32_min(c.vocab, a->n_vocab - v), c.vocab, a->kept ? at : 0};
}

static struct op_mat rows_of(struct op_mat x, uint32_t begin)
{
    x.first += (uint64_t) begin * x.ld;
    return x;
}

static struct op_mat_out out_rows_of(struct op_mat_out x, uint32_t begin)
{
    x.first += (uint64_t) begin * x.ld;
    return x;
}

// The kernels' CAP.
static int32_t cap_of(float logit_scale, float softcap)
{
    return softcap > 0.0f ? 2 : fabsf(op_logprob_logit_scale(logit_scale) - 1.0f) > 0.0f;
}

// op_logprob_cap() of logits from element `first` on.
static enum rt_err cap_at(struct rt_cmd *cmd, struct rt_buf *logits, uint64_t first,
                          uint32_t n_rows, uint32_t ld, uint32_t v_count, float logit_scale,
                          float softcap)
{
    enum rt_err err = RT_OK;
    const int32_t cap = cap_of(logit_scale, softcap);
    const struct logprob_cap_params p = {n_rows, ld, v_count, op_logprob_logit_scale(logit_scale),
                                         softcap};
    struct op_grid grid;

    RT_REQUIRE(isfinite(softcap) && softcap >= 0.0f && isfinite(logit_scale), RT_E_ARG);
    RT_REQUIRE(n_rows >= 1 && v_count >= 1 && ld % 8 == 0 && ld >= v_count, RT_E_ARG);
    RT_REQUIRE(rt_buf_holds(logits, RT_F32, first + (uint64_t) n_rows * ld), RT_E_SHAPE);
    if (cap == 0)
        goto done;
    grid = op_grid(logits, op_stride(v_count));
    RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                    .kernel = "logprob_cap",
                                    .groups = {grid.groups, n_rows},
                                    .group = {grid.group},
                                    .bufs = {RT_INOUT_AT(logits, first, (uint64_t) n_rows * ld)},
                                    .params = &p,
                                    .params_size = sizeof(p),
                                    .tune = {{"CAP", cap}, OP_GRID_TUNES(grid)}}));
done:
    return err;
}

enum rt_err op_logprob_cap(struct rt_cmd *cmd, struct rt_buf *logits, uint32_t n_rows, uint32_t ld,
                           uint32_t v_count, float logit_scale, float softcap)
{
    return cap_at(cmd, logits, 0, n_rows, ld, v_count, logit_scale, softcap);
}

static enum rt_err make_logits(struct rt_cmd *cmd, const struct op_logprob_backward_args *a,
                               struct chunk k)
{
    enum rt_err err = RT_OK;
    RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = OP_NT,
                                                   .m = k.rows,
                                                   .n = k.words,
                                                   .k = a->cols,
                                                   .a = rows_of(a->h, k.m),
                                                   .b = rows_of(a->w, k.v),
                                                   .c = {a->scratch.logits, k.at, k.ld},
                                                   .scratch = a->scratch.matmul}));
    RT_TRY(cap_at(cmd, a->scratch.logits, k.at, k.rows, k.ld, k.words, a->logit_scale, a->softcap));
done:
    return err;
}

static enum rt_err stats(struct rt_cmd *cmd, const struct op_logprob_backward_args *a,
                         struct chunk k)
{
    const struct logprob_stats_params p = {k.rows, k.ld, k.v, k.words};
    return rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){
                 .kernel = "logprob_stats",
                 .groups = {k.rows},
                 .group = {op_row_lanes(a->h.buf)},
                 .bufs = {RT_IN_AT(a->scratch.logits, k.at, (uint64_t) k.rows * k.ld),
                          RT_IN_AT(a->targets, k.m, k.rows),
                          RT_INOUT_AT(a->scratch.state, 0, (uint64_t) k.rows * COLUMNS)},
                 .params = &p,
                 .params_size = sizeof(p)});
}

static enum rt_err finish(struct rt_cmd *cmd, const struct op_logprob_backward_args *a,
                          struct rt_buf *result, struct chunk k)
{
    const struct logprob_finish_params p = {k.rows, a->n_vocab};
    return rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){
                 .kernel = "logprob_finish",
                 .items = k.rows,
                 .bufs = {RT_IN_AT(a->scratch.state, 0, (uint64_t) k.rows * COLUMNS),
                          RT_OUT_AT(result, (uint64_t) k.m * COLUMNS, (uint64_t) k.rows * COLUMNS)},
                 .params = &p,
                 .params_size = sizeof(p)});
}

static enum rt_err grad(struct rt_cmd *cmd, const struct op_logprob_backward_args *a,
                        struct chunk k)
{
    const struct logprob_grad_params p = {
        k.rows, k.ld, k.v, k.words, op_logprob_logit_scale(a->logit_scale), a->softcap};
    const struct op_grid grid = op_grid(a->h.buf, op_stride(k.words));
    const uint64_t n = (uint64_t) k.rows * k.ld;
    return rt_cmd_dispatch(
        cmd,
        &(struct rt_dispatch_desc){
            .kernel = "logprob_grad",
            .groups = {grid.groups, k.rows},
            .group = {grid.group},
            .bufs = {RT_IN_AT(a->scratch.logits, k.at, n), RT_IN_AT(a->targets, k.m, k.rows),
                     RT_IN_AT(a->result, (uint64_t) k.m * COLUMNS, (uint64_t) k.rows * COLUMNS),
                     RT_IN_AT(a->coef, k.m, k.rows), RT_OUT_AT(a->scratch.dlogits, 0, n)},
            .params = &p,
            .params_size = sizeof(p),
            .tune = {{"CAP", cap_of(a->logit_scale, a->softcap)}, OP_GRID_TUNES(grid)}});
}

static enum rt_err backward_chunk(struct rt_cmd *cmd, const struct op_logprob_backward_args *a,
                                  struct chunk k)
{
    enum rt_err err = RT_OK;
    const struct op_mat dlogits = {a->scratch.dlogits, 0, k.ld};

    if (!a->kept)
        RT_TRY(make_logits(cmd, a, k));
    RT_TRY(grad(cmd, a, k));
    RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = OP_NN,
                                                   .m = k.rows,
                                                   .n = a->cols,
                                                   .k = k.words,
                                                   .a = dlogits,
                                                   .b = rows_of(a->w, k.v),
                                                   .c = out_rows_of(a->dh, k.m),
                                                   .accumulate = true,
                                                   .scratch = a->scratch.matmul}));
    if (a->dw.buf)
        RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = OP_TN,
                                                       .m = k.words,
                                                       .n = a->cols,
                                                       .k = k.rows,
                                                       .a = dlogits,
                                                       .b = rows_of(a->h, k.m),
                                                       .c = out_rows_of(a->dw, k.v),
                                                       .accumulate = true,
                                                       .scratch = a->scratch.matmul}));
done:
    return err;
}

// ---- The whole --------------------------------------------------------------------------------

// Rows m and on, one chunk of them.
static enum rt_err forward_rows(struct rt_cmd *cmd, const struct op_logprob_args *f,
                                const struct op_logprob_backward_args *a,
                                struct op_logprob_chunks c, uint32_t m)
{
    enum rt_err err = RT_OK;
    struct chunk k = {0};

    for (uint32_t v = 0; v < a->n_vocab; v += c.vocab) {
        k = chunk_of(a, c, m, v);
        RT_TRY(make_logits(cmd, a, k));
        RT_TRY(stats(cmd, a, k));
        const struct op_logprob_squares_args q = {
            a->scratch.logits, a->targets, a->scratch.state, m, k.rows, k.ld, v, k.words, k.at};
        if (f->squares)
            RT_TRY(op_logprob_squares(cmd, &q));
        const struct op_logprob_sweep_args w = {f, m, k.rows, k.ld, v, k.words};
        if (f->dh.buf)
            RT_TRY(op_logprob_sweep(cmd, &w));
    }
    RT_TRY(finish(cmd, a, f->result, k));
    if (f->dh.buf)
        RT_TRY(op_logprob_sweep_finish(
            cmd, &(struct op_logprob_sweep_args){.all = f, .row = m, .n_rows = k.rows}));
    if (f->squares)
        RT_TRY(op_logprob_squares_finish(cmd,
                                         &(struct op_logprob_squares_args){
                                             .state = a->scratch.state, .row = m, .n_rows = k.rows},
                                         f->result));
done:
    return err;
}

enum rt_err op_logprob(struct rt_cmd *cmd, const struct op_logprob_args *f)
{
    enum rt_err err = RT_OK;
    const struct op_logprob_backward_args a = {.h = f->h,
                                               .w = f->w,
                                               .targets = f->targets,
                                               .result = f->result,
                                               .dh = f->dh,
                                               .n_rows = f->n_rows,
                                               .cols = f->cols,
                                               .n_vocab = f->n_vocab,
                                               .logit_scale = f->logit_scale,
                                               .softcap = f->softcap,
                                               .chunks = f->chunks,
                                               .scratch = f->scratch,
                                               .kept = f->keep};
    struct op_logprob_chunks c;

    RT_TRY(check(&a));
    c = cut(rt_buf_dev(a.h.buf), a.n_rows, a.n_vocab, a.chunks);
    RT_TRY(check_scratch(&a, c, false));
    for (uint32_t m = 0; m < a.n_rows; m += c.rows)
        RT_TRY(forward_rows(cmd, f, &a, c, m));
done:
    return err;
}

enum rt_err op_logprob_backward(struct rt_cmd *cmd, const struct op_logprob_backward_args *a)
{
    enum rt_err err = RT_OK;
    struct op_logprob_chunks c;

    RT_TRY(check(a));
    c = cut(rt_buf_dev(a->h.buf), a->n_rows, a->n_vocab, a->chunks);
    RT_TRY(check_scratch(a, c, true));
    for (uint32_t m = 0; m < a->n_rows; m += c.rows)
        for (uint32_t v = 0; v < a->n_vocab; v += c.vocab)
            RT_TRY(backward_chunk(cmd, a, chunk_of(a, c, m, v)));
done:
    return err;
}
