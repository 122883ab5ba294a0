// What only the Vulkan backend has: arenas, the staging buffer, and device calls that fail. The
// calls are replaced in the device's own table of functions, so that each can be made to fail in
// its turn.
#include "tests/t.h"

#if __has_include(<volk.h>)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/vulkan/internal.h"
#include "shaders/probe.h"
#include "src/base/arith.h"
#include "src/op/cast.h"
#include "src/op/op.h"

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

// ---- Calls that fail ---------------------------------------------------------------------------

#define CALLS(X)                                                                                   \
    X(vkCreateBuffer,                                                                              \
      (VkDevice a, const VkBufferCreateInfo *b, const VkAllocationCallbacks *c, VkBuffer *d),      \
      (a, b, c, d))                                                                                \
    X(vkAllocateMemory,                                                                            \
      (VkDevice a, const VkMemoryAllocateInfo *b, const VkAllocationCallbacks *c,                  \
       VkDeviceMemory *d),                                                                         \
      (a, b, c, d))                                                                                \
    X(vkBindBufferMemory, (VkDevice a, VkBuffer b, VkDeviceMemory c, VkDeviceSize d),              \
      (a, b, c, d))                                                                                \
    X(vkMapMemory,                                                                                 \
      (VkDevice a, VkDeviceMemory b, VkDeviceSize c, VkDeviceSize d, VkMemoryMapFlags e,           \
       void **f),                                                                                  \
      (a, b, c, d, e, f))                                                                          \
    X(vkCreateDescriptorSetLayout,                                                                 \
      (VkDevice a, const VkDescriptorSetLayoutCreateInfo *b, const VkAllocationCallbacks *c,       \
       VkDescriptorSetLayout *d),                                                                  \
      (a, b, c, d))                                                                                \
    X(vkCreatePipelineLayout,                                                                      \
      (VkDevice a, const VkPipelineLayoutCreateInfo *b, const VkAllocationCallbacks *c,            \
       VkPipelineLayout *d),                                                                       \
      (a, b, c, d))                                                                                \
    X(vkCreateShaderModule,                                                                        \
      (VkDevice a, const VkShaderModuleCreateInfo *b, const VkAllocationCallbacks *c,              \
       VkShaderModule *d),                                                                         \
      (a, b, c, d))                                                                                \
    X(vkCreateComputePipelines,                                                                    \
      (VkDevice a, VkPipelineCache b, uint32_t c, const VkComputePipelineCreateInfo *d,            \
       const VkAllocationCallbacks *e, VkPipeline *f),                                             \
      (a, b, c, d, e, f))                                                                          \
    X(vkCreateCommandPool,                                                                         \
      (VkDevice a, const VkCommandPoolCreateInfo *b, const VkAllocationCallbacks *c,               \
       VkCommandPool *d),                                                                          \
      (a, b, c, d))                                                                                \
    X(vkAllocateCommandBuffers,                                                                    \
      (VkDevice a, const VkCommandBufferAllocateInfo *b, VkCommandBuffer *c), (a, b, c))           \
    X(vkCreateFence,                                                                               \
      (VkDevice a, const VkFenceCreateInfo *b, const VkAllocationCallbacks *c, VkFence *d),        \
      (a, b, c, d))                                                                                \
    X(vkCreateQueryPool,                                                                           \
      (VkDevice a, const VkQueryPoolCreateInfo *b, const VkAllocationCallbacks *c,                 \
       VkQueryPool *d),                                                                            \
      (a, b, c, d))                                                                                \
    X(vkCreateDescriptorPool,                                                                      \
      (VkDevice a, const VkDescriptorPoolCreateInfo *b, const VkAllocationCallbacks *c,            \
       VkDescriptorPool *d),                                                                       \
      (a, b, c, d))                                                                                \
    X(vkResetFences, (VkDevice a, uint32_t b, const VkFence *c), (a, b, c))                        \
    X(vkResetCommandPool, (VkDevice a, VkCommandPool b, VkCommandPoolResetFlags c), (a, b, c))     \
    X(vkResetDescriptorPool, (VkDevice a, VkDescriptorPool b, VkDescriptorPoolResetFlags c),       \
      (a, b, c))                                                                                   \
    X(vkAllocateDescriptorSets,                                                                    \
      (VkDevice a, const VkDescriptorSetAllocateInfo *b, VkDescriptorSet *c), (a, b, c))           \
    X(vkBeginCommandBuffer, (VkCommandBuffer a, const VkCommandBufferBeginInfo *b), (a, b))        \
    X(vkEndCommandBuffer, (VkCommandBuffer a), (a))                                                \
    X(vkQueueSubmit, (VkQueue a, uint32_t b, const VkSubmitInfo *c, VkFence d), (a, b, c, d))      \
    X(vkGetFenceStatus, (VkDevice a, VkFence b), (a, b))                                           \
    X(vkWaitForFences, (VkDevice a, uint32_t b, const VkFence *c, VkBool32 d, uint64_t e),         \
      (a, b, c, d, e))

