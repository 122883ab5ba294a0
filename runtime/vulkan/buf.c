// Buffers and their contents, from and to the host.
#include "runtime/vulkan/internal.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

static VkBufferCreateInfo buffer_info(uint64_t size)
{
    return (VkBufferCreateInfo){.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                .size = size,
                                .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                         VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                         VK_BUFFER_USAGE_TRANSFER_DST_BIT};
}

// Requirements are the same for all buffers of one usage (Vulkan 1.1, "Resource Memory
// Association").
enum rt_err rtvk_memory_init(struct rtvk_dev *d)
{
    enum rt_err err = RT_OK;
    VkBuffer probe = VK_NULL_HANDLE;
    VkMemoryRequirements req;
    const VkBufferCreateInfo info = buffer_info(4096);
    VkMemoryPropertyFlags flags;

    RT_TRY(RTVK(d, vkCreateBuffer, d->handle, &info, NULL, &probe));
    d->vk.vkGetBufferMemoryRequirements(d->handle, probe, &req);
    d->memory_type =
        rtvk_buffer_memory(&d->phys.memory, req.memoryTypeBits, d->phys.caps.unified_memory);
    if (d->memory_type == UINT32_MAX)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s (%s): no memory type for storage buffers", d->head.id,
                       d->phys.caps.name));
    d->align = u64_max(256, req.alignment);
    flags = d->phys.memory.memoryTypes[d->memory_type].propertyFlags;
    d->mapped =
        d->head.plan.rungs & RT_RUNG_UNIFIED && flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    d->cached = flags & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
done:
    if (probe)
        d->vk.vkDestroyBuffer(d->handle, probe, NULL);
    return err;
}

// ---- The staging buffer ------------------------------------------------------------------------

// It has memory of its own: arena and chunk are NULL, and `memory` is in the device's hands.
struct staging {
    struct rtvk_buf buf;
    VkDeviceMemory memory;
};

void rtvk_staging_destroy(struct rtvk_dev *d, struct rtvk_buf **buf)
{
    struct staging *s = (struct staging *) *buf;

    *buf = NULL;
    if (!s)
        return;
    if (s->buf.handle)
        d->vk.vkDestroyBuffer(d->handle, s->buf.handle, NULL);
    if (s->memory)
        d->vk.vkFreeMemory(d->handle, s->memory, NULL);
    free(s);
}

enum rt_err rtvk_staging_create(struct rtvk_dev *d, uint64_t size, struct rtvk_buf **out)
{
    enum rt_err err = RT_OK;
    const VkBufferCreateInfo info = buffer_info(size);
    VkMemoryAllocateInfo memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
    VkMemoryRequirements req;
    struct staging *s = calloc(1, sizeof(*s));
    struct rtvk_buf *made = (struct rtvk_buf *) s;

    *out = NULL;
    RT_REQUIRE(s, RT_E_NOMEM);
    s->buf.head.dev = &d->head;
    s->buf.size = size;
    RT_TRY(RTVK(d, vkCreateBuffer, d->handle, &info, NULL, &s->buf.handle));
    d->vk.vkGetBufferMemoryRequirements(d->handle, s->buf.handle, &req);
    memory.allocationSize = req.size;
    memory.memoryTypeIndex = rtvk_staging_memory(&d->phys.memory, req.memoryTypeBits);
    RT_REQUIRE(memory.memoryTypeIndex != UINT32_MAX, RT_E_UNSUPPORTED);
    RT_TRY(RTVK(d, vkAllocateMemory, d->handle, &memory, NULL, &s->memory));
    RT_TRY(RTVK(d, vkBindBufferMemory, d->handle, s->buf.handle, s->memory, 0));
    RT_TRY(RTVK(d, vkMapMemory, d->handle, s->memory, 0, VK_WHOLE_SIZE, 0, (void **) &s->buf.map));
    *out = made;
    made = NULL;
done:
    rtvk_staging_destroy(d, &made);
    return err;
}

static enum rt_err staging_get(struct rtvk_dev *d)
{
    return d->staging ? RT_OK : rtvk_staging_create(d, RTVK_STAGING, &d->staging);
}

void rtvk_memory_fini(struct rtvk_dev *d)
{
    rtvk_staging_destroy(d, &d->staging);
    rtvk_staging_destroy(d, &d->readback);
}

// ---- Buffers -----------------------------------------------------------------------------------

static enum rt_err zero_all(struct rtvk_dev *d, struct rtvk_buf *b)
{
    if (b->map) {
        memset(b->map, 0, b->size); // nothing that runs can use this memory
        return RT_OK;
    }
    return rtvk_fill_now(d, (struct rtvk_bind){b, RT_ACCESS_OUT, 0, b->size});
}

static void buf_free(struct rtvk_dev *d, struct rtvk_buf *b)
{
    if (!b)
        return;
    if (b->handle)
        d->vk.vkDestroyBuffer(d->handle, b->handle, NULL);
    if (b->chunk)
        rtvk_arena_free(d, b->arena, b->chunk);
    free(b);
}

