// Products: the kernels' rows of the table, and each variant's grid and tile.
#include "src/op/matmul_kernels.h"

#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"

enum { REGISTER_LANES = 8 };

const struct rt_kernel op_matmul_kernel =
    OP_KERNEL(matmul, "matmul.comp", MATMUL_BUFFERS, struct matmul_params, op_matmul_ref);
const struct rt_kernel op_matmul_round_kernel =
    OP_KERNEL(matmul_round, "matmul_round.comp", MATMUL_ROUND_BUFFERS, struct matmul_round_params,
              op_matmul_round_ref);

const struct rt_kernel op_matmul_wide_kernel = {.name = "matmul_wide",
                                                .opencl_only = "matmul_wide.cl",
                                                .n_bufs = 4,
                                                .bufs = {MATMUL_BUFFERS},
                                                .params_bytes = sizeof(struct matmul_wide_params)};

const struct rt_kernel op_matmul_register_kernel = {.name = "matmul_register",
                                                    .vulkan_only = "matmul_register.comp",
                                                    .n_bufs = 4,
                                                    .bufs = {MATMUL_BUFFERS},
                                                    .params_bytes = sizeof(struct matmul_params)};

static double flops_of(const struct matmul_params *p)
{
    return 2.0 * p->m * p->n * p->k;
}

// A group's tile and a lane's share of it; the names of shaders/matmul.comp.
struct tile {
    int32_t bm, bn, bk, tm, nv;
};

const char *const MATMUL_TUNED_TILE[] = {"matmul.tile.f32", "matmul.tile.f16", "matmul.tile.bf16"};

// For many rows, the default first. All run on the floor: 128 lanes and 16 KiB of shared memory.
static const struct tile MANY[] = {{128, 64, 16, 8, 2}, {64, 64, 16, 8, 1},  {64, 64, 16, 8, 2},
                                   {128, 64, 8, 8, 2},  {64, 128, 16, 8, 2}, {128, 128, 8, 16, 2},
                                   {32, 64, 16, 4, 1},  {64, 32, 16, 8, 1},  {32, 32, 16, 4, 1}};
// Those of at most 32 sums a lane, for where it has few registers. With 16 sums Intel's compiler
// runs 16 lanes a thread, with 32 only 8.
static const uint8_t SMALL[] = {6, 1, 7, 8};

uint32_t matmul_tiles(const struct rt_dev *dev)
{
    return op_has_few_registers(dev) ? COUNT_OF(SMALL) : COUNT_OF(MANY);
}

static const struct tile *many_of(const struct rt_dev *dev, int32_t tuned)
{
    const uint32_t i = tuned >= 0 && tuned < (int32_t) matmul_tiles(dev) ? (uint32_t) tuned : 0;
    return &MANY[op_has_few_registers(dev) ? SMALL[i] : i];
}

// The tile depends on m, the order of addition does not.
static const struct tile *tile_of(const struct matmul_job *job)
{
    static const struct tile FEW = {8, 64, 16, 1, 1}, SOME = {32, 64, 16, 4, 1};
    static const struct tile NARROW = {128, 16, 16, 8, 1}, SLIM = {128, 32, 16, 8, 1};
    const enum rt_type type = rt_buf_type(job->binds[0].buf);
    const int32_t tuned = rt_dev_tuned(job->dev, MATMUL_TUNED_TILE[type], 0);
    if (job->p.m <= 64)
        return job->p.m <= 8 ? &FEW : &SOME;
    if (job->p.n <= 32)
        return job->p.n <= 16 ? &NARROW : &SLIM;
    return many_of(job->dev, tuned);
}

