// What only the Vulkan backend has: memory types, arenas, the staging buffer, cut grids.
#include "tests/t.h"

#if __has_include(<volk.h>)

#include <string.h>

#include "runtime/vulkan/internal.h"
#include "shaders/probe.h"
#include "src/base/arith.h"
#include "src/op/cast.h"
#include "src/op/op.h"

// ---- Memory types ------------------------------------------------------------------------------

// Not linked when the backend is switched off.
__attribute__((weak)) uint32_t rtvk_buffer_memory(const VkPhysicalDeviceMemoryProperties *m,
                                                  uint32_t allowed, bool unified);
__attribute__((weak)) uint32_t rtvk_staging_memory(const VkPhysicalDeviceMemoryProperties *m,
                                                   uint32_t allowed);

enum {
    LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
    HOST = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
    CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
    LAZY = VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT,
    AMD = VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD,
};

static const struct {
    const char *name;
    bool unified;
    VkPhysicalDeviceMemoryProperties memory;
    uint32_t allowed, buffer, staging;
} MEMORIES[] = {
    {"NVIDIA, resizable BAR",
     false,
     {5,
      {{0, 1}, {LOCAL, 0}, {HOST, 1}, {HOST | CACHED, 1}, {LOCAL | HOST, 0}},
      2,
      {{12ull << 30, 0}, {32ull << 30, 0}}},
     0x1f,
     1,
     3},
    {"AMD, 256 MiB BAR",
     false,
     {5,
      {{LOCAL | AMD, 0}, {LOCAL, 0}, {HOST, 1}, {LOCAL | HOST, 2}, {HOST | CACHED, 1}},
      3,
      {{8ull << 30, 0}, {32ull << 30, 0}, {256ull << 20, 0}}},
     0x1f,
     1,
     4},
    {"AMD APU",
     true,
     {4,
      {{LOCAL, 0}, {LOCAL | HOST, 0}, {LOCAL | HOST, 1}, {HOST | CACHED, 1}},
      2,
      {{1ull << 30, 0}, {12ull << 30, 0}}},
     0xf,
     2,
     3},
    {"Intel",
     true,
     {2, {{LOCAL | HOST, 0}, {LOCAL | HOST | CACHED, 0}}, 1, {{24ull << 30, 0}}},
     0x3,
     1,
     1},
    {"Mali, without coherent caches",
     true,
     {3,
      {{LOCAL | HOST, 0},
       {LOCAL | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | CACHED, 0},
       {LOCAL | LAZY, 0}},
      1,
      {{6ull << 30, 0}}},
     0x7,
     0,
     0},
    {"a type that buffers may not have",
     true,
     {2, {{LOCAL | HOST | CACHED, 0}, {LOCAL | HOST, 0}}, 1, {{1ull << 30, 0}}},
     0x2,
     1,
     1},
    {"nothing local to the device", false, {1, {{HOST, 0}}, 1, {{1ull << 30, 0}}}, 0x1, 0, 0},
    {"null hardware", false, {0}, 0, UINT32_MAX, UINT32_MAX},
};

static void memory_types(void)
{
    for (size_t i = 0; i < COUNT_OF(MEMORIES) && rtvk_buffer_memory; i++) {
        const uint32_t b =
            rtvk_buffer_memory(&MEMORIES[i].memory, MEMORIES[i].allowed, MEMORIES[i].unified);
        const uint32_t s = rtvk_staging_memory(&MEMORIES[i].memory, MEMORIES[i].allowed);
        if (b != MEMORIES[i].buffer || s != MEMORIES[i].staging)
            fail_msg("%s: buffers in type %u, staging in %u", MEMORIES[i].name, b, s);
    }
}

// ---- Contents larger than the staging buffer ---------------------------------------------------

static struct rt_dev *open_with(struct t *t, struct rt_clamp clamp)
{
    struct rt_dev *dev;
    T_OK(rt_dev_open(
        &(struct rt_dev_desc){.name = t_name(t), .kernels = op_kernels(), .clamp = clamp}, &dev));
    return dev;
}

