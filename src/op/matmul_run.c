// Products: the kernels' rows of the table, and each variant's grid and tile.
#include "src/op/matmul_kernels.h"

#include "src/base/arith.h"

const struct rt_kernel op_matmul_kernel =
    OP_KERNEL(matmul, "matmul.comp", MATMUL_BUFFERS, struct matmul_params, op_matmul_ref);
const struct rt_kernel op_matmul_round_kernel =
    OP_KERNEL(matmul_round, "matmul_round.comp", MATMUL_ROUND_BUFFERS, struct matmul_round_params,
              op_matmul_round_ref);

static double flops_of(const struct matmul_params *p)
{
    return 2.0 * p->m * p->n * p->k;
}

// A group's tile and a lane's share of it; the names of shaders/matmul.comp.
struct tile {
    int32_t bm, bn, bk, tm, nv;
};

// The tile depends on m, the order of addition does not.
static const struct tile *tile_of(const struct matmul_params *p)
{
    static const struct tile FEW = {8, 64, 16, 1, 1}, SOME = {32, 64, 16, 4, 1},
                             MANY = {128, 64, 16, 8, 2};
    return p->m <= 8 ? &FEW : p->m <= 64 ? &SOME : &MANY;
}

static enum rt_err run_tile(struct rt_cmd *cmd, const struct matmul_job *job)
{
    const struct matmul_params *p = &job->p;
    const struct tile *t = tile_of(p);
    return rt_cmd_dispatch(cmd,
                           &(struct rt_dispatch_desc){
                               .kernel = "matmul",
                               .groups = {(uint32_t) div_up(p->n, (uint32_t) t->bn),
                                          (uint32_t) div_up(p->m, (uint32_t) t->bm)},
                               .group = {(uint32_t) (t->bm / t->tm * t->bn / (4 * t->nv))},
                               .bufs = {job->binds[0], job->binds[1], job->binds[2], job->binds[3]},
                               .params = p,
                               .params_size = sizeof(*p),
                               .tune = {{"FORM", (int32_t) p->form},
                                        {"BM", t->bm},
                                        {"BN", t->bn},
                                        {"BK", t->bk},
                                        {"TM", t->tm},
                                        {"NV", t->nv}},
                               .flops = flops_of(p)});
}

enum rt_err matmul_run(struct rt_cmd *cmd, enum op_matmul_variant variant,
                       const struct matmul_job *job)
{
    (void) variant;
    return run_tile(cmd, job);
}
