#include "src/op/act.h"

#include <math.h>

#include "src/base/arith.h"

const struct rt_kernel op_act_kernel =
    OP_KERNEL(act, "act.comp", ACT_BUFFERS, struct act_params, op_act_ref);
const struct rt_kernel op_act_gate_kernel =
    OP_KERNEL(act_gate, "act_gate.comp", ACT_GATE_BUFFERS, struct act_params, op_act_gate_ref);
const struct rt_kernel op_act_back_kernel =
    OP_KERNEL(act_back, "act_back.comp", ACT_BACK_BUFFERS, struct act_params, op_act_back_ref);
const struct rt_kernel op_act_gate_back_kernel =
    OP_KERNEL(act_gate_back, "act_gate_back.comp", ACT_GATE_BACK_BUFFERS, struct act_params,
              op_act_gate_back_ref);

// ---- Oracles ----------------------------------------------------------------------------------

struct op_act_value op_act_at(uint32_t act, double z)
{
    // exp(-z) = Inf is right here: 1 / Inf = 0
    const double pi = 3.14159265358979323846, s = 1.0 / (1.0 + exp(-z));
    if (act == OP_ACT_SILU)
        return (struct op_act_value){z * s, s * (1.0 + z * (1.0 - s))};
    if (act == OP_ACT_GELU_TANH) {
        // (1 + tanh(v)) / 2 = sigmoid(2v), which keeps its digits where tanh is near -1.
        const double c = 2.0 * sqrt(2.0 / pi);
        const double h = 1.0 / (1.0 + exp(-c * (z + 0.044715 * z * z * z)));
        return (struct op_act_value){z * h,
                                     h + z * h * (1.0 - h) * c * (1.0 + 3.0 * 0.044715 * z * z)};
    }
    const double phi = 0.5 * erfc(-z / sqrt(2.0));
    return (struct op_act_value){z * phi, phi + z * exp(-0.5 * z * z) / sqrt(2.0 * pi)};
}

static bool within(const struct act_params *p, uint64_t i)
{
    return i % p->ld < p->cols;
}

void op_act_ref(const struct rt_host_call *call)
{
    const struct act_params *p = call->params;

    for (uint64_t i = 0; i < (uint64_t) p->n_rows * p->ld; i++) {
        const double f = op_act_at(p->act_kind, rt_host_load(&call->bufs[0], i)).f;
        rt_host_store(&call->bufs[1], i, within(p, i) ? f : 0.0);
    }
}

void op_act_gate_ref(const struct rt_host_call *call)
{
    const struct act_params *p = call->params;

    for (uint64_t i = 0; i < (uint64_t) p->n_rows * p->ld; i++) {
        const double f = op_act_at(p->act_kind, rt_host_load(&call->bufs[0], i)).f;
        rt_host_store(&call->bufs[2], i, within(p, i) ? f * rt_host_load(&call->bufs[1], i) : 0.0);
    }
}

void op_act_back_ref(const struct rt_host_call *call)
{
    const struct act_params *p = call->params;

    for (uint64_t i = 0; i < (uint64_t) p->n_rows * p->ld; i++) {
        const double slope = op_act_at(p->act_kind, rt_host_load(&call->bufs[0], i)).slope;
        rt_host_store(&call->bufs[2], i,
                      within(p, i) ? rt_host_load(&call->bufs[1], i) * slope : 0.0);
    }
}

void op_act_gate_back_ref(const struct rt_host_call *call)
{
    const struct act_params *p = call->params;

    for (uint64_t i = 0; i < (uint64_t) p->n_rows * p->ld; i++) {
        const struct op_act_value v = op_act_at(p->act_kind, rt_host_load(&call->bufs[0], i));
        const double u = rt_host_load(&call->bufs[1], i), d = rt_host_load(&call->bufs[2], i);
        rt_host_store(&call->bufs[3], i, within(p, i) ? d * u * v.slope : 0.0);
        rt_host_store(&call->bufs[4], i, within(p, i) ? d * v.f : 0.0);
    }
}

// ---- Dispatch ---------------------------------------------------------------------------------

enum rt_err op_act_record(struct rt_cmd *cmd, const struct op_act_job *job)
{
    enum rt_err err = RT_OK;
    const struct act_params *whole = &job->params;
    struct op_grid grid;
    uint32_t step = UINT32_MAX;

    RT_REQUIRE(whole->n_rows >= 1 && whole->n_rows <= 1u << 30 &&
                   op_row_ok(whole->cols, whole->ld) && whole->act_kind < OP_ACT_COUNT,
               RT_E_ARG);
    for (uint32_t i = 0; i < job->n; i++) {
        const uint32_t ld = job->scalar[i] ? 1 : whole->ld;
        RT_REQUIRE(op_vec_holds(job->v[i], (uint64_t) whole->n_rows * ld), RT_E_SHAPE);
        RT_REQUIRE(!job->scalar[i] || rt_buf_type(job->v[i].buf) == RT_F32, RT_E_SHAPE);
        step = u32_min(step, op_vec_range_rows(job->v[i], ld));
    }
    RT_REQUIRE(step, RT_E_UNSUPPORTED);
    grid = job->sums ? (struct op_grid){1, op_row_lanes(job->v[0].buf), 2, 0}
                     : op_grid(job->v[job->n_in].buf, whole->ld);
    for (uint32_t t = 0; t < whole->n_rows; t += step) {
        struct act_params p = *whole;
        p.n_rows = u32_min(step, whole->n_rows - t);
        struct rt_dispatch_desc d = {.kernel = job->kernel,
                                     .groups = {grid.groups, p.n_rows},
                                     .group = {grid.group},
                                     .params = &p,
                                     .params_size = sizeof(p),
                                     .tune = {{"ACT", (int32_t) p.act_kind}, OP_GRID_TUNES(grid)}};
        for (uint32_t i = 0; i < job->n; i++)
            d.bufs[i] = op_bind_rows(job->v[i], job->scalar[i] ? 1 : p.ld, t, p.n_rows,
                                     i < job->n_in ? RT_ACCESS_IN : RT_ACCESS_OUT);
        RT_TRY(rt_cmd_dispatch(cmd, &d));
    }
done:
    return err;
}

enum rt_err op_act(struct rt_cmd *cmd, const struct op_act_args *a)
{
    const struct act_params p = {a->n_rows, a->cols, a->ld, (uint32_t) a->act};
    const struct op_act_job plain = {"act", {a->g, a->a}, {false}, 2, 1, false, p},
                            gated = {"act_gate", {a->g, a->u, a->a}, {false}, 3, 2, false, p};
    return op_act_record(cmd, a->u.buf ? &gated : &plain);
}

enum rt_err op_act_backward(struct rt_cmd *cmd, const struct op_act_backward_args *a)
{
    const struct act_params p = {a->n_rows, a->cols, a->ld, (uint32_t) a->act};
    const struct op_act_job
        plain = {"act_back", {a->g, a->da, a->dg}, {false}, 3, 2, false, p},
        gated = {"act_gate_back", {a->g, a->u, a->da, a->dg, a->du}, {false}, 5, 3, false, p};
    return op_act_record(cmd, a->u.buf ? &gated : &plain);
}
