#include "src/op/route.h"

#include <math.h>

#include "src/base/arith.h"

const struct rt_kernel op_route_pick_kernel = OP_KERNEL(
    route_pick, "route_pick.comp", ROUTE_PICK_BUFFERS, struct route_params, op_route_pick_ref);
const struct rt_kernel op_route_count_kernel = OP_KERNEL(
    route_count, "route_count.comp", ROUTE_COUNT_BUFFERS, struct route_params, op_route_count_ref);
const struct rt_kernel op_route_scan_kernel = OP_KERNEL(
    route_scan, "route_scan.comp", ROUTE_COUNT_BUFFERS, struct route_params, op_route_scan_ref);
const struct rt_kernel op_route_order_kernel = OP_KERNEL(
    route_order, "route_order.comp", ROUTE_COUNT_BUFFERS, struct route_params, op_route_order_ref);
const struct rt_kernel op_route_weights_kernel =
    OP_KERNEL(route_weights, "route_weights.comp", ROUTE_WEIGHTS_BUFFERS, struct route_params,
              op_route_weights_ref);
const struct rt_kernel op_route_balance_kernel =
    OP_KERNEL(route_balance, "route_balance.comp", ROUTE_BALANCE_BUFFERS, struct route_params,
              op_route_balance_ref);
const struct rt_kernel op_route_back_kernel = OP_KERNEL(
    route_back, "route_back.comp", ROUTE_BACK_BUFFERS, struct route_back_params, op_route_back_ref);

// ---- Oracles ----------------------------------------------------------------------------------

void op_route_pick_ref(const struct rt_host_call *call)
{
    const struct route_params *p = call->params;
    const struct rt_host_buf *logits = &call->bufs[0], *route = &call->bufs[2];
    const uint64_t rows = (uint64_t) p->n_tokens * p->top_k;
    uint32_t *ids = (uint32_t *) call->bufs[1].data + ROUTE_IDS(rows);

    for (uint64_t t = 0; t < p->n_tokens; t++) {
        bool taken[OP_ROUTE_MAX_EXPERTS] = {false};
        double most = -HUGE_VAL, sum = 0.0;
        for (uint32_t i = 0; i < p->top_k; i++) {
            uint32_t best = 0;
            while (taken[best])
                best++;
            for (uint32_t e = best + 1; e < p->n_experts; e++)
                if (!taken[e] &&
                    rt_host_load(logits, t * p->ld + e) > rt_host_load(logits, t * p->ld + best))
                    best = e;
            taken[best] = true;
            ids[t * p->top_k + i] = best;
        }
        most = rt_host_load(logits, t * p->ld + ids[t * p->top_k]);
        for (uint32_t e = 0; e < p->n_experts; e++)
            sum += exp(rt_host_load(logits, t * p->ld + e) - most);
        rt_host_store(route, rows + 2 * t, most);
        rt_host_store(route, rows + 2 * t + 1, 1.0 / sum);
    }
}

void op_route_count_ref(const struct rt_host_call *call)
{
    const struct route_params *p = call->params;
    const uint32_t rows = p->n_tokens * p->top_k;
    uint32_t *index = call->bufs[0].data,
             *counts = index + ROUTE_COUNTS((size_t) rows, p->n_experts, p->n_tiles);

    for (uint64_t i = 0; i < div_up(rows, ROUTE_BLOCK) * p->n_experts; i++)
        counts[i] = 0;
    for (uint32_t i = 0; i < rows; i++)
        counts[(size_t) (i / ROUTE_BLOCK) * p->n_experts + index[ROUTE_IDS((size_t) rows) + i]]++;
}

void op_route_scan_ref(const struct rt_host_call *call)
{
    const struct route_params *p = call->params;
    const size_t rows = (size_t) p->n_tokens * p->top_k, blocks = div_up(rows, ROUTE_BLOCK);
    uint32_t *index = call->bufs[0].data,
             *counts = index + ROUTE_COUNTS(rows, p->n_experts, p->n_tiles),
             *tiles = index + ROUTE_TILES(rows, p->n_experts), at = 0, n = 0;

    for (uint32_t e = 0; e < p->n_experts; e++) {
        const uint32_t begin = at;
        for (size_t b = 0; b < blocks; b++) {
            const uint32_t count = counts[b * p->n_experts + e];
            counts[b * p->n_experts + e] = at;
            at += count;
        }
        index[ROUTE_STARTS(rows) + e] = begin;
        for (uint32_t r = begin; r < at; r += ROUTE_TILE, n++) {
            tiles[2 * (size_t) n] = e;
            tiles[2 * (size_t) n + 1] = r;
        }
    }
    index[ROUTE_STARTS(rows) + p->n_experts] = at;
    index[ROUTE_N_TILES(rows, p->n_experts)] = n;
}

