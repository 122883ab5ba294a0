// What runtime/rt.h promises of devices, commands and kernels, on every device.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/rt.h"
#include "shaders/probe.h"
#include "src/base/arith.h"
#include "src/op/cast.h"
#include "src/op/loss.h"
#include "tests/t.h"

OP_PARAMS(probe, PROBE_PARAMS);

enum { MOST_KERNELS = 128, FACTOR = 3 };

// The host has no grid of its own: its kernels do all of it.
static void probe_ref(const struct rt_host_call *call)
{
    const struct probe_params *p = call->params;
    uint32_t *y = call->bufs[0].data;
    for (uint32_t i = 0; i < call->bufs[0].count; i++)
        y[i] = y[i] * FACTOR + i + p->salt;
}

static const struct rt_kernel PROBE =
    OP_KERNEL(probe, "probe.comp", PROBE_BUFFERS, struct probe_params, probe_ref);
static const struct rt_kernel NO_SOURCE = {.name = "no_source"};

static const struct rt_kernel *const *kernels(void)
{
    static const struct rt_kernel *table[MOST_KERNELS + 3];
    size_t n = 0;
    for (const struct rt_kernel *const *k = op_kernels(); *k && n < MOST_KERNELS; k++)
        table[n++] = *k;
    table[n++] = &PROBE;
    table[n] = &NO_SOURCE;
    return table;
}

static struct rt_dev *open_with(struct t *t, const struct rt_clamp *clamp)
{
    struct rt_dev *dev;
    T_OK(rt_dev_open(&(struct rt_dev_desc){.name = t_name(t),
                                           .kernels = kernels(),
                                           .clamp = clamp ? *clamp : (struct rt_clamp){0}},
                     &dev));
    return dev;
}

static void close_dev(struct t *t, struct rt_dev **dev)
{
    t_reset(t); // its buffers go first
    rt_dev_close(dev);
    assert_null(*dev);
}

// ---- Devices ----------------------------------------------------------------------------------

static void opens(struct t *t, struct rt_dev *dev)
{
    const struct rt_plan *p = rt_dev_plan(dev);
    struct rt_dev *again = NULL;
    struct rt_dev_desc desc = {.name = rt_dev_id(dev), .kernels = kernels()};

    (void) t;
    assert_true(p->caps.name[0] && p->caps.driver[0] && p->caps.version[0]);
    assert_int_equal(strncmp(rt_dev_id(dev), p->caps.api, strlen(p->caps.api)), 0);
    assert_int_equal(p->group, 64);
    assert_true(p->range_bytes % 256 == 0 && p->range_bytes >= 1u << 20);
    assert_true(p->caps.memory_bytes > 0 && p->caps.group_count[0] > 0 &&
                p->caps.offset_align_bytes > 0);
    T_OK(rt_dev_open(&desc, &again)); // two at once, by its id
    assert_string_equal(rt_dev_id(again), rt_dev_id(dev));
    rt_dev_close(&again);
    rt_dev_close(&again); // NULL
    desc.kernels = NULL;
    T_ERR(RT_E_ARG, rt_dev_open(&desc, &again));
    assert_null(again);
}

// ---- Commands ---------------------------------------------------------------------------------

static struct rt_cmd *cmd_of(struct rt_dev *dev)
{
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(dev, &cmd));
    return cmd;
}

static struct rt_dispatch_desc cast_desc(const struct rt_buf *x, struct rt_buf *y,
                                         const struct cast_params *p)
{
    return (struct rt_dispatch_desc){.kernel = "cast",
                                     .items = p->n / 2,
                                     .bufs = {RT_IN(x), RT_OUT(y)},
                                     .params = p,
                                     .params_size = sizeof(*p)};
}

static void cast(struct rt_cmd *cmd, const struct rt_buf *x, struct rt_buf *y, uint32_t n)
{
    const struct rt_dispatch_desc d = cast_desc(x, y, &(struct cast_params){n, 1.0f});
    T_OK(rt_cmd_dispatch(cmd, &d));
}

