// Oracles of the matrix products, in float64: one tile of C at a time, k in order.
#include "src/op/matmul_kernels.h"

#include "src/base/arith.h"
#include "src/base/thread.h"

enum { ROWS = 32, COLS = 64, DEPTH = 128 };

struct job {
    const struct rt_host_call *call;
    const struct matmul_params *p;
    uint64_t col_tiles;
};

// Element (i, l) of A and (l, j) of B, whatever the form.
static double a_at(const struct job *job, uint64_t i, uint64_t l)
{
    const struct matmul_params *p = job->p;
    const uint64_t at = p->form == OP_TN ? l * p->lda + i : i * p->lda + l;
    return rt_host_load(&job->call->bufs[0], p->a_first + at);
}

static double b_at(const struct job *job, uint64_t l, uint64_t j)
{
    const struct matmul_params *p = job->p;
    const uint64_t at = p->form == OP_NT ? j * p->ldb + l : l * p->ldb + j;
    return rt_host_load(&job->call->bufs[1], p->b_first + at);
}

// Element (i, j) of C from its sum.
static void finish(const struct job *job, uint64_t i, uint64_t j, double sum)
{
    const struct matmul_params *p = job->p;
    const struct rt_host_buf *c = &job->call->bufs[3];
    const uint64_t at = p->c_first + i * p->ldc + j;

    if (p->flags & MATMUL_BIAS)
        sum += rt_host_load(&job->call->bufs[2], p->bias_first + j);
    if (p->flags & MATMUL_ACCUMULATE)
        sum += rt_host_load(c, at);
    rt_host_store(c, at, sum);
    if (j + 1 == p->n && p->n % 2 != 0 && (c->type == RT_F16 || c->type == RT_BF16))
        rt_host_store(c, at + 1, 0.0);
}

static void one_tile(const struct job *job, uint64_t i0, uint64_t j0)
{
    const struct matmul_params *p = job->p;
    const uint64_t rows = u64_min(ROWS, p->m - i0), cols = u64_min(COLS, p->n - j0);
    double sum[ROWS][COLS] = {{0}}, b[DEPTH][COLS];

    for (uint64_t l0 = 0; l0 < p->k; l0 += DEPTH) {
        const uint64_t depth = u64_min(DEPTH, p->k - l0);
        for (uint64_t l = 0; l < depth; l++)
            for (uint64_t j = 0; j < COLS; j++)
                b[l][j] = j < cols ? b_at(job, l0 + l, j0 + j) : 0.0;
        for (uint64_t i = 0; i < rows; i++)
            for (uint64_t l = 0; l < depth; l++) {
                const double a = a_at(job, i0 + i, l0 + l);
                for (uint64_t j = 0; j < COLS; j++)
                    sum[i][j] += a * b[l][j];
            }
    }
    for (uint64_t i = 0; i < rows; i++)
        for (uint64_t j = 0; j < cols; j++)
            finish(job, i0 + i, j0 + j, sum[i][j]);
}

static void some_tiles(void *user, uint64_t begin, uint64_t end)
{
    const struct job *job = user;
    for (uint64_t t = begin; t < end; t++)
        one_tile(job, t / job->col_tiles * ROWS, t % job->col_tiles * COLS);
}

void op_matmul_ref(const struct rt_host_call *call)
{
    const struct matmul_params *p = call->params;
    struct job job = {call, p, div_up(p->n, COLS)};
    thread_for(div_up(p->m, ROWS) * job.col_tiles, 1, some_tiles, &job);
}

void op_matmul_round_ref(const struct rt_host_call *call)
{
    const struct matmul_round_params *p = call->params;
    const struct rt_host_buf *x = &call->bufs[0], *bias = &call->bufs[1], *c = &call->bufs[2];

    for (uint64_t i = 0; i < p->m; i++) {
        const uint64_t at = p->c_first + i * p->ldc, from = p->x_first + i * p->ldx;
        for (uint64_t j = 0; j < p->n; j++) {
            double sum = 0.0;
            for (uint64_t q = 0; q < p->parts; q++)
                sum += rt_host_load(x, from + q * p->x_part + j);
            if (p->flags & MATMUL_BIAS)
                sum += rt_host_load(bias, p->bias_first + j);
            if (p->flags & MATMUL_ACCUMULATE)
                sum += rt_host_load(c, at + j);
            rt_host_store(c, at + j, sum);
        }
        if (p->n % 2 != 0 && c->type != RT_F32 && c->type != RT_F64)
            rt_host_store(c, at + p->n, 0.0);
    }
}