void op_route_order_ref(const struct rt_host_call *call)
{
    const struct route_params *p = call->params;
    const size_t rows = (size_t) p->n_tokens * p->top_k;
    uint32_t *index = call->bufs[0].data,
             *counts = index + ROUTE_COUNTS(rows, p->n_experts, p->n_tiles);

    for (size_t b = 0; b < div_up(rows, ROUTE_BLOCK); b++)
        for (uint32_t e = 0; e < p->n_experts; e++) {
            uint32_t at = counts[b * p->n_experts + e];
            for (size_t i = b * ROUTE_BLOCK; i < rows && i < (b + 1) * ROUTE_BLOCK; i++)
                if (index[ROUTE_IDS(rows) + i] == e) {
                    index[at] = (uint32_t) (i / p->top_k);
                    index[ROUTE_PLACE(rows) + i] = at++;
                }
        }
}

// Probability of expert e of token t out of the routing.
static double probability(const struct route_params *p, const struct rt_host_call *call, uint64_t t,
                          uint64_t e)
{
    const uint64_t rows = (uint64_t) p->n_tokens * p->top_k;
    return exp(rt_host_load(&call->bufs[0], t * p->ld + e) -
               rt_host_load(&call->bufs[2], rows + 2 * t)) *
           rt_host_load(&call->bufs[2], rows + 2 * t + 1);
}

void op_route_weights_ref(const struct rt_host_call *call)
{
    const struct route_params *p = call->params;
    const size_t rows = (size_t) p->n_tokens * p->top_k;
    const uint32_t *index = call->bufs[1].data, *place = index + ROUTE_PLACE(rows),
                   *ids = index + ROUTE_IDS(rows);

    for (size_t t = 0; t < p->n_tokens; t++) {
        double sum = 0.0;
        for (size_t i = t * p->top_k; i < (t + 1) * p->top_k; i++)
            sum += probability(p, call, t, ids[i]);
        for (size_t i = t * p->top_k; i < (t + 1) * p->top_k; i++)
            rt_host_store(&call->bufs[2], place[i],
                          probability(p, call, t, ids[i]) / (p->norm ? sum : 1.0));
    }
}

void op_route_balance_ref(const struct rt_host_call *call)
{
    const struct route_params *p = call->params;
    const size_t rows = (size_t) p->n_tokens * p->top_k;
    const uint32_t *index = call->bufs[1].data, *counts = call->bufs[3].data;
    const struct rt_host_buf *sums = &call->bufs[4];

    for (size_t e = 0; e < p->n_experts; e++) {
        double picked = rt_host_load(sums, e), sum = rt_host_load(sums, p->n_experts + e);
        for (size_t t = 0; t < p->n_tokens; t++) {
            sum += counts[t] * probability(p, call, t, e);
            for (size_t i = 0; i < p->top_k; i++)
                picked += index[ROUTE_IDS(rows) + t * p->top_k + i] == e ? counts[t] : 0.0;
        }
        rt_host_store(sums, e, picked);
        rt_host_store(sums, p->n_experts + e, sum);
    }
}

