#include "src/op/attention.h"

#include <math.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/op/self_check.h"

typedef struct op_attention_args args_t;

const struct rt_kernel op_attention_kernel = OP_KERNEL(
    attention, "attention.comp", ATTENTION_BUFFERS, struct attention_params, op_attention_ref);
const struct rt_kernel op_attention_delta_kernel =
    OP_KERNEL(attention_delta, "attention_delta.comp", ATTENTION_DELTA_BUFFERS,
              struct attention_params, op_attention_delta_ref);
const struct rt_kernel op_attention_dq_kernel =
    OP_KERNEL(attention_dq, "attention_dq.comp", ATTENTION_DQ_BUFFERS, struct attention_params,
              op_attention_dq_ref);
const struct rt_kernel op_attention_dkv_kernel =
    OP_KERNEL(attention_dkv, "attention_dkv.comp", ATTENTION_DKV_BUFFERS, struct attention_params,
              op_attention_dkv_ref);

#define WIDE_KERNEL(fn, list)                                                                      \
    {                                                                                              \
        .name = #fn, .opencl_only = #fn ".cl", .params_bytes = sizeof(struct attention_params),    \
        .n_bufs = sizeof((const struct rt_kernel_buf[]){list}) / sizeof(struct rt_kernel_buf),     \
        .bufs = {                                                                                  \
            list                                                                                   \
        }                                                                                          \
    }
const struct rt_kernel op_attention_wide_kernel = WIDE_KERNEL(attention_wide, ATTENTION_BUFFERS);
const struct rt_kernel op_attention_wide_dq_kernel =
    WIDE_KERNEL(attention_wide_dq, ATTENTION_DQ_BUFFERS);
const struct rt_kernel op_attention_wide_dkv_kernel =
    WIDE_KERNEL(attention_wide_dkv, ATTENTION_DKV_BUFFERS);

// ---- Tiles of the portable kernels ------------------------------------------------------------

enum pass { FORWARD, DQ, DKV };

// Shared memory beyond 16 KiB a group would leave too few groups on a compute unit.
enum { SHARED_BYTES = 16 << 10 };

struct tile {
    int32_t ra, rb, tile, own, both; // attention_tile.h says what they are
    uint32_t group;
};

static uint32_t tile_bytes(const struct tile *x, enum pass pass, uint32_t head_dim)
{
    const uint32_t row = 16 * ((head_dim + 3) / 4 | 1), nb = 8 * (uint32_t) x->rb;
    const uint32_t na = x->group / 8 * (uint32_t) x->ra, products = na * (nb + 1) * 4;
    const uint32_t tiles = !x->tile                      ? 0
                           : pass == FORWARD || !x->both ? 1
                                                         : 2,
                   owns = pass == FORWARD ? 1 : 2;
    return row * (nb * tiles + (x->own ? na * owns : 0)) + products * (pass == DKV ? 2 : 1) +
           (pass == FORWARD ? na * 9 * 4 : 0);
}

// Variant "staged", for GPUs: the first choice that fits; the last one does for every head size and
// pass. In its form "small", for lanes with few registers, a lane owns half as many rows.
static struct tile staged_tile(enum pass pass, uint32_t head_dim, bool small)
{
    static const struct tile CHOICES[] = {
        {0, 2, 1, 1, 1, 64}, {0, 2, 1, 0, 1, 64}, {0, 2, 1, 0, 0, 64}, {0, 1, 1, 0, 0, 64}};
    struct tile x = {0};
    for (size_t i = 0; i < COUNT_OF(CHOICES); i++) {
        x = CHOICES[i];
        x.ra = pass == DKV       ? (head_dim <= 64    ? 4
                                    : head_dim <= 128 ? 2
                                                      : 1)
               : head_dim <= 128 ? 4
                                 : 2;
        if (small && x.ra > 1)
            x.ra /= 2;
        if (tile_bytes(&x, pass, head_dim) <= SHARED_BYTES)
            break;
    }
    return x;
}

// Variant "direct", for drivers that run on a CPU: large tiles in registers, read straight from the
// buffers. OpenCL's have the wide kernels to be fast; for them this is a spare, to be compiled
// soon.
static struct tile direct_tile(const args_t *a)
{
    if (strcmp(rt_dev_plan(rt_buf_dev(a->q.buf))->caps.api, "opencl") == 0)
        return (struct tile){4, 2, 0, 0, 1, 8};
    return (struct tile){
        a->head_dim <= 64 ? 16 : 8, 8, 0, 0, 1, 8};
}

