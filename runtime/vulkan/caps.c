// What a physical device reports, as rt_caps. Extension structs are chained only where the device
// has the extension (or the Vulkan version that took it in).
#include "runtime/vulkan/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

const char *const RTVK_EXT_NAMES[RTVK_EXT_COUNT] = {
    [RTVK_EXT_DRIVER_PROPERTIES] = VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME,
    [RTVK_EXT_FLOAT16_INT8] = VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME,
    [RTVK_EXT_SUBGROUP_SIZE] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME,
    [RTVK_EXT_INTEGER_DOT] = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME,
    [RTVK_EXT_MAINTENANCE4] = VK_KHR_MAINTENANCE_4_EXTENSION_NAME,
    [RTVK_EXT_MEMORY_BUDGET] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME,
    [RTVK_EXT_PUSH_DESCRIPTOR] = VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME,
    [RTVK_EXT_PORTABILITY] = "VK_KHR_portability_subset", // its header is a beta one
};

// Vulkan version that took the extension in; 0: none has.
static const uint32_t CORE_SINCE[RTVK_EXT_COUNT] = {
    [RTVK_EXT_DRIVER_PROPERTIES] = VK_API_VERSION_1_2, [RTVK_EXT_FLOAT16_INT8] = VK_API_VERSION_1_2,
    [RTVK_EXT_SUBGROUP_SIZE] = VK_API_VERSION_1_3,     [RTVK_EXT_INTEGER_DOT] = VK_API_VERSION_1_3,
    [RTVK_EXT_MAINTENANCE4] = VK_API_VERSION_1_3,
};

static bool has(const struct rtvk_phys *p, enum rtvk_ext e)
{
    return p->exts >> e & 1;
}

static enum rt_err find_exts(struct rtvk_phys *p, uint32_t version)
{
    enum rt_err err = RT_OK;
    uint32_t n = 0;
    VkExtensionProperties *all = NULL;

    p->exts = 0;
    for (uint32_t e = 0; e < RTVK_EXT_COUNT; e++)
        if (CORE_SINCE[e] && version >= CORE_SINCE[e])
            p->exts |= 1u << e;
    if (vkEnumerateDeviceExtensionProperties(p->handle, NULL, &n, NULL) != VK_SUCCESS || n == 0)
        return RT_OK;
    all = calloc(n, sizeof(*all));
    RT_REQUIRE(all, RT_E_NOMEM);
    if (vkEnumerateDeviceExtensionProperties(p->handle, NULL, &n, all) < 0)
        n = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t e = 0; e < RTVK_EXT_COUNT; e++)
            if (strcmp(all[i].extensionName, RTVK_EXT_NAMES[e]) == 0)
                p->exts |= 1u << e;
done:
    free(all);
    return err;
}

// Append struct s to a pNext chain.
static void chain(VkBaseOutStructure **tail, void *s)
{
    (*tail)->pNext = s;
    *tail = s;
}