static enum rt_err run_tile(struct rt_cmd *cmd, const struct matmul_job *job)
{
    const struct matmul_params *p = &job->p;
    const struct tile *t = tile_of(job);
    return rt_cmd_dispatch(cmd,
                           &(struct rt_dispatch_desc){
                               .kernel = "matmul",
                               .groups = {(uint32_t) div_up(p->n, (uint32_t) t->bn),
                                          (uint32_t) div_up(p->m, (uint32_t) t->bm),
                                          (uint32_t) div_up(p->k, p->k_part)},
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

static enum rt_err run_register(struct rt_cmd *cmd, const struct matmul_job *job)
{
    const struct matmul_params *p = &job->p;
    const uint32_t rm = p->m == 1 ? 1 : p->m <= 4 ? 4 : p->m <= 8 ? 8 : 16;
    const struct rt_bind *b = job->binds;
    return rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){.kernel = "matmul_register",
                                        .groups = {(uint32_t) div_up(p->n, REGISTER_LANES * 8),
                                                   (uint32_t) div_up(p->m, rm)},
                                        .group = {REGISTER_LANES},
                                        .bufs = {b[0], b[1], b[2], b[3]},
                                        .params = p,
                                        .params_size = sizeof(*p),
                                        .tune = {{"FORM", (int32_t) p->form}, {"RM", (int32_t) rm}},
                                        .flops = flops_of(p)});
}

// ---- Wide -------------------------------------------------------------------------------------

// Names of shaders/matmul_wide.cl. Fixed for a device, because kc decides the order of addition.
struct wide {
    uint32_t np, kc, tt, chunk;
};

// Vectors of 16 and tiles of 8 rows fill the registers of AVX-512, 8 and 6 those of AVX2.
static uint32_t vector_of(const struct rt_dev *dev)
{
    return rt_dev_plan(dev)->caps.avx512 ? 16 : 8;
}
static uint32_t rows_of(const struct rt_dev *dev)
{
    return rt_dev_plan(dev)->caps.avx512 ? 8 : 6;
}

// The largest shape whose local memory the device has; the last one fits the floor of 16 KiB.
static const struct wide *wide_of(const struct rt_dev *dev)
{
    static const struct wide FIT[] = {
        {4, 768, 4, 256}, {4, 384, 4, 128}, {4, 256, 4, 64}, {2, 128, 4, 32}, {1, 64, 1, 16}};
    const uint32_t nr = 2 * vector_of(dev), mr = rows_of(dev);
    size_t i = 0;
    for (; i + 1 < COUNT_OF(FIT); i++) {
        const struct wide *w = &FIT[i];
        const uint32_t floats = w->np * nr * (w->kc + w->chunk) + (w->tt * mr + 2) * (w->kc + 16);
        if (4 * floats <= rt_dev_plan(dev)->caps.shared_bytes)
            break;
    }
    return &FIT[i];
}

// Columns and rows of a group: even shares for all cores, since a driver may give each core its
// groups beforehand. They change no bits.
struct matmul_cut matmul_wide_cut(const struct rt_dev *dev, uint32_t m, uint32_t n, uint32_t k,
                                  bool in_c)
{
    const struct wide *w = wide_of(dev);
    const uint32_t nr = 2 * vector_of(dev), blocks = k ? (uint32_t) div_up(k, w->kc) : 1;
    const uint64_t cores = os_cores(), panels = div_up(n, nr);
    const uint64_t groups = u64_min(panels, round_up(div_up(panels, w->np), cores));
    const uint64_t most = blocks > 1 && !in_c ? w->chunk : 1024;
    const uint64_t chunks = u64_max(div_up(cores, groups), div_up(m, most));

    return (struct matmul_cut){.width = (uint32_t) (div_up(panels, groups) * nr),
                               .chunk = (uint32_t) round_up(div_up(m, chunks), 8),
                               .block = k ? (uint32_t) round_up(div_up(k, blocks), 16) : w->kc};
}

void matmul_wide_tunes(const struct rt_dev *dev, enum op_matmul_form form, bool dot,
                       struct rt_dispatch_desc *d)
{
    const struct wide *w = wide_of(dev);
    const struct rt_tune tunes[] = {
        {"FORM", (int32_t) form},       {"VW", (int32_t) vector_of(dev)},
        {"MR", (int32_t) rows_of(dev)}, {"TT", form == OP_TN ? (int32_t) w->tt : 1},
        {"NP", (int32_t) w->np},        {"KC", (int32_t) w->kc},
        {"CHUNK", (int32_t) w->chunk},  {"DOT", dot}};
    memcpy(d->tune, tunes, sizeof(tunes));
}

static enum rt_err run_wide(struct rt_cmd *cmd, const struct matmul_job *job, bool dot)
{
    const struct matmul_params *q = &job->p;
    const struct matmul_cut cut =
        matmul_wide_cut(job->dev, q->m, q->n, q->k, rt_buf_type(job->binds[3].buf) == RT_F32);
    struct matmul_wide_params p;
    struct rt_dispatch_desc d = {
        .kernel = "matmul_wide",
        .groups = {(uint32_t) div_up(q->n, cut.width), (uint32_t) div_up(q->m, cut.chunk)},
        .group = {1},
        .bufs = {job->binds[0], job->binds[1], job->binds[2], job->binds[3]},
        .params = &p,
        .params_size = sizeof(p),
        .flops = flops_of(q)};

    memcpy(&p, q, sizeof(*q)); // the list begins with theirs
    p.chunk = cut.chunk;
    p.width = cut.width;
    p.block = cut.block;
    matmul_wide_tunes(job->dev, (enum op_matmul_form) q->form, dot, &d);
    return rt_cmd_dispatch(cmd, &d);
}

enum rt_err matmul_run(struct rt_cmd *cmd, enum op_matmul_variant variant,
                       const struct matmul_job *job)
{
    switch (variant) {
    case OP_MATMUL_WIDE:
    case OP_MATMUL_BF16_DOT:
        return run_wide(cmd, job, variant == OP_MATMUL_BF16_DOT);
    case OP_MATMUL_REGISTER:
        return run_register(cmd, job);
    default:
        return run_tile(cmd, job);
    }
}