// ---- Tiles of the wide kernels (shaders/attention_wide.h) -------------------------------------

struct wide {
    int32_t qv, kt, kb, hg;
};

// Local memory that stays in a core's second-level cache.
enum { WIDE_BYTES = 256 << 10 };

static uint32_t wide_bytes(const struct wide *x, enum pass pass, uint32_t head_dim)
{
    const uint32_t lanes = 16 * (uint32_t) x->qv, dp = (head_dim + 7) / 8 * 8,
                   kb = (uint32_t) x->kb;
    const uint32_t own = pass == FORWARD ? 2 * (uint32_t) x->hg
                         : pass == DQ    ? 3 * (uint32_t) x->hg
                                         : 4;
    return 4 * (2 * kb * dp + (pass == DKV ? 2 : 1) * kb * lanes + own * dp * lanes + lanes);
}

// Tiles for a device's vectors; false if its local memory is too small.
static bool choose_wide(const struct rt_plan *plan, enum pass pass, uint32_t head_dim,
                        uint32_t heads, struct wide *x)
{
    const uint32_t most = u32_min(plan->caps.shared_bytes, WIDE_BYTES);
    *x = plan->caps.avx512 ? (struct wide){2, 8, 64, 1} : (struct wide){1, 4, 64, 1};
    if (head_dim > 128)
        x->kb = 32;
    for (uint32_t hg = 4; hg > 1 && pass != DKV && x->hg == 1; hg--) {
        const struct wide more = {x->qv, x->kt, x->kb, (int32_t) hg};
        if (heads % hg == 0 && wide_bytes(&more, pass, head_dim) <= most)
            *x = more;
    }
    return wide_bytes(x, pass, head_dim) <= most;
}

static bool has_wide(const struct rt_dev *dev, const args_t *a)
{
    const struct rt_plan *plan = rt_dev_plan(dev);
    struct wide x;
    return (plan->rungs & RT_RUNG_WIDE) &&
           !op_is_dropped(dev, rt_buf_type(a->q.buf), OP_DROP_ATTENTION_WIDE) &&
           choose_wide(plan, FORWARD, a->head_dim, a->n_heads / a->n_kv_heads, &x) &&
           choose_wide(plan, DQ, a->head_dim, 1, &x) && choose_wide(plan, DKV, a->head_dim, 1, &x);
}

// ---- Variants ---------------------------------------------------------------------------------

enum variant { CHOOSE, PORTABLE, STAGED, SMALL, DIRECT, WIDE, VARIANTS };

// The named one; VARIANTS if there is none of that name.
static enum variant variant_of(const char *name)
{
    static const char *const NAMES[VARIANTS] = {NULL,    "portable", "staged",
                                                "small", "direct",   "wide"};
    enum variant v = PORTABLE;
    if (!name)
        return CHOOSE;
    while (v < VARIANTS && strcmp(name, NAMES[v]) != 0)
        v++;
    return v;
}

static enum variant choose(const args_t *a)
{
    const struct rt_dev *dev = rt_buf_dev(a->q.buf);
    const enum variant v = variant_of(a->variant);
    if (v == CHOOSE && has_wide(dev, a))
        return WIDE;
    if (v <= PORTABLE)
        return rt_dev_plan(dev)->caps.kind == RT_CPU ? DIRECT
               : op_has_few_registers(dev)           ? SMALL
                                                     : STAGED;
    return v;
}

// ---- Checks -----------------------------------------------------------------------------------

// A matrix of `rows` rows of `cols` columns of one type lies in the view.
static bool holds(struct op_attention_view x, enum rt_type type, uint64_t rows, uint32_t cols)
{
    const uint64_t n = (rows - 1) * x.ld + op_stride(cols);
    return x.buf && rt_buf_type(x.buf) == type && x.first <= rt_buf_count(x.buf) &&
           n <= rt_buf_count(x.buf) - x.first && n <= UINT32_MAX;
}