// Three buffers handed round through a fourth: each step reads what the last one wrote and
// overwrites what it read. An order that is not kept mixes their contents.
static void rotates(struct t *t, struct rt_dev *dev, int rounds)
{
    enum { N = 3000 };
    double *x[3], *got = t_alloc(t, N * sizeof(*got));
    struct rt_buf *b[4];
    struct rt_cmd *cmd = cmd_of(dev);

    for (int i = 0; i < 3; i++) {
        x[i] = t_uniform(t, N, i, i + 1);
        t_round(x[i], N, RT_F32);
        b[i] = t_buf(t, dev, RT_F32, x[i], N);
    }
    b[3] = t_zeros(t, dev, RT_F32, N);
    for (int r = 0; r < rounds; r++) {
        cast(cmd, b[2], b[3], N);
        cast(cmd, b[1], b[2], N);
        if (r % 16 == 3)
            T_OK(rt_cmd_copy(cmd, b[0], 0, b[1], 0, N));
        else
            cast(cmd, b[0], b[1], N);
        if (r % 100 == 50)
            T_OK(rt_cmd_submit(cmd));
        cast(cmd, b[3], b[0], N);
        if (r % 7 == 5)
            T_OK(rt_cmd_zero(cmd, b[3], 0, N));
    }
    T_OK(rt_cmd_wait(&cmd));
    for (int i = 0; i < 3; i++) {
        T_OK(rt_buf_read(b[(i + rounds) % 3], 0, N, RT_F64, got));
        assert_memory_equal(got, x[i], N * sizeof(*got));
    }
    t_reset(t);
}

// ---- Grids ------------------------------------------------------------------------------------

static void probe(struct rt_cmd *cmd, struct rt_buf *y, const uint32_t groups[3],
                  const uint32_t group[2], uint32_t salt, double flops)
{
    const struct probe_params p = {groups[0], groups[1], salt};
    T_OK(
        rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){.kernel = "probe",
                                                        .groups = {groups[0], groups[1], groups[2]},
                                                        .group = {group[0], group[1]},
                                                        .bufs = {RT_INOUT(y)},
                                                        .params = &p,
                                                        .params_size = sizeof(p),
                                                        .flops = flops}));
}

// Two runs of a grid: every lane of it ran exactly twice, in its place.
static void grid(struct t *t, struct rt_dev *dev, const uint32_t groups[3], const uint32_t group[2],
                 double flops)
{
    const uint64_t n = (uint64_t) groups[0] * groups[1] * groups[2] * group[0] * group[1];
    struct rt_buf *y = t_zeros(t, dev, RT_U32, n);
    uint32_t *got = t_alloc(t, n * sizeof(*got));
    struct rt_cmd *cmd = cmd_of(dev);

    probe(cmd, y, groups, group, 5, flops);
    probe(cmd, y, groups, group, 11, flops);
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(y, 0, n, RT_U32, got));
    for (uint32_t i = 0; i < n; i++)
        if (got[i] != (i + 5) * FACTOR + i + 11)
            fail_msg("grid %u x %u x %u of groups %u x %u on %s: lane %u: got %u", groups[0],
                     groups[1], groups[2], group[0], group[1], t_name(t), i, got[i]);
    t_reset(t);
}

static void grids(struct t *t, struct rt_dev *dev)
{
    static const struct {
        uint32_t groups[3], group[2];
        double flops;
    } ROWS[] = {
        {{1, 1, 1}, {64, 1}, 0},    {{3, 5, 7}, {64, 1}, 0},    {{5, 3, 2}, {8, 4}, 0},
        {{70001, 1, 1}, {1, 1}, 0}, {{1, 70001, 1}, {1, 1}, 0}, {{1, 1, 70001}, {1, 1}, 0},
        {{2, 65536, 1}, {2, 1}, 0}, {{13, 7, 5}, {8, 1}, 1e13}, {{97, 1, 1}, {64, 1}, 1e14},
        {{1, 1, 1}, {64, 2}, 1e15},
    };
    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        grid(t, dev, ROWS[i].groups, ROWS[i].group, ROWS[i].flops);
}

