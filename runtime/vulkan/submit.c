// Submissions: items become a command buffer, with barriers where a hazard is; fences, and how long
// it took, by which the next ones are cut.
#include "runtime/vulkan/internal.h"

#include <string.h>

#include "runtime/hazard.h"
#include "src/base/arith.h"
#include "src/base/file.h"

// Rates are in FLOP/s. The first guess is low, so that the first pieces of a kernel are short on
// any device; the floor keeps kernels that are all overhead from being cut to dust when they grow.
static const double FIRST_RATE = 1e10, LEAST_RATE = 1e9, OVERHEAD_SECONDS = 2e-6;

double rtvk_estimate(const struct rtvk_pipe *pipe, double cost)
{
    return OVERHEAD_SECONDS + cost / (pipe && pipe->rate > 0.0 ? pipe->rate : FIRST_RATE);
}

// ---- Slots -------------------------------------------------------------------------------------

static enum rt_err make_pools(struct rtvk_dev *d, struct rtvk_slot *s)
{
    enum rt_err err = RT_OK;
    const VkQueryPoolCreateInfo stamps = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                          .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                          .queryCount = 2};
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, RTVK_ITEMS * RT_MAX_BUFS};
    const VkDescriptorPoolCreateInfo sets = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = RTVK_ITEMS,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};

    if (d->phys.stamp_bits)
        RT_TRY(RTVK(d, vkCreateQueryPool, d->handle, &stamps, NULL, &s->stamps));
    if (!d->push_descriptors)
        RT_TRY(RTVK(d, vkCreateDescriptorPool, d->handle, &sets, NULL, &s->sets));
done:
    return err;
}

static enum rt_err slot_make(struct rtvk_dev *d, struct rtvk_slot *s)
{
    enum rt_err err = RT_OK;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = d->phys.family,
                                          .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkCommandBufferAllocateInfo cb = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                      .commandBufferCount = 1};

    RT_TRY(RTVK(d, vkCreateCommandPool, d->handle, &pool, NULL, &s->pool));
    cb.commandPool = s->pool;
    RT_TRY(RTVK(d, vkAllocateCommandBuffers, d->handle, &cb, &s->cb));
    RT_TRY(RTVK(d, vkCreateFence, d->handle, &fence, NULL, &s->fence));
    RT_TRY(make_pools(d, s));
done:
    return err;
}

static void slot_free(struct rtvk_dev *d, struct rtvk_slot *s)
{
    d->vk.vkDestroyDescriptorPool(d->handle, s->sets, NULL);
    d->vk.vkDestroyQueryPool(d->handle, s->stamps, NULL);
    d->vk.vkDestroyFence(d->handle, s->fence, NULL);
    d->vk.vkDestroyCommandPool(d->handle, s->pool, NULL);
    memset(s, 0, sizeof(*s));
}

void rtvk_slots_fini(struct rtvk_dev *d)
{
    for (int i = 0; i < RTVK_SLOTS; i++)
        slot_free(d, &d->slots[i]);
}

// The slot of the next submission, reset; waits while all are in flight.
static enum rt_err slot_take(struct rtvk_dev *d, struct rtvk_slot **out)
{
    enum rt_err err = RT_OK;
    struct rtvk_slot *s = &d->slots[(d->submitted + 1) % RTVK_SLOTS];

    *out = NULL;
    if (s->serial)
        RT_TRY(rtvk_wait(d, s->serial));
    if (!s->fence) {
        err = slot_make(d, s);
        if (err != RT_OK) {
            slot_free(d, s);
            goto done;
        }
    }
    RT_TRY(RTVK(d, vkResetFences, d->handle, 1, &s->fence));
    RT_TRY(RTVK(d, vkResetCommandPool, d->handle, s->pool, 0));
    if (s->sets)
        RT_TRY(RTVK(d, vkResetDescriptorPool, d->handle, s->sets, 0));
    s->n_pipes = 0;
    *out = s;
done:
    return err;
}

// ---- Recording ---------------------------------------------------------------------------------

static void barrier(struct rtvk_dev *d, VkCommandBuffer cb)
{
    const VkPipelineStageFlags stages =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkMemoryBarrier m = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    d->vk.vkCmdPipelineBarrier(cb, stages, stages, 0, 1, &m, 0, NULL, 0, NULL);
}