// The gradient of token t's probabilities, and its mean.
static double slopes(const struct rt_host_call *call, size_t t, double *dp)
{
    const struct route_back_params *q = call->params;
    const struct route_params p = {.n_tokens = q->n_tokens, .top_k = q->top_k, .ld = q->ld};
    const size_t rows = (size_t) q->n_tokens * q->top_k;
    const uint32_t *index = call->bufs[1].data, *place = index + ROUTE_PLACE(rows),
                   *ids = index + ROUTE_IDS(rows), *counts = call->bufs[4].data;
    const struct rt_host_buf *route = &call->bufs[2], *droute = &call->bufs[3];
    const double factor = (double) q->factor;
    double dot = 0.0, share = 0.0, mean = 0.0;

    for (uint32_t e = 0; e < q->n_experts; e++)
        dp[e] = fabs(factor) > 0.0 ? factor * counts[t] * rt_host_load(&call->bufs[5], e) : 0.0;
    for (size_t i = t * q->top_k; i < (t + 1) * q->top_k; i++) {
        dot += rt_host_load(droute, place[i]) * rt_host_load(route, place[i]);
        share += probability(&p, call, t, ids[i]);
    }
    for (size_t i = t * q->top_k; i < (t + 1) * q->top_k; i++) {
        const double dw = rt_host_load(droute, place[i]);
        dp[ids[i]] += q->norm ? (dw - dot) / share : dw;
    }
    for (uint32_t e = 0; e < q->n_experts; e++)
        mean += probability(&p, call, t, e) * dp[e];
    return mean;
}

void op_route_back_ref(const struct rt_host_call *call)
{
    const struct route_back_params *q = call->params;
    const struct route_params p = {.n_tokens = q->n_tokens, .top_k = q->top_k, .ld = q->ld};

    for (size_t t = 0; t < q->n_tokens; t++) {
        double dp[OP_ROUTE_MAX_EXPERTS];
        const double mean = slopes(call, t, dp);
        for (size_t e = 0; e < q->ldd; e++)
            rt_host_store(&call->bufs[6], t * q->ldd + e,
                          e < q->n_experts ? probability(&p, call, t, e) * (dp[e] - mean) : 0.0);
    }
}

// ---- Dispatch ---------------------------------------------------------------------------------

static enum rt_err check(const struct op_route_args *a)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(a->n_experts >= 1 && a->n_experts <= OP_ROUTE_MAX_EXPERTS && a->top_k >= 1 &&
                   a->top_k <= a->n_experts,
               RT_E_ARG);
    RT_REQUIRE(a->n_tokens >= 1 && a->n_tokens < (1u << 30) / a->top_k, RT_E_ARG);
    RT_REQUIRE(a->ld % 8 == 0 && a->ld >= a->n_experts, RT_E_ARG);
    RT_REQUIRE(op_vec_holds(a->logits, (uint64_t) a->n_tokens * a->ld) &&
                   rt_buf_type(a->logits.buf) == RT_F32,
               RT_E_SHAPE);
    RT_REQUIRE(op_vec_holds(a->route, op_route_floats(a->n_tokens, a->top_k)) &&
                   rt_buf_type(a->route.buf) == RT_F32,
               RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->index, RT_U32, op_route_words(a->n_tokens, a->n_experts, a->top_k)),
               RT_E_SHAPE);
done:
    return err;
}

static struct route_params params_of(const struct op_route_args *a)
{
    return (struct route_params){.n_tokens = a->n_tokens,
                                 .n_experts = a->n_experts,
                                 .top_k = a->top_k,
                                 .ld = a->ld,
                                 .norm = a->renormalise,
                                 .n_tiles = op_route_tiles(a->n_tokens, a->n_experts, a->top_k)};
}

static struct rt_bind bind_logits(const struct op_route_args *a)
{
    return op_bind_rows(a->logits, a->ld, 0, a->n_tokens, RT_ACCESS_IN);
}

static struct rt_bind bind_route(const struct op_route_args *a, enum rt_access access)
{
    return (struct rt_bind){a->route.buf, access, a->route.first,
                            op_route_floats(a->n_tokens, a->top_k)};
}

static struct rt_bind bind_index(const struct op_route_args *a, enum rt_access access)
{
    return (struct rt_bind){a->index, access, 0,
                            op_route_words(a->n_tokens, a->n_experts, a->top_k)};
}

// Rows grouped by expert, out of the experts of the slots.
static enum rt_err group(struct rt_cmd *cmd, const struct op_route_args *a)
{
    enum rt_err err = RT_OK;
    const struct route_params p = params_of(a);
    const uint32_t lanes = op_groups(a->index, a->n_experts),
                   blocks = (uint32_t) div_up((uint64_t) a->n_tokens * a->top_k, ROUTE_BLOCK);
    static const char *const KERNELS[] = {"route_count", "route_scan", "route_order"};