static void staging(struct t *t)
{
    enum {
        N = 5 * RTVK_STAGING / 8 / 4 + 1,
        OFF = 12345
    }; // five chunks at least, the last one short
    struct rt_dev *dev = open_with(t, (struct rt_clamp){.disable = RT_RUNG_UNIFIED});
    uint32_t *x = t_alloc(t, N * sizeof(*x)), *y = t_alloc(t, (N + 2 * OFF) * sizeof(*y));
    struct rt_buf *b = t_zeros(t, dev, RT_U32, N + 2 * OFF);

    assert_false(((struct rtvk_dev *) dev)->mapped);
    for (uint32_t i = 0; i < N; i++)
        x[i] = i * 2654435761u + 1u;
    T_OK(rt_buf_write(b, OFF, N, RT_U32, x));
    T_OK(rt_buf_read(b, 0, N + 2 * OFF, RT_U32, y));
    assert_memory_equal(x, y + OFF, N * sizeof(*x));
    for (uint32_t i = 0; i < OFF; i++)
        assert_true(y[i] == 0 && y[OFF + N + i] == 0);
    T_OK(rt_buf_read(b, OFF + 7, N - 7, RT_U32, y)); // and from an odd place
    assert_memory_equal(x + 7, y, (N - 7) * sizeof(*x));
    t_reset(t);
    rt_dev_close(&dev);
}

// ---- Arenas ------------------------------------------------------------------------------------

static bool all_zero(struct t *t, struct rt_buf *b)
{
    const uint64_t n = rt_buf_count(b);
    uint32_t *x = t_alloc(t, n * sizeof(*x));
    T_OK(rt_buf_read(b, 0, n, RT_U32, x));
    for (uint64_t i = 0; i < n; i++)
        if (x[i])
            return false;
    return true;
}

static void fill(struct t *t, struct rt_buf *b, uint32_t value)
{
    const uint64_t n = rt_buf_count(b);
    uint32_t *x = t_alloc(t, n * sizeof(*x));
    for (uint64_t i = 0; i < n; i++)
        x[i] = value;
    T_OK(rt_buf_write(b, 0, n, RT_U32, x));
}

// Does every word of b hold value? Then no other buffer lies over it.
static bool holds(struct t *t, struct rt_buf *b, uint32_t value)
{
    const uint64_t n = rt_buf_count(b);
    uint32_t *x = t_alloc(t, n * sizeof(*x));
    T_OK(rt_buf_read(b, 0, n, RT_U32, x));
    for (uint64_t i = 0; i < n; i++)
        if (x[i] != value)
            return false;
    return true;
}

// Buffers come and go in a random order in arenas of 1 MiB; none overlaps another, all begin as
// zeros.
static void arenas(struct t *t, uint32_t disable)
{
    enum { SLOTS = 24, ROUNDS = 400 };
    struct rt_dev *dev =
        open_with(t, (struct rt_clamp){.alloc_bytes = 1 << 20, .disable = disable});
    struct rtvk_dev *d = (struct rtvk_dev *) dev;
    struct rt_buf *b[SLOTS] = {0};
    uint32_t value[SLOTS], seed = 1;

    for (uint32_t round = 1; round <= ROUNDS; round++) {
        const uint32_t r = (seed = seed * 1664525u + 1013904223u) >> 8, i = r % SLOTS;
        if (b[i]) {
            assert_true(holds(t, b[i], value[i]));
            rt_buf_destroy(&b[i]);
        } else {
            T_OK(rt_buf_create(dev, RT_U32, 1 + r / SLOTS % 100000, "piece", &b[i]));
            assert_true(all_zero(t, b[i]));
            fill(t, b[i], value[i] = round);
        }
        if (round % 16 == 0)
            t_reset(t); // host memory of the comparisons
    }
    assert_true(d->arena_total >= dev->stats.bytes && d->arena_total < 3 * dev->stats.bytes);
    for (int i = 0; i < SLOTS; i++)
        rt_buf_destroy(&b[i]);
    assert_null(d->arenas); // all merged and given back
    assert_int_equal(d->arena_total, 0);

    T_OK(rt_buf_create(dev, RT_U32, 1 << 18, "all of it", &b[0])); // exactly the limit
    rt_buf_destroy(&b[0]);
    t_logged();
    assert_int_equal(rt_buf_create(dev, RT_U32, (1 << 18) + 1, "too big", &b[0]), RT_E_DEVMEM);
    assert_non_null(
        strstr(t_logged(), "too big needs 1.00 MiB at once, the device's limit is 1.00 MiB"));
    assert_null(b[0]);
    rt_dev_close(&dev);
}

// ---- Two commands ------------------------------------------------------------------------------