// A barrier if the item needs one; note its accesses. Marks last over submissions: a barrier covers
// all that was submitted before it.
static void order(struct rtvk_dev *d, VkCommandBuffer cb, const struct rtvk_item *it,
                  uint64_t serial)
{
    bool wait = false;

    for (uint32_t i = 0; i < it->n_bufs; i++)
        wait = wait || rt_hazard(&it->bufs[i].buf->head, it->bufs[i].access, d->stretch);
    if (wait) {
        barrier(d, cb);
        d->stretch++;
    }
    for (uint32_t i = 0; i < it->n_bufs; i++) {
        rt_hazard_note(&it->bufs[i].buf->head, it->bufs[i].access, d->stretch);
        it->bufs[i].buf->serial = serial;
    }
}

static enum rt_err bind_bufs(struct rtvk_dev *d, struct rtvk_slot *s, const struct rtvk_item *it)
{
    enum rt_err err = RT_OK;
    VkDescriptorBufferInfo info[RT_MAX_BUFS];
    VkWriteDescriptorSet write[RT_MAX_BUFS];
    VkDescriptorSet set = VK_NULL_HANDLE;
    const uint32_t n = it->n_bufs;
    const VkDescriptorSetAllocateInfo get = {.sType =
                                                 VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                             .descriptorPool = s->sets,
                                             .descriptorSetCount = 1,
                                             .pSetLayouts = &d->set_layouts[n]};

    if (!d->push_descriptors)
        RT_TRY(RTVK(d, vkAllocateDescriptorSets, d->handle, &get, &set));
    for (uint32_t i = 0; i < n; i++) {
        const struct rtvk_bind *b = &it->bufs[i];
        info[i] = (VkDescriptorBufferInfo){b->buf->handle, b->off, b->size};
        write[i] = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                          .dstSet = set,
                                          .dstBinding = i,
                                          .descriptorCount = 1,
                                          .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                          .pBufferInfo = &info[i]};
    }
    if (d->push_descriptors) {
        d->vk.vkCmdPushDescriptorSetKHR(s->cb, VK_PIPELINE_BIND_POINT_COMPUTE, d->layouts[n], 0, n,
                                        write);
        goto done;
    }
    d->vk.vkUpdateDescriptorSets(d->handle, n, write, 0, NULL);
    d->vk.vkCmdBindDescriptorSets(s->cb, VK_PIPELINE_BIND_POINT_COMPUTE, d->layouts[n], 0, 1, &set,
                                  0, NULL);
done:
    return err;
}

static enum rt_err record_item(struct rtvk_dev *d, struct rtvk_slot *s, const struct rtvk_item *it,
                               VkPipeline *bound)
{
    enum rt_err err = RT_OK;
    const struct rtvk_bind *b = it->bufs;

    if (it->kind == RTVK_FILL) {
        d->vk.vkCmdFillBuffer(s->cb, b->buf->handle, b->off, b->size, 0);
        goto done;
    }
    if (it->kind == RTVK_UPDATE) {
        d->vk.vkCmdUpdateBuffer(s->cb, b->buf->handle, b->off, b->size, it->data);
        goto done;
    }
    if (it->kind == RTVK_COPY) {
        d->vk.vkCmdCopyBuffer(s->cb, b[0].buf->handle, b[1].buf->handle, 1,
                              &(VkBufferCopy){b[0].off, b[1].off, b[0].size});
        goto done;
    }
    if (*bound != it->pipe->handle)
        d->vk.vkCmdBindPipeline(s->cb, VK_PIPELINE_BIND_POINT_COMPUTE, it->pipe->handle);
    *bound = it->pipe->handle;
    RT_TRY(bind_bufs(d, s, it));
    d->vk.vkCmdPushConstants(s->cb, d->layouts[it->n_bufs], VK_SHADER_STAGE_COMPUTE_BIT, 0,
                             it->push_bytes, it->push);
    d->vk.vkCmdDispatch(s->cb, it->groups[0], it->groups[1], it->groups[2]);
    s->pipes[s->n_pipes] = it->pipe;
    s->costs[s->n_pipes++] = it->cost;
done:
    return err;
}