static bool holds_stats(struct op_attention_view x, const args_t *a)
{
    x.ld = a->n_tokens;
    return x.buf && rt_buf_type(x.buf) == RT_F32 && x.first <= rt_buf_count(x.buf) &&
           (uint64_t) a->n_heads * x.ld <= rt_buf_count(x.buf) - x.first &&
           (uint64_t) a->n_heads * x.ld <= UINT32_MAX;
}

static bool lies(struct op_attention_view x, uint32_t cols)
{
    return x.first % 128 == 0 && x.ld % 8 == 0 && x.ld >= op_stride(cols);
}

static enum rt_err check_sizes(const args_t *a, bool backward)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(a->n_kv_heads >= 1 && a->n_heads >= 1 && a->n_heads % a->n_kv_heads == 0, RT_E_ARG);
    RT_REQUIRE(a->head_dim >= 2 && a->head_dim <= 256 && a->head_dim % 2 == 0, RT_E_ARG);
    RT_REQUIRE(a->n_heads <= UINT16_MAX, RT_E_ARG);
    RT_REQUIRE(isfinite(a->scale), RT_E_ARG);
    RT_REQUIRE(a->info && a->info->n_q_blocks >= 1, RT_E_ARG);
    RT_REQUIRE(isfinite(a->softcap) && a->softcap >= 0.0f, RT_E_ARG);
    if (backward && !a->info->backward)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "attention: the index has no key blocks: its segments' keys do not mirror "
                       "their queries"));
done:
    return err;
}

static enum rt_err check_places(const args_t *a, bool backward)
{
    enum rt_err err = RT_OK;
    const uint32_t cols = a->n_heads * a->head_dim, key_cols = a->n_kv_heads * a->head_dim;

    RT_REQUIRE(lies(a->q, cols) && lies(a->o, cols), RT_E_ARG);
    RT_REQUIRE(lies(a->k, key_cols) && lies(a->v, key_cols), RT_E_ARG);
    RT_REQUIRE(a->lse.first % 128 == 0 && a->index_first % 64 == 0, RT_E_ARG);
    if (backward) {
        RT_REQUIRE(lies(a->d_o, cols) && lies(a->dq, cols), RT_E_ARG);
        RT_REQUIRE(lies(a->dk, key_cols) && lies(a->dv, key_cols), RT_E_ARG);
        RT_REQUIRE(a->delta.first % 128 == 0, RT_E_ARG);
    }
done:
    return err;
}

static enum rt_err check_buffers(const args_t *a, bool backward)
{
    enum rt_err err = RT_OK;
    const uint32_t cols = a->n_heads * a->head_dim, key_cols = a->n_kv_heads * a->head_dim;
    enum rt_type type;

    RT_REQUIRE(a->info->n_tokens <= a->n_tokens && a->info->n_keys <= a->n_keys, RT_E_SHAPE);
    RT_REQUIRE(a->index && rt_buf_type(a->index) == RT_U32 &&
                   a->index_first <= rt_buf_count(a->index) &&
                   a->info->words <= rt_buf_count(a->index) - a->index_first,
               RT_E_SHAPE);
    RT_REQUIRE(a->q.buf && rt_buf_type(a->q.buf) != RT_U32, RT_E_SHAPE);
    type = rt_buf_type(a->q.buf);
    RT_REQUIRE(holds(a->q, type, a->n_tokens, cols) && holds(a->o, type, a->n_tokens, cols),
               RT_E_SHAPE);
    RT_REQUIRE(holds(a->k, type, a->n_keys, key_cols) && holds(a->v, type, a->n_keys, key_cols),
               RT_E_SHAPE);
    RT_REQUIRE(holds_stats(a->lse, a), RT_E_SHAPE);
    if (backward) {
        RT_REQUIRE(holds(a->d_o, type, a->n_tokens, cols), RT_E_SHAPE);
        RT_REQUIRE(holds(a->dq, type, a->n_tokens, cols), RT_E_SHAPE);
        RT_REQUIRE(holds(a->dk, type, a->n_keys, key_cols), RT_E_SHAPE);
        RT_REQUIRE(holds(a->dv, type, a->n_keys, key_cols), RT_E_SHAPE);
        RT_REQUIRE(holds_stats(a->delta, a), RT_E_SHAPE);
    }
done:
    return err;
}