static struct {
    struct VolkDeviceTable real;
    VkDevice dev;
    unsigned left; // the call that makes this 0 fails
    VkResult with;
    const char *name; // of the call that failed, NULL: none yet
} g_fault;

static bool fails(const char *name)
{
    if (g_fault.left == 0 || --g_fault.left > 0)
        return false;
    g_fault.name = name;
    if (g_fault.with == VK_ERROR_DEVICE_LOST)
        g_fault.real.vkDeviceWaitIdle(g_fault.dev); // what is lost does not run on
    return true;
}

#define FAULTY(fn, params, args)                                                                   \
    static VKAPI_ATTR VkResult VKAPI_CALL faulty_##fn params                                       \
    {                                                                                              \
        return fails(#fn) ? g_fault.with : g_fault.real.fn args;                                   \
    }
CALLS(FAULTY)

// Make call number k (from 1, of those above) fail from here on; 0: none.
static void arm(struct rt_dev *dev, unsigned k, VkResult with)
{
    struct rtvk_dev *d = (struct rtvk_dev *) dev;
    if (d->vk.vkQueueSubmit != faulty_vkQueueSubmit)
        g_fault.real = d->vk;
#define REPLACE(fn, params, args) d->vk.fn = faulty_##fn;
    CALLS(REPLACE)
    g_fault.dev = d->handle;
    g_fault.left = k;
    g_fault.with = with;
    g_fault.name = NULL;
}

// A little of everything; ends at the first error, and leaves nothing behind.
static enum rt_err scenario(struct rt_dev *dev)
{
    enum rt_err err = RT_OK;
    enum { N = 1000 };
    struct rt_buf *x = NULL, *y = NULL, *z = NULL;
    struct rt_cmd *cmd = NULL;
    float a[N], b[N];

    for (int i = 0; i < N; i++)
        a[i] = (float) (i % 100);
    RT_TRY(rt_buf_create(dev, RT_F32, N, "x", &x));
    RT_TRY(rt_buf_create(dev, RT_F16, N, "y", &y));
    RT_TRY(rt_buf_create(dev, RT_F32, N, "z", &z));
    RT_TRY(rt_buf_write(x, 0, N, RT_F32, a));
    RT_TRY(rt_cmd_create(dev, &cmd));
    RT_TRY(op_cast(cmd, &(struct op_cast_args){x, y, N}));
    RT_TRY(op_cast(cmd, &(struct op_cast_args){y, z, N}));
    RT_TRY(rt_cmd_submit(cmd));
    RT_TRY(rt_cmd_zero(cmd, z, 0, 10));
    RT_TRY(rt_cmd_copy(cmd, x, 10, z, 5, 5));
    RT_TRY(rt_cmd_wait(&cmd));
    RT_TRY(rt_buf_read(z, 0, N, RT_F32, b));
    for (int i = 0; i < N; i++)
        RT_REQUIRE(b[i] == (i < 5 ? 0.0f : i < 10 ? a[i + 5] : a[i]), RT_E_NUMERIC);
done:
    rt_cmd_destroy(&cmd);
    rt_buf_destroy(&x);
    rt_buf_destroy(&y);
    rt_buf_destroy(&z);
    return err;
}

static unsigned count_lines(const char *s)
{
    unsigned n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

// The k-th call fails: one message and the right code; the device is still good, or lost for good.
static bool fault(struct rt_dev *dev, unsigned k, VkResult with)
{
    const bool lost = with == VK_ERROR_DEVICE_LOST;
    enum rt_err err;
    const char *log;

    t_logged();
    arm(dev, k, with);
    err = scenario(dev);
    log = t_logged();
    if (!g_fault.name) {
        T_OK(err);
        return false; // fewer calls than k
    }
    // A smaller arena is tried when a large one is refused, so that failure may go by.
    if (err == RT_OK && !lost && strcmp(g_fault.name, "vkAllocateMemory") == 0)
        return true;
    if (err != (lost ? RT_E_DEVICE : RT_E_DEVMEM) || count_lines(log) != 1 ||
        !strstr(log, "vulkan:"))
        fail_msg("call %u, %s: %s, log: %s", k, g_fault.name, rt_err_name(err), log);
    arm(dev, 0, VK_SUCCESS);
    err = scenario(dev);
    log = t_logged();
    if (err != (lost ? RT_E_DEVICE : RT_OK))
        fail_msg("after call %u, %s: %s, log: %s", k, g_fault.name, rt_err_name(err), log);
    return true;
}

static void faults(struct t *t, uint32_t disable, VkResult with)
{
    char folder[] = "/tmp/anydpo-test-XXXXXX", rm[64];
    unsigned k = 1;

    assert_non_null(mkdtemp(folder)); // so that kernels are compiled once only
    for (bool more = true; more; k++) {
        struct rt_dev *dev;
        T_OK(rt_dev_open(&(struct rt_dev_desc){.name = t_name(t),
                                               .kernels = op_kernels(),
                                               .cache_dir = folder,
                                               .clamp = {.disable = disable}},
                         &dev));
        more = fault(dev, k, with);
        rt_dev_close(&dev);
    }
    assert_true(k > 20); // the scenario makes that many calls
    snprintf(rm, sizeof(rm), "rm -r %s", folder);
    assert_int_equal(system(rm), 0);
}

// ---- The validation layer ----------------------------------------------------------------------

#if defined(__has_feature)
#define ASAN __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#else
#define ASAN 0
#endif

static void validated(struct t *t)
{
    struct rt_dev *dev;
    const struct rt_dev_desc desc = {.name = t_name(t), .kernels = op_kernels(), .validate = true};
    const enum rt_err err = rt_dev_open(&desc, &dev);

    if (err == RT_E_UNSUPPORTED && strstr(t_logged(), "is not installed")) {
        print_message("no validation layer here: not tested\n");
        return;
    }
    T_OK(err);
    T_OK(scenario(dev));
    ((struct rtvk_dev *) dev)->instance.messages = 3; // as if it had complained
    T_ERR(RT_E_DEVICE, scenario(dev));
    T_OK(scenario(dev)); // told once
    assert_int_equal(((struct rtvk_dev *) dev)->instance.messages, 0);
    rt_dev_close(&dev);
}

static void body(struct t *t)
{
    if (strncmp(rt_dev_id(t_dev(t)), "vulkan", 6) != 0)
        return;
    staging(t);
    arenas(t, 0);
    arenas(t, RT_RUNG_UNIFIED);
    order_of_calls(t);
    dropped(t);
    cuts(t);
    faults(t, 0, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    faults(t, UINT32_MAX, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    faults(t, 0, VK_ERROR_DEVICE_LOST);
    faults(t, UINT32_MAX, VK_ERROR_DEVICE_LOST);
    if (!ASAN) // the layer leaks, and is unloaded before LeakSanitizer can name it
        validated(t);
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