static void stamp(struct rtvk_dev *d, struct rtvk_slot *s, uint32_t i)
{
    if (!s->stamps)
        return;
    if (i == 0)
        d->vk.vkCmdResetQueryPool(s->cb, s->stamps, 0, 2);
    // Written when all before it is done: the first one, then, when this submission really starts.
    d->vk.vkCmdWriteTimestamp(s->cb, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, s->stamps, i);
}

static enum rt_err record(struct rtvk_dev *d, struct rtvk_slot *s, uint64_t serial)
{
    enum rt_err err = RT_OK;
    VkPipeline bound = VK_NULL_HANDLE;
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    const VkMemoryBarrier to_host = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT};

    RT_TRY(RTVK(d, vkBeginCommandBuffer, s->cb, &begin));
    stamp(d, s, 0);
    for (uint32_t i = 0; i < d->n_items; i++) {
        order(d, s->cb, &d->items[i], serial);
        RT_TRY(record_item(d, s, &d->items[i], &bound));
    }
    d->vk.vkCmdPipelineBarrier(
        s->cb, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
        VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &to_host, 0, NULL, 0, NULL);
    stamp(d, s, 1);
    RT_TRY(RTVK(d, vkEndCommandBuffer, s->cb));
done:
    return err;
}

// ---- Times -------------------------------------------------------------------------------------

// Seconds that the device spent on a finished submission; 0 when unknown.
static double device_seconds(struct rtvk_dev *d, struct rtvk_slot *s)
{
    uint64_t t[2];
    const uint32_t bits = d->phys.stamp_bits;
    const uint64_t mask = bits >= 64 ? UINT64_MAX : ((uint64_t) 1 << bits) - 1;

    if (!s->stamps ||
        d->vk.vkGetQueryPoolResults(d->handle, s->stamps, 0, 2, sizeof(t), t, sizeof(t[0]),
                                    VK_QUERY_RESULT_64_BIT) != VK_SUCCESS)
        return 0.0;
    return (double) ((t[1] - t[0]) & mask) * d->phys.stamp_ns * 1e-9;
}

