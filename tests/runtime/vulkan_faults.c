// The Vulkan backend when device calls fail. They are replaced in the device's own table of
// functions, so that each can be made to fail in its turn.
#include "tests/t.h"

#if __has_include(<volk.h>)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/vulkan/internal.h"
#include "src/base/arith.h"
#include "src/op/cast.h"
#include "src/op/op.h"

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
    RT_TRY(op_cast(cmd, &(struct op_cast_args){.x = x, .y = y, .n = N}));
    RT_TRY(op_cast(cmd, &(struct op_cast_args){.x = y, .y = z, .n = N}));
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

static VKAPI_ATTR VkResult VKAPI_CALL not_ready(VkDevice a, VkFence b)
{
    (void) a;
    (void) b;
    return VK_NOT_READY;
}

static VKAPI_ATTR VkResult VKAPI_CALL no_answer(VkDevice a, uint32_t b, const VkFence *c,
                                                VkBool32 d, uint64_t e)
{
    (void) a;
    (void) b;
    (void) c;
    (void) d;
    (void) e;
    return VK_TIMEOUT;
}

// A device that never answers is given up with a message that names the kernel.
static void hang(struct t *t)
{
    struct rt_dev *dev;
    struct rt_cmd *cmd;
    T_OK(rt_dev_open(&(struct rt_dev_desc){.name = t_name(t), .kernels = op_kernels()}, &dev));
    struct rtvk_dev *d = (struct rtvk_dev *) dev;
    struct rt_buf *x = t_zeros(t, dev, RT_F32, 64), *y = t_zeros(t, dev, RT_F32, 64);
    const struct VolkDeviceTable real = d->vk;

    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_cast(cmd, &(struct op_cast_args){.x = x, .y = y, .n = 64}));
    t_logged();
    d->hang_seconds = 0.01;
    d->vk.vkGetFenceStatus = not_ready;
    d->vk.vkWaitForFences = no_answer;
    assert_int_equal(rt_cmd_wait(&cmd), RT_E_DEVICE);
    const char *log = t_logged();
    if (count_lines(log) != 1 || !strstr(log, "hangs: no answer for 0 s; the last kernel was cast"))
        fail_msg("log: %s", log);
    assert_true(d->lost && d->hung);
    T_OK(rt_cmd_create(dev, &cmd));
    T_ERR(RT_E_DEVICE, rt_buf_read(y, 0, 1, RT_F32, &(float){0})); // at once from now on
    rt_cmd_destroy(&cmd);
    d->vk = real;
    d->hung = false; // in truth it has run, and can be taken down
    d->vk.vkDeviceWaitIdle(d->handle);
    t_reset(t);
    rt_dev_close(&dev);
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
    faults(t, 0, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    faults(t, UINT32_MAX, VK_ERROR_OUT_OF_DEVICE_MEMORY);
    faults(t, 0, VK_ERROR_DEVICE_LOST);
    faults(t, UINT32_MAX, VK_ERROR_DEVICE_LOST);
    hang(t);
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