static void name_it(struct rtvk_dev *d, const struct rtvk_buf *b)
{
    const VkDebugUtilsObjectNameInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
        .objectType = VK_OBJECT_TYPE_BUFFER,
        .objectHandle = (uint64_t) b->handle,
        .pObjectName = b->head.name};
    if (d->instance.messenger) // then debug_utils is on
        vkSetDebugUtilsObjectNameEXT(d->handle, &info);
}

enum rt_err rtvk_buf_create(struct rt_dev *dev, const struct rt_buf *head, struct rt_buf **out)
{
    enum rt_err err = RT_OK;
    struct rtvk_dev *d = (struct rtvk_dev *) dev;
    // Whole 16-byte words, so that kernels may read halves in vectors up to the end.
    const VkBufferCreateInfo info = buffer_info(round_up(head->bytes, 16));
    VkMemoryRequirements req;
    struct rtvk_buf *b = calloc(1, sizeof(*b));

    *out = NULL;
    RT_REQUIRE(b, RT_E_NOMEM);
    b->head = *head;
    b->size = info.size;
    RT_TRY(RTVK(d, vkCreateBuffer, d->handle, &info, NULL, &b->handle));
    d->vk.vkGetBufferMemoryRequirements(d->handle, b->handle, &req);
    RT_TRY(rtvk_arena_alloc(d, req.size, head->name, &b->arena, &b->chunk));
    RT_TRY(RTVK(d, vkBindBufferMemory, d->handle, b->handle, rtvk_arena_memory(b->arena),
                rtvk_chunk_offset(b->chunk)));
    b->map = rtvk_arena_map(b->arena, b->chunk);
    name_it(d, b);
    RT_TRY(zero_all(d, b));
    *out = &b->head;
    b = NULL;
done:
    buf_free(d, b);
    return err;
}

void rtvk_buf_destroy(struct rt_buf *buf)
{
    struct rtvk_buf *b = (struct rtvk_buf *) buf;
    struct rtvk_dev *d = rtvk_dev_of(buf);

    if (!d->lost && b->serial > d->done && rtvk_wait(d, b->serial) != RT_OK)
        log_debug("%s: %s is destroyed after a failure", d->head.id, b->head.name);
    if (d->hung)
        return; // the device may still write there
    buf_free(d, b);
}

// ---- Contents ----------------------------------------------------------------------------------

enum { HALF = RTVK_STAGING / 2 };

static struct rtvk_bind slice(const struct rtvk_buf *b, enum rt_access access, uint64_t off,
                              uint64_t n)
{
    return (struct rtvk_bind){(struct rtvk_buf *) (uintptr_t) b, access, off, n};
}

enum rt_err rtvk_buf_write(struct rt_buf *buf, uint64_t off, uint64_t n, const void *src)
{
    enum rt_err err = RT_OK;
    struct rtvk_buf *b = (struct rtvk_buf *) buf;
    struct rtvk_dev *d = rtvk_dev_of(buf);

    if (n == 0)
        return RT_OK;
    RT_TRY(rtvk_finish(d));
    if (b->map) {
        memcpy(b->map + off, src, n);
        goto done;
    }
    RT_TRY(staging_get(d));
    for (uint64_t i = 0, half = 0; i < n; i += HALF, half ^= 1) {
        const uint64_t m = u64_min(HALF, n - i);
        RT_TRY(rtvk_wait(d, d->staging_serial[half]));
        memcpy(d->staging->map + half * HALF, (const char *) src + i, m);
        RT_TRY(rtvk_copy_now(d, slice(d->staging, RT_ACCESS_IN, half * HALF, m),
                             slice(b, RT_ACCESS_OUT, off + i, m)));
        d->staging_serial[half] = d->submitted;
    }
done:
    return err;
}

// Wait for the copy into `half`, then take it out.
static enum rt_err unload(struct rtvk_dev *d, uint64_t half, void *dst, uint64_t n)
{
    enum rt_err err = RT_OK;
    RT_TRY(rtvk_wait(d, d->staging_serial[half]));
    memcpy(dst, d->staging->map + half * HALF, n);
done:
    return err;
}

enum rt_err rtvk_buf_read(const struct rt_buf *buf, uint64_t off, uint64_t n, void *dst)
{
    enum rt_err err = RT_OK;
    const struct rtvk_buf *b = (const struct rtvk_buf *) buf;
    struct rtvk_dev *d = rtvk_dev_of(buf);
    enum { SMALL = 4096 };

    if (n == 0)
        return RT_OK;
    RT_TRY(rtvk_finish(d));
    if (b->map && (d->cached || n <= SMALL)) {
        memcpy(dst, b->map + off, n);
        goto done;
    }
    RT_TRY(staging_get(d));
    for (uint64_t i = 0, half = 0; i < n;
         i += HALF, half ^= 1) { // copy a half while the last is taken out
        const uint64_t m = u64_min(HALF, n - i);
        RT_TRY(rtvk_copy_now(d, slice(b, RT_ACCESS_IN, off + i, m),
                             slice(d->staging, RT_ACCESS_OUT, half * HALF, m)));
        d->staging_serial[half] = d->submitted;
        if (i > 0)
            RT_TRY(unload(d, half ^ 1, (char *) dst + i - HALF, HALF));
    }
    const uint64_t last = (n - 1) / HALF;
    RT_TRY(unload(d, last & 1, (char *) dst + last * HALF, n - last * HALF));
done:
    return err;
}