static double clamped(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

// Correct the rates of the pipelines that ran. One alone is measured; of several, each takes half
// of the error of the sum (on a log scale), which settles when a step repeats.
static void learn(struct rtvk_slot *s, double seconds)
{
    bool alone = s->n_pipes > 0;
    double cost = 0.0;

    for (uint32_t i = 0; i < s->n_pipes; i++) {
        alone = alone && s->pipes[i] == s->pipes[0];
        cost += s->costs[i];
    }
    for (uint32_t i = 0; i < s->n_pipes; i++) {
        struct rtvk_pipe *p = s->pipes[i];
        const double now = p->rate > 0.0 ? p->rate : FIRST_RATE;
        const double error = clamped(s->seconds / seconds, 0.25, 4.0);
        if (p->mark == s->serial)
            continue;
        p->mark = s->serial;
        p->rate = alone ? cost / seconds
                        : now * (error > 1.0 ? 0.5 + 0.5 * error : 2.0 * error / (1.0 + error));
        p->rate = p->rate > LEAST_RATE ? p->rate : LEAST_RATE;
    }
}

static void retire(struct rtvk_dev *d, struct rtvk_slot *s, bool waited)
{
    double seconds = device_seconds(d, s);

    if (!s->stamps && waited) // then the host saw the end as it came
        seconds = os_seconds() - s->submitted;
    if (seconds > 0.0)
        learn(s, seconds);
    d->head.busy_s += seconds > 0.0 ? seconds : 0.0;
    log_debug("%s: submission %llu: %u kernels, %.2f ms, %.2f expected", d->head.id,
              (unsigned long long) s->serial, s->n_pipes, seconds * 1e3, s->seconds * 1e3);
    d->done = s->serial;
}

// ---- Submitting and waiting --------------------------------------------------------------------

static enum rt_err fail_lost(struct rtvk_dev *d)
{
    return rt_fail(RT_E_DEVICE, "%s (%s): the device was lost earlier", d->head.id,
                   d->phys.caps.name);
}

static enum rt_err wait_slot(struct rtvk_dev *d, struct rtvk_slot *s)
{
    enum rt_err err = RT_OK;
    const double start = os_seconds();
    VkResult r = d->vk.vkGetFenceStatus(d->handle, s->fence);
    const bool waited = r == VK_NOT_READY;

    while (r == VK_NOT_READY || r == VK_TIMEOUT) {
        if (os_seconds() - start > d->hang_seconds) {
            d->lost = d->hung = true;
            RT_TRY(rt_fail(RT_E_DEVICE,
                           "%s (%s) hangs: no answer for %.0f s; the last kernel was %s",
                           d->head.id, d->phys.caps.name, d->hang_seconds,
                           s->n_pipes ? s->pipes[s->n_pipes - 1]->kernel->name : "a copy"));
        }
        r = d->vk.vkWaitForFences(d->handle, 1, &s->fence, VK_TRUE, 1000000000u);
    }
    RT_TRY(rtvk_ok(d, r, s->n_pipes ? s->pipes[s->n_pipes - 1]->kernel->name : "copy"));
    retire(d, s, waited);
done:
    return err;
}

enum rt_err rtvk_wait(struct rtvk_dev *d, uint64_t serial)
{
    enum rt_err err = RT_OK;
    const uint64_t last =
        u64_min(serial, d->submitted); // one that failed to be submitted never comes

    if (d->lost && d->done < last)
        RT_TRY(fail_lost(d));
    while (d->done < last)
        RT_TRY(wait_slot(d, &d->slots[(d->done + 1) % RTVK_SLOTS]));
done:
    return err;
}

// Retire what has ended by now, without waiting.
static enum rt_err poll(struct rtvk_dev *d)
{
    enum rt_err err = RT_OK;
    while (d->done < d->submitted) {
        struct rtvk_slot *s = &d->slots[(d->done + 1) % RTVK_SLOTS];
        const VkResult r = d->vk.vkGetFenceStatus(d->handle, s->fence);
        if (r == VK_NOT_READY)
            break;
        RT_TRY(rtvk_ok(d, r, "vkGetFenceStatus"));
        retire(d, s, false);
    }
done:
    return err;
}

static enum rt_err submit(struct rtvk_dev *d)
{
    enum rt_err err = RT_OK;
    struct rtvk_slot *s;
    const uint64_t serial = d->submitted + 1;
    VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1};

    RT_TRY(poll(d));
    RT_TRY(slot_take(d, &s));
    RT_TRY(record(d, s, serial));
    s->submitted = os_seconds();
    s->seconds = d->item_seconds;
    info.pCommandBuffers = &s->cb;
    RT_TRY(RTVK(d, vkQueueSubmit, d->queue, 1, &info, s->fence));
    s->serial = d->submitted = serial;
    if (d->open)
        d->open->serial = serial;
    d->head.stats.submits++;
done:
    return err;
}

enum rt_err rtvk_submit(struct rtvk_dev *d)
{
    enum rt_err err = RT_OK;

    if (d->n_items == 0)
        return RT_OK;
    if (d->lost)
        RT_TRY(fail_lost(d));
    err = submit(d);
    // Items that failed are gone, but the barriers among them were noted: let nothing be in flight.
    if (err != RT_OK && !d->lost && d->vk.vkDeviceWaitIdle(d->handle) != VK_SUCCESS)
        d->lost = true;
done:
    d->n_items = 0;
    d->item_seconds = 0.0;
    return err;
}

enum rt_err rtvk_finish(struct rtvk_dev *d)
{
    enum rt_err err = RT_OK;
    RT_TRY(rtvk_submit(d));
    RT_TRY(rtvk_wait(d, d->submitted));
done:
    return err;
}

enum rt_err rtvk_complaints(struct rtvk_dev *d)
{
    const uint32_t n = d->instance.messages;
    if (!d->instance.validate || n == 0)
        return RT_OK;
    d->instance.messages = 0;
    return rt_fail(RT_E_DEVICE, "%s (%s): %u messages of the validation layer, above", d->head.id,
                   d->phys.caps.name, n);
}