// Work of two open commands runs in the order of the calls, whichever is submitted first.
static void order_of_calls(struct t *t)
{
    struct rt_dev *dev = open_with(t, (struct rt_clamp){0});
    struct rt_buf *a = t_buf(t, dev, RT_F32, (const double[]){1, 2}, 2),
                  *b = t_zeros(t, dev, RT_F32, 2);
    struct rt_cmd *first, *second;
    double got[2];

    T_OK(rt_cmd_create(dev, &first));
    T_OK(rt_cmd_create(dev, &second));
    T_OK(rt_cmd_copy(first, a, 0, b, 0, 2));  // b = 1 2
    T_OK(rt_cmd_zero(second, a, 0, 1));       // a = 0 2
    T_OK(rt_cmd_copy(first, a, 0, b, 1, 1));  // b = 1 0
    T_OK(rt_cmd_copy(second, b, 1, a, 1, 1)); // a = 0 0
    T_OK(rt_cmd_wait(&second));
    T_OK(rt_cmd_wait(&first));
    T_OK(rt_buf_read(b, 0, 2, RT_F64, got));
    assert_true(got[0] == 1.0 && got[1] == 0.0);
    T_OK(rt_buf_read(a, 0, 2, RT_F64, got));
    assert_true(got[0] == 0.0 && got[1] == 0.0);
    t_reset(t);
    rt_dev_close(&dev);
}

// Work that was not submitted is gone with its command, though another one follows.
static void dropped(struct t *t)
{
    struct rt_dev *dev = open_with(t, (struct rt_clamp){0});
    struct rt_buf *a = t_buf(t, dev, RT_F32, (const double[]){1, 2}, 2);
    struct rt_cmd *cmd;
    double got[2];

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(rt_cmd_zero(cmd, a, 0, 2));
    rt_cmd_destroy(&cmd);
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(rt_cmd_copy(cmd, a, 0, a, 1, 1));
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(a, 0, 2, RT_F64, got));
    assert_true(got[0] == 1.0 && got[1] == 1.0);
    t_reset(t);
    rt_dev_close(&dev);
}

// ---- Cut grids ---------------------------------------------------------------------------------

OP_PARAMS(probe, PROBE_PARAMS);
static const struct rt_kernel PROBE =
    OP_KERNEL(probe, "probe.comp", PROBE_BUFFERS, struct probe_params, NULL);
static const struct rt_kernel *const PROBES[] = {&PROBE, NULL};

// A grid that should take `seconds` is cut when that is too long, into pieces with and without
// remainders; every lane runs once. How many submissions the pieces share depends on how quick the
// first ones are.
static void cut(struct t *t, const uint32_t groups[3], double seconds)
{
    const double first_rate =
        1e10; // of submit.c: what a kernel is taken to do before it was measured
    const uint32_t n = 64 * groups[0] * groups[1] * groups[2];
    const struct probe_params p = {groups[0], groups[1], 7};
    uint32_t *got = t_alloc(t, n * sizeof(*got));
    struct rt_dev *dev;
    struct rt_cmd *cmd;

    T_OK(rt_dev_open(&(struct rt_dev_desc){.name = t_name(t), .kernels = PROBES}, &dev));
    struct rt_buf *y = t_zeros(t, dev, RT_U32, n);
    const uint64_t before = rt_dev_stats(dev).submits;
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(
        rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){.kernel = "probe",
                                                        .groups = {groups[0], groups[1], groups[2]},
                                                        .bufs = {RT_INOUT(y)},
                                                        .params = &p,
                                                        .params_size = sizeof(p),
                                                        .flops = seconds * first_rate}));
    T_OK(rt_cmd_wait(&cmd));
    T_OK(rt_buf_read(y, 0, n, RT_U32, got));
    for (uint32_t i = 0; i < n; i++)
        if (got[i] != i + 7)
            fail_msg("grid %u x %u x %u for %g s: lane %u: got %u", groups[0], groups[1], groups[2],
                     seconds, i, got[i]);
    const uint64_t submits = rt_dev_stats(dev).submits - before;
    assert_true(seconds > RTVK_TARGET_SECONDS ? submits > 1 : submits == 1);
    t_reset(t);
    rt_dev_close(&dev);
}

static void cuts(struct t *t)
{
    static const struct {
        uint32_t groups[3];
        double seconds;
    } ROWS[] = {
        {{13, 7, 5}, 0.01}, {{13, 7, 5}, 0.35}, {{13, 7, 5}, 1.3}, {{13, 7, 5}, 5.0},
        {{13, 1, 1}, 0.35}, {{1, 11, 1}, 0.55}, {{1, 1, 9}, 0.15}, {{3, 2, 2}, 99.0},
    };
    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        cut(t, ROWS[i].groups, ROWS[i].seconds);
}

static void body(struct t *t)
{
    if (strncmp(rt_dev_id(t_dev(t)), "vulkan", 6) != 0)
        return;
    memory_types();
    staging(t);
    arenas(t, 0);
    arenas(t, RT_RUNG_UNIFIED);
    order_of_calls(t);
    dropped(t);
    cuts(t);
}

#else

static void body(struct t *t)
{
    (void) t;
}

#endif

int main(void)
{
    return t_each_device(body);
}