// A chain of updates that do not commute, while a second command is open on the device.
static void chain(struct t *t, struct rt_dev *dev, uint32_t steps)
{
    enum { N = 256 };
    const uint32_t groups[3] = {2, 2, 1}, group[2] = {64, 1};
    uint32_t got[N], want;
    struct rt_buf *y = t_zeros(t, dev, RT_U32, N), *z = t_zeros(t, dev, RT_U32, N);
    struct rt_cmd *cmd = cmd_of(dev), *other = cmd_of(dev);

    for (uint32_t s = 0; s < steps; s++) {
        probe(cmd, y, groups, group, s, 0);
        if (s % 10 == 0)
            probe(other, z, groups, group, s, 0);
    }
    T_OK(rt_cmd_submit(cmd));
    T_OK(rt_cmd_submit(cmd)); // nothing is left to hand over
    T_OK(rt_cmd_wait(&other));
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(y, 0, N, RT_U32, got));
    for (uint32_t i = 0; i < N; i++) {
        want = 0;
        for (uint32_t s = 0; s < steps; s++)
            want = want * FACTOR + i + s;
        assert_int_equal(got[i], want);
    }
    T_OK(rt_buf_read(z, 0, N, RT_U32, got));
    for (uint32_t i = 0; i < N; i++) {
        want = 0;
        for (uint32_t s = 0; s < steps; s += 10)
            want = want * FACTOR + i + s;
        assert_int_equal(got[i], want);
    }
    t_reset(t);
}

// Slices of both sides, many of them distinct; what lies outside stays as it was.
static void slices(struct t *t, struct rt_dev *dev, enum rt_type from, enum rt_type to)
{
    enum { STEP = 128, SLICES = 40, N = STEP * SLICES + 6 };
    double *x = t_uniform(t, N, -3, 3), *want = t_alloc(t, N * sizeof(*want));
    struct rt_buf *a, *b = t_output(t, dev, to, N);
    const struct cast_params p = {64, 1.0f};

    t_round(x, N, from);
    a = t_buf(t, dev, from, x, N);
    memcpy(want, x, N * sizeof(*want));
    t_round(want, N, to);
    for (int twice = 0; twice < 2; twice++) {
        struct rt_cmd *cmd = cmd_of(dev);
        for (uint64_t i = 0; i < SLICES;
             i++) // slice i of x becomes slice (i * 7) mod 40 of y, its first half
            T_OK(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){
                                          .kernel = "cast",
                                          .items = 32,
                                          .params = &p,
                                          .params_size = sizeof(p),
                                          .bufs = {RT_IN_AT(a, i * STEP, STEP),
                                                   RT_OUT_AT(b, i * 7 % SLICES * STEP, STEP)}}));
        T_OK(rt_cmd_dispatch(cmd,
                             &(struct rt_dispatch_desc){// count 0: up to the end
                                                        .kernel = "cast",
                                                        .items = 3,
                                                        .params = &(struct cast_params){6, 1.0f},
                                                        .params_size = sizeof(p),
                                                        .bufs = {RT_IN_AT(a, SLICES * STEP, 0),
                                                                 RT_OUT_AT(b, SLICES * STEP, 0)}}));
        T_OK(rt_cmd_wait(&cmd));
    }
    double *got = t_alloc(t, rt_buf_count(b) * sizeof(*got));
    T_OK(rt_buf_read(b, 0, rt_buf_count(b), RT_F64, got));
    for (uint64_t i = 0; i < SLICES; i++)
        for (uint64_t j = 0; j < STEP; j++) {
            const double g = got[i * 7 % SLICES * STEP + j];
            assert_true(j < 64 ? g == want[i * STEP + j] : isnan(g));
        }
    assert_memory_equal(got + SLICES * STEP, want + SLICES * STEP, 6 * sizeof(*got));
    assert_true(isnan(got[N]) && isnan(got[N + T_GUARD - 1]));
    t_reset(t);
}

// ---- Errors -----------------------------------------------------------------------------------

#define REFUSES(code, text, change)                                                                \
    {                                                                                              \
        d = good;                                                                                  \
        change;                                                                                    \
        const enum rt_err got_ = rt_cmd_dispatch(cmd, &d);                                         \
        const char *log_ = t_logged();                                                             \
        if (got_ != (code) || !strstr(log_, text))                                                 \
            fail_msg("%s: expected %s with \"%s\", found %s: %s", #change, rt_err_name(code),      \
                     text, rt_err_name(got_), log_);                                               \
    }

