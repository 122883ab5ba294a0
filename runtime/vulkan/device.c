// Listing, opening and closing devices; results of calls as our errors.
#include "runtime/vulkan/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/base/arith.h"

enum rt_err rtvk_ok(struct rtvk_dev *d, VkResult r, const char *what)
{
    enum rt_err code = RT_E_DEVICE;

    if (r >= 0)
        return RT_OK;
    if (r == VK_ERROR_OUT_OF_DEVICE_MEMORY)
        code = RT_E_DEVMEM;
    else if (r == VK_ERROR_OUT_OF_HOST_MEMORY)
        code = RT_E_NOMEM;
    d->lost = d->lost || r == VK_ERROR_DEVICE_LOST;
    return rt_fail(code, "%s (%s): %s: %s", d->head.id, d->phys.caps.name, what,
                   rtvk_result_name(r));
}

static enum rt_err list(struct rt_dev_info **out, uint32_t *count)
{
    enum rt_err err = RT_OK;
    struct rtvk_instance in = {0};
    struct rtvk_phys *all = NULL;
    uint32_t n = 0;

    *out = NULL;
    *count = 0;
    RT_TRY(rtvk_instance_open(false, &in));
    if (!in.handle)
        goto done;
    RT_TRY(rtvk_phys_list(in.handle, &all, &n));
    if (n == 0)
        goto done;
    *out = calloc(n, sizeof(**out));
    RT_REQUIRE(*out, RT_E_NOMEM);
    for (uint32_t i = 0; i < n; i++) {
        snprintf((*out)[i].id, sizeof((*out)[i].id), "vulkan:%u", i);
        (*out)[i].caps = all[i].caps;
    }
    *count = n;
done:
    free(all);
    rtvk_instance_close(&in);
    return err;
}

static enum rt_err choose(struct rtvk_dev *d, uint32_t index)
{
    enum rt_err err = RT_OK;
    struct rtvk_phys *all = NULL;
    uint32_t n = 0;

    if (d->instance.handle)
        RT_TRY(rtvk_phys_list(d->instance.handle, &all, &n));
    if (index >= n)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "vulkan:%u is not there; %u Vulkan devices were found",
                       index, n));
    d->phys = all[index];
done:
    free(all);
    return err;
}

// No optional feature is enabled: the kernels need none.
static enum rt_err create(struct rtvk_dev *d)
{
    static const float PRIORITY = 1.0f;
    enum rt_err err = RT_OK;
    const char *exts[2];
    uint32_t n = 0;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = d->phys.family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &PRIORITY};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .ppEnabledExtensionNames = exts};

    d->push_descriptors = d->head.plan.rungs & RT_RUNG_PUSH_DESCRIPTORS;
    if (d->push_descriptors)
        exts[n++] = RTVK_EXT_NAMES[RTVK_EXT_PUSH_DESCRIPTOR];
    if (d->phys.exts >> RTVK_EXT_PORTABILITY & 1)
        exts[n++] = RTVK_EXT_NAMES[RTVK_EXT_PORTABILITY];
    info.enabledExtensionCount = n;
    RT_TRY(rtvk_ok(d, vkCreateDevice(d->phys.handle, &info, NULL, &d->handle), "vkCreateDevice"));
    volkLoadDeviceTable(&d->vk, d->handle);
    d->vk.vkGetDeviceQueue(d->handle, d->phys.family, 0, &d->queue);
done:
    return err;
}

static void close(struct rt_dev *dev)
{
    struct rtvk_dev *d = (struct rtvk_dev *) dev;

    if (d->handle && !d->hung) {
        d->vk.vkDeviceWaitIdle(d->handle);
        rtvk_slots_fini(d);
        rtvk_kernels_fini(d);
        rtvk_memory_fini(d);
        d->vk.vkDestroyDevice(d->handle, NULL);
    }
    if (!d->hung) // what hangs in the driver cannot be taken down in order
        rtvk_instance_close(&d->instance);
    rt_dev_fini(dev);
    free(d);
}

static enum rt_err open(uint32_t index, const struct rt_dev_desc *desc, struct rt_dev **out)
{
    enum rt_err err = RT_OK;
    char id[32];
    struct rtvk_dev *d = calloc(1, sizeof(*d));

    *out = NULL;
    RT_REQUIRE(d, RT_E_NOMEM);
    d->stretch = 1;
    d->hang_seconds = 600.0;
    snprintf(id, sizeof(id), "vulkan:%u", index);
    RT_TRY(rtvk_instance_open(desc->validate, &d->instance));
    RT_TRY(choose(d, index));
    RT_TRY(rt_dev_init(&d->head, &RTVK_BACKEND, id, &d->phys.caps, desc));
    RT_TRY(create(d));
    RT_TRY(rtvk_memory_init(d));
    RT_TRY(rtvk_kernels_init(d));
    d->instance.strict = true;
    *out = &d->head;
    d = NULL;
done:
    if (d)
        close(&d->head);
    return err;
}

const struct rt_backend RTVK_BACKEND = {
    .name = "vulkan",
    .list = list,
    .open = open,
    .close = close,
    .buf_create = rtvk_buf_create,
    .buf_destroy = rtvk_buf_destroy,
    .buf_write = rtvk_buf_write,
    .buf_read = rtvk_buf_read,
    .cmd_create = rtvk_cmd_create,
    .cmd_dispatch = rtvk_cmd_dispatch,
    .cmd_copy = rtvk_cmd_copy,
    .cmd_zero = rtvk_cmd_zero,
    .cmd_write = rtvk_cmd_write,
    .cmd_read = rtvk_cmd_read,
    .cmd_submit = rtvk_cmd_submit,
    .cmd_wait = rtvk_cmd_wait,
    .cmd_destroy = rtvk_cmd_destroy,
};