// A family that only computes does not stall the desktop; else the first that computes.
static bool find_family(struct rtvk_phys *p)
{
    VkQueueFamilyProperties all[16];
    uint32_t n = COUNT_OF(all);

    p->family = UINT32_MAX;
    vkGetPhysicalDeviceQueueFamilyProperties(p->handle, &n, all);
    for (uint32_t i = 0; i < n; i++) {
        const bool compute = all[i].queueFlags & VK_QUEUE_COMPUTE_BIT && all[i].queueCount > 0;
        const bool only = !(all[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
        if (!compute || (p->family != UINT32_MAX && !only))
            continue;
        p->family = i;
        p->stamp_bits = all[i].timestampValidBits;
        if (only)
            break;
    }
    return p->family != UINT32_MAX;
}

static void read_features(const struct rtvk_phys *p, struct rt_caps *c)
{
    VkPhysicalDevice16BitStorageFeatures s16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    VkPhysicalDeviceShaderFloat16Int8Features f16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDeviceSubgroupSizeControlFeatures size = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
    VkPhysicalDeviceFeatures2 f = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    VkBaseOutStructure *tail = (VkBaseOutStructure *) &f;

    chain(&tail, &s16);
    if (has(p, RTVK_EXT_FLOAT16_INT8))
        chain(&tail, &f16);
    if (has(p, RTVK_EXT_SUBGROUP_SIZE))
        chain(&tail, &size);
    if (has(p, RTVK_EXT_INTEGER_DOT))
        chain(&tail, &dot);
    vkGetPhysicalDeviceFeatures2(p->handle, &f);
    c->storage_16bit = s16.storageBuffer16BitAccess;
    c->fp16 = f16.shaderFloat16;
    c->subgroup_size_control = size.subgroupSizeControl && size.computeFullSubgroups;
    c->integer_dot = dot.shaderIntegerDotProduct;
}

static enum rt_dev_kind kind_of(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return RT_GPU_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return RT_GPU_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return RT_CPU;
    default:
        return RT_OTHER;
    }
}

static void limits_of(struct rtvk_phys *p, const VkPhysicalDeviceLimits *l)
{
    struct rt_caps *c = &p->caps;

    c->group_invocations = l->maxComputeWorkGroupInvocations;
    memcpy(c->group_size, l->maxComputeWorkGroupSize, sizeof(c->group_size));
    memcpy(c->group_count, l->maxComputeWorkGroupCount, sizeof(c->group_count));
    c->shared_bytes = l->maxComputeSharedMemorySize;
    c->range_bytes = l->maxStorageBufferRange;
    c->offset_align_bytes = (uint32_t) l->minStorageBufferOffsetAlignment;
    c->params_bytes = l->maxPushConstantsSize;
    c->timestamps = p->stamp_bits != 0;
    p->stamp_ns = (double) l->timestampPeriod;
    p->storage_bufs =
        u32_min(l->maxPerStageDescriptorStorageBuffers, l->maxDescriptorSetStorageBuffers);
}

static void read_memory(struct rtvk_phys *p)
{
    struct rt_caps *c = &p->caps;
    const bool unified = c->kind != RT_GPU_DISCRETE;
    uint32_t type;

    vkGetPhysicalDeviceMemoryProperties(p->handle, &p->memory);
    type = rtvk_buffer_memory(&p->memory, UINT32_MAX, unified);
    if (type == UINT32_MAX)
        return;
    const VkMemoryType *t = &p->memory.memoryTypes[type];
    c->unified_memory = unified && t->propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    c->memory_bytes =
        u64_min(p->memory.memoryHeaps[t->heapIndex].size, rtvk_budget(p, t->heapIndex));
}

static void names_of(struct rt_caps *c, const VkPhysicalDeviceProperties *v,
                     const VkPhysicalDeviceDriverProperties *drv)
{
    snprintf(c->name, sizeof(c->name), "%.127s", v->deviceName);
    snprintf(c->api, sizeof(c->api), "vulkan");
    snprintf(c->version, sizeof(c->version), "%u.%u.%u", VK_API_VERSION_MAJOR(v->apiVersion),
             VK_API_VERSION_MINOR(v->apiVersion), VK_API_VERSION_PATCH(v->apiVersion));
    if (drv->driverInfo[0])
        snprintf(c->driver, sizeof(c->driver), "%.60s %.60s", drv->driverName, drv->driverInfo);
    else if (drv->driverName[0])
        snprintf(c->driver, sizeof(c->driver), "%.60s %u", drv->driverName, v->driverVersion);
    else
        snprintf(c->driver, sizeof(c->driver), "vendor 0x%x %u", v->vendorID, v->driverVersion);
}

static void read_properties(struct rtvk_phys *p)
{
    VkPhysicalDeviceMaintenance3Properties m3 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties sub = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceDriverProperties drv = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceMaintenance4Properties m4 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES};
    VkPhysicalDeviceProperties2 q = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    VkBaseOutStructure *tail = (VkBaseOutStructure *) &q;
    struct rt_caps *c = &p->caps;

    chain(&tail, &m3);
    chain(&tail, &sub);
    if (has(p, RTVK_EXT_DRIVER_PROPERTIES))
        chain(&tail, &drv);
    if (has(p, RTVK_EXT_MAINTENANCE4))
        chain(&tail, &m4);
    vkGetPhysicalDeviceProperties2(p->handle, &q);

    const VkPhysicalDeviceProperties *v = &q.properties;
    names_of(c, v, &drv);
    c->kind = kind_of(v->deviceType);
    limits_of(p, &v->limits);
    c->alloc_bytes = m3.maxMemoryAllocationSize;
    if (m4.maxBufferSize)
        c->alloc_bytes = u64_min(c->alloc_bytes, m4.maxBufferSize);
    c->subgroup_size = sub.subgroupSize;
    c->subgroup_arithmetic = sub.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT &&
                             sub.supportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    p->cache_key = rt_hash(0, v->pipelineCacheUUID, sizeof(v->pipelineCacheUUID));
    p->cache_key = rt_hash(p->cache_key, &v->driverVersion, sizeof(v->driverVersion));
    p->cache_key = rt_hash(p->cache_key, c->driver, strlen(c->driver));
}