static void refuses(struct t *t, struct rt_dev *dev, struct rt_dev *foreign)
{
    const struct cast_params p = {64, 1.0f};
    double *ones = t_uniform(t, 512, 1, 1);
    struct rt_buf *x = t_buf(t, dev, RT_F32, ones, 512), *y = t_zeros(t, dev, RT_F16, 512);
    struct rt_buf *u = t_zeros(t, dev, RT_U32, 512), *far = t_zeros(t, foreign, RT_F16, 512);
    struct rt_cmd *cmd = cmd_of(dev);
    const struct rt_dispatch_desc good = cast_desc(x, y, &p);
    struct rt_dispatch_desc d;

    t_logged();
    REFUSES(RT_E_ARG, "no_such", d.kernel = "no_such");
    REFUSES(RT_E_ARG, "bytes of parameters", d.params_size = 12);
    REFUSES(RT_E_ARG, "missing", d.bufs[1].buf = NULL);
    REFUSES(RT_E_ARG, "another device", d.bufs[1].buf = far);
    REFUSES(RT_E_ARG, "takes 2 buffers", d.bufs[2] = d.bufs[1]);
    REFUSES(RT_E_ARG, "found u32", d.bufs[0].buf = u);
    REFUSES(RT_E_ARG, "access", d.bufs[1].access = RT_ACCESS_INOUT);
    REFUSES(RT_E_ARG, "not aligned", d.bufs[0].first = 32);
    REFUSES(RT_E_ARG, "not aligned", d.bufs[1].first = 64); // 128 bytes of f16
    REFUSES(RT_E_ARG, "out of range", d.bufs[0].first = 1024);
    REFUSES(RT_E_ARG, "out of range", (d.bufs[0].first = 64, d.bufs[0].count = 449));
    REFUSES(RT_E_ARG, "requirement", d.items = 0);
    REFUSES(RT_E_ARG, "requirement", d.groups[0] = 1); // both items and groups
    REFUSES(RT_E_UNSUPPORTED, "group of",
            d.group[0] = rt_dev_plan(dev)->caps.group_invocations + 1);
    REFUSES(RT_E_UNSUPPORTED, "no_source",
            (d = (struct rt_dispatch_desc){.kernel = "no_source", .items = 1, .params = &p}));
    T_OK(rt_cmd_wait(&cmd)); // nothing was appended
    double got[512], zero[512] = {0};
    T_OK(rt_buf_read(y, 0, 512, RT_F64, got));
    assert_memory_equal(got, zero, sizeof(zero));
    t_reset(t);
}

// A text that no compiler takes: the message names the kernel and gives the compiler's words.
static void does_not_compile(struct t *t, struct rt_dev *dev)
{
    struct rt_buf *y = t_zeros(t, dev, RT_U32, 64);
    struct rt_cmd *cmd = cmd_of(dev);
    const struct probe_params p = {1, 1, 0};
    const struct rt_dispatch_desc good = {.kernel = "probe",
                                          .items = 64,
                                          .params = &p,
                                          .params_size = sizeof(p),
                                          .bufs = {RT_INOUT(y)}};
    struct rt_dispatch_desc d;

    t_logged();
    for (int twice = 0; twice < 2 && !t_on_host(t); twice++) {
        REFUSES(RT_E_COMPILE, "probe", d.tune[0] = ((struct rt_tune){"void", 7}));
        REFUSES(RT_E_COMPILE, "error", d.tune[0] = ((struct rt_tune){"void", 7}));
    }
    T_OK(rt_cmd_dispatch(cmd, &good));
    T_OK(rt_cmd_wait(&cmd));
    t_reset(t);
}