static enum rt_err check(const args_t *a, bool backward)
{
    enum rt_err err = RT_OK;
    RT_TRY(check_sizes(a, backward));
    RT_TRY(check_places(a, backward));
    RT_TRY(check_buffers(a, backward));
    if (variant_of(a->variant) == VARIANTS)
        RT_TRY(rt_fail(
            RT_E_ARG,
            "attention: unknown variant %s: there are portable (staged, small or direct), wide",
            a->variant));
    if (variant_of(a->variant) == WIDE && !has_wide(rt_buf_dev(a->q.buf), a))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "attention: the wide variant is for OpenCL on a CPU, found %s; or it is "
                       "disabled, or local memory is too small for heads of %u",
                       rt_dev_id(rt_buf_dev(a->q.buf)), a->head_dim));
done:
    return err;
}

// ---- Dispatch ---------------------------------------------------------------------------------

static struct attention_params params(const args_t *a, enum pass pass)
{
    const struct op_attention_index *x = a->info;
    return (struct attention_params){.blocks_at = pass == DKV ? x->k_blocks : x->q_blocks,
                                     .n_blocks = pass == DKV ? x->n_k_blocks : x->n_q_blocks,
                                     .n_tokens = a->n_tokens,
                                     .n_heads = a->n_heads,
                                     .n_kv_heads = a->n_kv_heads,
                                     .head_dim = a->head_dim,
                                     .ldq = a->q.ld,
                                     .ldk = a->k.ld,
                                     .ldv = a->v.ld,
                                     .ldo = a->o.ld,
                                     .lddo = a->d_o.ld,
                                     .lddq = a->dq.ld,
                                     .lddk = a->dk.ld,
                                     .lddv = a->dv.ld,
                                     .scale = a->scale,
                                     .positions_at = x->positions,
                                     .window = a->window,
                                     .softcap = a->softcap};
}

static struct rt_bind bind(struct op_attention_view x, enum rt_access access, uint64_t rows,
                           uint32_t cols)
{
    return (struct rt_bind){x.buf, access, x.first, (rows - 1) * x.ld + op_stride(cols)};
}

static struct rt_bind queries(const args_t *a, struct op_attention_view x, enum rt_access access)
{
    return bind(x, access, a->n_tokens, a->n_heads * a->head_dim);
}

static struct rt_bind keys(const args_t *a, struct op_attention_view x, enum rt_access access)
{
    return bind(x, access, a->n_keys, a->n_kv_heads * a->head_dim);
}

static struct rt_bind stats(const args_t *a, struct op_attention_view x, enum rt_access access)
{
    return (struct rt_bind){x.buf, access, x.first, (uint64_t) a->n_heads * a->n_tokens};
}

static struct rt_bind blocks(const args_t *a)
{
    return (struct rt_bind){a->index, RT_ACCESS_IN, a->index_first, a->info->words};
}

static void portable(const args_t *a, enum pass pass, const struct tile *x,
                     struct rt_dispatch_desc *d)
{
    static const char *const KERNELS[] = {"attention", "attention_dq", "attention_dkv"};
    const struct rt_tune tune[] = {{"D", (int32_t) a->head_dim},
                                   {"RA", x->ra},
                                   {"RB", x->rb},
                                   {"STAGE_TILE", x->tile},
                                   {"STAGE_OWN", x->own},
                                   {"BOTH", x->both},
                                   {"WINDOW", a->window > 0},
                                   {"SOFTCAP", a->softcap > 0.0f}};
    d->kernel = KERNELS[pass];
    memcpy(d->tune, tune, sizeof(tune));
    d->group[0] = x->group;
    d->groups[0] = 64 / (x->group / 8 * (uint32_t) x->ra);
    d->groups[1] = pass == DKV ? a->n_kv_heads : a->n_heads;
}

static void wide(const args_t *a, enum pass pass, struct rt_dispatch_desc *d)
{
    static const char *const KERNELS[] = {"attention_wide", "attention_wide_dq",
                                          "attention_wide_dkv"};
    struct wide x;
    (void) choose_wide(rt_dev_plan(rt_buf_dev(a->q.buf)), pass, a->head_dim,
                       a->n_heads / a->n_kv_heads, &x);
    const struct rt_tune tune[] = {{"D", (int32_t) a->head_dim},
                                   {"QV", x.qv},
                                   {"KT", x.kt},
                                   {"KB", x.kb},
                                   {"HG", x.hg},
                                   {"WINDOW", a->window > 0},
                                   {"SOFTCAP", a->softcap > 0.0f}};
    d->kernel = KERNELS[pass];
    memcpy(d->tune, tune, sizeof(tune));
    d->group[0] = 1;
    d->groups[0] = 64 / (16 * (uint32_t) x.qv);
    d->groups[1] = pass == DKV ? a->n_kv_heads : a->n_heads / (uint32_t) x.hg;
}