// False: this device cannot be used at all, and was named in the log.
static bool usable(struct rtvk_phys *p, uint32_t *version)
{
    VkPhysicalDeviceProperties v;
    vkGetPhysicalDeviceProperties(p->handle, &v);
    *version = v.apiVersion;
    if (v.apiVersion < VK_API_VERSION_1_1)
        log_info("vulkan: %s: Vulkan 1.1 is needed, the driver has 1.%u; left out", v.deviceName,
                 VK_API_VERSION_MINOR(v.apiVersion));
    else if (find_family(p))
        return true;
    else
        log_info("vulkan: %s has no compute queue; left out", v.deviceName);
    return false;
}

enum rt_err rtvk_phys_list(VkInstance instance, struct rtvk_phys **out, uint32_t *count)
{
    enum rt_err err = RT_OK;
    VkPhysicalDevice handles[32];
    uint32_t n = COUNT_OF(handles), k = 0;
    struct rtvk_phys *all = NULL;
    VkResult r;

    *out = NULL;
    *count = 0;
    r = vkEnumeratePhysicalDevices(instance, &n, handles);
    if (r < 0)
        RT_TRY(rt_fail(RT_E_DEVICE, "vulkan: vkEnumeratePhysicalDevices: %s", rtvk_result_name(r)));
    all = calloc(n ? n : 1, sizeof(*all));
    RT_REQUIRE(all, RT_E_NOMEM);
    for (uint32_t i = 0; i < n; i++) {
        struct rtvk_phys *p = &all[k];
        uint32_t version;
        *p = (struct rtvk_phys){.handle = handles[i]};
        if (!usable(p, &version))
            continue;
        RT_TRY(find_exts(p, version));
        read_properties(p);
        read_features(p, &p->caps);
        p->caps.push_descriptors = has(p, RTVK_EXT_PUSH_DESCRIPTOR);
        read_memory(p);
        k++;
    }
    *out = all;
    *count = k;
    all = NULL;
done:
    free(all);
    return err;
}

// ---- Memory types ------------------------------------------------------------------------------

// The allowed type with all of `need`, most of `like`, least of `avoid`; ties go to the larger
// heap.
static uint32_t pick(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed,
                     VkMemoryPropertyFlags need, VkMemoryPropertyFlags like,
                     VkMemoryPropertyFlags avoid)
{
    // Types with other rules of use (lazily allocated, protected, uncached on purpose): never.
    const VkMemoryPropertyFlags known =
        VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
        VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    uint32_t best = UINT32_MAX;
    int best_score = 0;
    uint64_t best_size = 0;

    for (uint32_t i = 0; i < m->memoryTypeCount; i++) {
        const VkMemoryPropertyFlags f = m->memoryTypes[i].propertyFlags;
        const uint64_t size = m->memoryHeaps[m->memoryTypes[i].heapIndex].size;
        const int score = 4 + __builtin_popcount(f & like) - __builtin_popcount(f & avoid);
        if (!(allowed >> i & 1) || (f & need) != need || f & ~known)
            continue;
        if (score > best_score || (score == best_score && size > best_size)) {
            best = i;
            best_score = score;
            best_size = size;
        }
    }
    return best;
}

uint32_t rtvk_buffer_memory(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed,
                            bool unified)
{
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const VkMemoryPropertyFlags host =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const VkMemoryPropertyFlags cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    uint32_t t = UINT32_MAX;

    if (unified)
        t = pick(m, allowed, local | host, cached, 0);
    if (t == UINT32_MAX)
        t = pick(m, allowed, local, 0, host | cached);
    if (t == UINT32_MAX)
        t = pick(m, allowed, 0, 0, 0);
    return t;
}

uint32_t rtvk_staging_memory(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed)
{
    return pick(m, allowed,
                VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                VK_MEMORY_PROPERTY_HOST_CACHED_BIT, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
}

uint64_t rtvk_budget(const struct rtvk_phys *p, uint32_t heap)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT b = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 m = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = &b};

    if (!has(p, RTVK_EXT_MEMORY_BUDGET))
        return UINT64_MAX;
    vkGetPhysicalDeviceMemoryProperties2(p->handle, &m);
    if (b.heapBudget[heap] == 0)
        return UINT64_MAX; // a driver that says nothing
    return b.heapBudget[heap] - u64_min(b.heapUsage[heap], b.heapBudget[heap]);
}