static void empty_commands(struct rt_dev *dev)
{
    struct rt_cmd *cmd = NULL;
    rt_cmd_destroy(&cmd); // NULL
    cmd = cmd_of(dev);
    rt_cmd_destroy(&cmd); // nothing recorded
    assert_null(cmd);
    cmd = cmd_of(dev);
    T_OK(rt_cmd_submit(cmd));
    T_OK(rt_cmd_submit(cmd));
    T_OK(rt_cmd_wait(&cmd));
    cmd = cmd_of(dev);
    T_OK(rt_cmd_wait(&cmd));
}

// ---- What is taken away -----------------------------------------------------------------------

static void memory_limit(struct t *t)
{
    struct rt_dev *dev = open_with(t, &(struct rt_clamp){.memory_bytes = 1 << 20});
    struct rt_buf *a, *b = NULL;
    T_OK(rt_buf_create(dev, RT_F32, 200000, "first", &a));
    t_logged();
    assert_int_equal(rt_buf_create(dev, RT_F16, 200000, "second", &b), RT_E_DEVMEM);
    assert_null(b);
    const char *log = t_logged();
    assert_true(strstr(log, "second") && strstr(log, "390.62 KiB") && strstr(log, "781.25 KiB"));
    rt_buf_destroy(&a);
    T_OK(rt_buf_create(dev, RT_F16, 200000, "second", &b));
    rt_buf_destroy(&b);
    close_dev(t, &dev);
}

static void other_limits(struct t *t)
{
    struct rt_dev *dev = NULL;
    struct rt_dev_desc desc = {
        .name = t_name(t), .kernels = kernels(), .clamp = {.group_invocations = 64}};
    T_ERR(RT_E_UNSUPPORTED, rt_dev_open(&desc, &dev));
    desc.clamp = (struct rt_clamp){.shared_bytes = 8192};
    T_ERR(RT_E_UNSUPPORTED, rt_dev_open(&desc, &dev));
    assert_null(dev);

    dev = open_with(t, &(struct rt_clamp){
                           .group_invocations = 128, .range_bytes = 1 << 20, .no_subgroups = true});
    struct rt_buf *x = t_zeros(t, dev, RT_F32, 300000), *y = t_zeros(t, dev, RT_F32, 300000);
    struct rt_cmd *cmd = cmd_of(dev);
    const struct rt_dispatch_desc good = cast_desc(x, y, &(struct cast_params){300000, 1.0f});
    struct rt_dispatch_desc d;
    t_logged();
    assert_int_equal(rt_dev_plan(dev)->caps.subgroup_size, 0);
    REFUSES(RT_E_UNSUPPORTED, "bytes bound", );
    REFUSES(RT_E_UNSUPPORTED, "group of",
            (d.bufs[0].count = d.bufs[1].count = 64, d.group[0] = 256));
    T_OK(op_cast(cmd, &(struct op_cast_args){.x = x, .y = y, .n = 300000})); // in pieces
    T_OK(rt_cmd_wait(&cmd));
    close_dev(t, &dev);
}

static void every_rung_off(struct t *t)
{
    struct rt_dev *dev = open_with(t, &(struct rt_clamp){.disable = UINT32_MAX});
    assert_int_equal(rt_dev_plan(dev)->rungs, 0);
    rotates(t, dev, 20);
    slices(t, dev, RT_F32, RT_BF16);
    close_dev(t, &dev);
}

// ---- Counters, bits ---------------------------------------------------------------------------