// Fill in all but the buffers, and record.
static enum rt_err record(struct rt_cmd *cmd, const args_t *a, enum pass pass,
                          struct rt_dispatch_desc *d)
{
    static const double FLOPS[] = {4.0, 6.0, 8.0}; // a visible pair, head and element
    const struct attention_params p = params(a, pass);
    const enum variant v = choose(a);
    const bool small = v == SMALL;
    const struct tile x =
        small || v == STAGED ? staged_tile(pass, a->head_dim, small) : direct_tile(a);

    if (v == WIDE)
        wide(a, pass, d);
    else
        portable(a, pass, &x, d);
    d->groups[0] *= p.n_blocks;
    d->params = &p;
    d->params_size = sizeof(p);
    d->flops = FLOPS[pass] * a->head_dim * a->n_heads * (double) a->info->n_pairs;
    return rt_cmd_dispatch(cmd, d);
}

uint64_t op_attention_scratch(const struct rt_dev *dev, const args_t *args, bool backward)
{
    (void) dev;
    (void) args;
    (void) backward;
    return 0; // no variant needs any
}

enum rt_err op_attention(struct rt_cmd *cmd, const args_t *a)
{
    enum rt_err err = RT_OK;
    RT_TRY(check(a, false));
    RT_TRY(record(cmd, a, FORWARD,
                  &(struct rt_dispatch_desc){
                      .bufs = {queries(a, a->q, RT_ACCESS_IN), keys(a, a->k, RT_ACCESS_IN),
                               keys(a, a->v, RT_ACCESS_IN), blocks(a),
                               queries(a, a->o, RT_ACCESS_OUT), stats(a, a->lse, RT_ACCESS_OUT)}}));
done:
    return err;
}

static enum rt_err delta(struct rt_cmd *cmd, const args_t *a)
{
    const struct attention_params p = params(a, DQ);
    return rt_cmd_dispatch(cmd,
                           &(struct rt_dispatch_desc){.kernel = "attention_delta",
                                                      .items = (uint64_t) a->n_tokens * a->n_heads,
                                                      .bufs = {queries(a, a->o, RT_ACCESS_IN),
                                                               queries(a, a->d_o, RT_ACCESS_IN),
                                                               stats(a, a->delta, RT_ACCESS_OUT)},
                                                      .params = &p,
                                                      .params_size = sizeof(p)});
}

enum rt_err op_attention_backward(struct rt_cmd *cmd, const args_t *a)
{
    enum rt_err err = RT_OK;
    RT_TRY(check(a, true));
    RT_TRY(delta(cmd, a));
    RT_TRY(
        record(cmd, a, DQ,
               &(struct rt_dispatch_desc){
                   .bufs = {queries(a, a->q, RT_ACCESS_IN), keys(a, a->k, RT_ACCESS_IN),
                            keys(a, a->v, RT_ACCESS_IN), blocks(a),
                            queries(a, a->d_o, RT_ACCESS_IN), stats(a, a->lse, RT_ACCESS_IN),
                            stats(a, a->delta, RT_ACCESS_IN), queries(a, a->dq, RT_ACCESS_OUT)}}));
    RT_TRY(record(
        cmd, a, DKV,
        &(struct rt_dispatch_desc){
            .bufs = {queries(a, a->q, RT_ACCESS_IN), keys(a, a->k, RT_ACCESS_IN),
                     keys(a, a->v, RT_ACCESS_IN), blocks(a), queries(a, a->d_o, RT_ACCESS_IN),
                     stats(a, a->lse, RT_ACCESS_IN), stats(a, a->delta, RT_ACCESS_IN),
                     keys(a, a->dk, RT_ACCESS_OUT), keys(a, a->dv, RT_ACCESS_OUT)}}));
done:
    return err;
}