    for (size_t i = 0; i < COUNT_OF(KERNELS); i++)
        RT_TRY(rt_cmd_dispatch(
            cmd, &(struct rt_dispatch_desc){.kernel = KERNELS[i],
                                            .groups = {i == 1 ? 1 : lanes, i == 1 ? 1 : blocks},
                                            .bufs = {bind_index(a, RT_ACCESS_INOUT)},
                                            .params = &p,
                                            .params_size = sizeof(p)}));
done:
    return err;
}

enum rt_err op_route(struct rt_cmd *cmd, const struct op_route_args *a)
{
    enum rt_err err = RT_OK;
    struct route_params p;

    RT_TRY(check(a));
    p = params_of(a);
    RT_TRY(rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){.kernel = "route_pick",
                                        .items = a->n_tokens,
                                        .bufs = {bind_logits(a), bind_index(a, RT_ACCESS_INOUT),
                                                 bind_route(a, RT_ACCESS_INOUT)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
    RT_TRY(group(cmd, a));
    RT_TRY(rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){.kernel = "route_weights",
                                        .items = a->n_tokens,
                                        .bufs = {bind_logits(a), bind_index(a, RT_ACCESS_IN),
                                                 bind_route(a, RT_ACCESS_INOUT)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
done:
    return err;
}

enum rt_err op_route_balance(struct rt_cmd *cmd, const struct op_route_args *a,
                             const struct rt_buf *counts, struct rt_buf *sums)
{
    enum rt_err err = RT_OK;
    struct route_params p;

    RT_TRY(check(a));
    RT_REQUIRE(rt_buf_holds(counts, RT_U32, a->n_tokens) &&
                   rt_buf_holds(sums, RT_F32, 2 * (uint64_t) a->n_experts),
               RT_E_SHAPE);
    p = params_of(a);
    RT_TRY(rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){.kernel = "route_balance",
                                        .items = a->n_experts,
                                        .bufs = {bind_logits(a), bind_index(a, RT_ACCESS_IN),
                                                 bind_route(a, RT_ACCESS_IN),
                                                 RT_IN_AT(counts, 0, a->n_tokens),
                                                 RT_INOUT_AT(sums, 0, 2 * (uint64_t) a->n_experts)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
done:
    return err;
}

enum rt_err op_route_backward(struct rt_cmd *cmd, const struct op_route_backward_args *b)
{
    enum rt_err err = RT_OK;
    const struct op_route_args *a = &b->of;
    const bool even = fabs(b->factor) > 0.0;
    struct route_params p;
    struct rt_bind counts, sums;

    RT_TRY(check(a));
    RT_REQUIRE(isfinite(b->factor) && b->ldd % 8 == 0 && b->ldd >= a->n_experts, RT_E_ARG);
    RT_REQUIRE(op_vec_holds(b->droute, (uint64_t) a->n_tokens * a->top_k) &&
                   rt_buf_type(b->droute.buf) == RT_F32 &&
                   op_vec_holds(b->dlogits, (uint64_t) a->n_tokens * b->ldd),
               RT_E_SHAPE);
    RT_REQUIRE(!even || (rt_buf_holds(b->counts, RT_U32, a->n_tokens) &&
                         rt_buf_holds(b->sums, RT_F32, a->n_experts)),
               RT_E_SHAPE);
    p = params_of(a);
    const struct route_back_params q = {p.n_tokens, p.n_experts, p.top_k, p.ld,
                                        p.norm,     p.n_tiles,   b->ldd,  (float) b->factor};
    counts = bind_index(a, RT_ACCESS_IN); // none: something must be bound
    sums = bind_route(a, RT_ACCESS_IN);
    if (even) {
        counts = (struct rt_bind) RT_IN_AT(b->counts, 0, a->n_tokens);
        sums = (struct rt_bind) RT_IN_AT(b->sums, 0, a->n_experts);
    }
    RT_TRY(rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){
                 .kernel = "route_back",
                 .items = a->n_tokens,
                 .bufs = {bind_logits(a),
                          bind_index(a, RT_ACCESS_IN),
                          bind_route(a, RT_ACCESS_IN),
                          {b->droute.buf, RT_ACCESS_IN, b->droute.first,
                           (uint64_t) a->n_tokens * a->top_k},
                          counts,
                          sums,
                          op_bind_rows(b->dlogits, b->ldd, 0, a->n_tokens, RT_ACCESS_OUT)},
                 .params = &q,
                 .params_size = sizeof(q)}));
done:
    return err;
}