static void counts(struct t *t)
{
    struct rt_dev *dev = open_with(t, NULL);
    struct rt_stats s = rt_dev_stats(dev);
    struct rt_buf *x, *y, *h;
    const struct probe_params p = {1, 1, 0};
    struct rt_dispatch_desc d = {
        .kernel = "probe", .items = 64, .params = &p, .params_size = sizeof(p)};

    assert_true(s.allocs == 0 && s.bytes == 0 && s.dispatches == 0 &&
                s.compiles + s.cache_hits == 0);
    T_OK(rt_buf_create(dev, RT_F32, 100, "x", &x));
    T_OK(rt_buf_create(dev, RT_F32, 100, "y", &y));
    T_OK(rt_buf_create(dev, RT_F16, 101, "h", &h));
    s = rt_dev_stats(dev);
    assert_true(s.allocs == 3 && s.bytes == 800 + 204 && s.peak_bytes == s.bytes);
    struct rt_cmd *cmd = cmd_of(dev);
    for (int i = 0; i < 5; i++)
        cast(cmd, x, y, 100);
    cast(cmd, x, h, 100);
    T_OK(rt_cmd_wait(&cmd));
    s = rt_dev_stats(dev);
    assert_true(s.dispatches == 6 && s.submits >= 1);
    assert_int_equal(s.compiles + s.cache_hits, t_on_host(t) ? 0 : 2); // one for each pair of types
    assert_int_equal(s.allocs, 3);                                     // running takes nothing
    rt_buf_destroy(&h);
    s = rt_dev_stats(dev);
    assert_true(s.bytes == 800 && s.peak_bytes == 1004);
    rt_buf_destroy(&x);
    rt_buf_destroy(&y);

    T_OK(rt_buf_create(dev, RT_U32, 64, "lanes", &y)); // tunes make kernels of their own
    cmd = cmd_of(dev);
    d.bufs[0] = (struct rt_bind) RT_INOUT(y);
    for (int32_t f = 2; f < 12; f++) {
        d.tune[0] = (struct rt_tune){"FACTOR", f / 2};
        T_OK(rt_cmd_dispatch(cmd, &d));
    }
    T_OK(rt_cmd_wait(&cmd));
    s = rt_dev_stats(dev);
    if (!t_on_host(t)) {
        uint32_t got[64], want = 0;
        T_OK(rt_buf_read(y, 0, 64, RT_U32, got));
        for (uint32_t f = 2; f < 12; f++)
            want = want * (f / 2) + 63;
        assert_int_equal(got[63], want);
        assert_int_equal(s.compiles + s.cache_hits, 2 + 5);
    }
    rt_buf_destroy(&y);
    close_dev(t, &dev);
}

static void same_bits(struct t *t, struct rt_dev *dev)
{
    enum { N = 5000 };
    double *x = t_normal(t, 4 * N, 30.0);
    struct rt_buf *logp = t_buf(t, dev, RT_F32, x, 2 * N),
                  *ref = t_buf(t, dev, RT_F32, x + 2 * N, 2 * N),
                  *partner = t_buf_u32(t, dev, t_alloc(t, 2 * N * sizeof(uint32_t)), 2 * N);
    const struct op_loss_spec sigmoid = {0};
    float *first = t_alloc(t, 3 * N * sizeof(*first)), *again = t_alloc(t, 3 * N * sizeof(*again));

    for (int run = 0; run < 4; run++) {
        struct rt_buf *loss = t_zeros(t, dev, RT_F32, N), *d = t_zeros(t, dev, RT_F32, 2 * N);
        struct rt_cmd *cmd = cmd_of(dev);
        float *to = run ? again : first;
        T_OK(op_loss(cmd, &(struct op_loss_args){.spec = &sigmoid,
                                                 .logp = logp,
                                                 .ref_logp = ref,
                                                 .len = ref,
                                                 .partner = partner,
                                                 .loss = loss,
                                                 .dlogp = d,
                                                 .n_pairs = N,
                                                 .beta = 0.1,
                                                 .grad_scale = 1.0}));
        T_OK(rt_cmd_wait(&cmd));
        T_OK(rt_buf_read(loss, 0, N, RT_F32, to));
        T_OK(rt_buf_read(d, 0, 2 * N, RT_F32, to + N));
        if (run)
            assert_memory_equal(first, again, 3 * N * sizeof(*first));
    }
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_dev *dev = open_with(t, NULL), *second = open_with(t, NULL);
    opens(t, dev);
    empty_commands(dev);
    rotates(t, dev, 500); // 2000 runs without a wait
    grids(t, dev);
    chain(t, dev, 1000);
    slices(t, dev, RT_F32, RT_F16);
    slices(t, dev, RT_F16, RT_F32);
    slices(t, dev, RT_F32, RT_F32);
    refuses(t, dev, second);
    does_not_compile(t, dev);
    same_bits(t, dev);
    close_dev(t, &second);
    close_dev(t, &dev);
    memory_limit(t);
    other_limits(t);
    every_rung_off(t);
    counts(t);
}

int main(void)
{
    return t_each_device(body);
}
