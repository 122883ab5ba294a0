// Kernel texts to SPIR-V to pipelines, each step kept: SPIR-V and the driver's blob on disk,
// pipelines in a table of the device.
#include "runtime/vulkan/internal.h"

#include <stdlib.h>
#include <string.h>

#include <shaderc/shaderc.h>

#include "src/base/file.h"
#include "src/base/str.h"

struct rtvk_compiler {
    shaderc_compiler_t handle;
    shaderc_compile_options_t options;
    uint64_t key; // of all that decides the output but the text
};

static const uint32_t SPIRV_MAGIC = 0x07230203;

static void compiler_free(struct rtvk_compiler *c)
{
    if (!c)
        return;
    shaderc_compile_options_release(c->options);
    shaderc_compiler_release(c->handle);
    free(c);
}

static enum rt_err compiler_get(struct rtvk_dev *d, struct rtvk_compiler **out)
{
    enum rt_err err = RT_OK;
    struct rtvk_compiler *c = d->compiler;

    *out = c;
    if (c)
        return RT_OK;
    c = calloc(1, sizeof(*c));
    RT_REQUIRE(c, RT_E_NOMEM);
    c->handle = shaderc_compiler_initialize();
    c->options = shaderc_compile_options_initialize();
    RT_REQUIRE(c->handle && c->options, RT_E_NOMEM);
    shaderc_compile_options_set_target_env(c->options, shaderc_target_env_vulkan,
                                           shaderc_env_version_vulkan_1_1);
    shaderc_compile_options_set_optimization_level(c->options,
                                                   shaderc_optimization_level_performance);
    shaderc_compile_options_set_warnings_as_errors(c->options);
    *out = d->compiler = c;
    c = NULL;
done:
    compiler_free(c);
    return err;
}

static uint64_t spirv_key(const struct str *text)
{
    unsigned version = 0, revision = 0;
    uint64_t key = rt_hash(0, "vulkan1.1 performance", 21);
    shaderc_get_spv_version(&version, &revision);
    key = rt_hash(key, &version, sizeof(version));
    key = rt_hash(key, &revision, sizeof(revision));
    return rt_hash(key, text->data, text->len);
}

static enum rt_err compile(struct rtvk_dev *d, const char *name, const struct str *text,
                           struct str *spirv)
{
    enum rt_err err = RT_OK;
    struct rtvk_compiler *c;
    shaderc_compilation_result_t r = NULL;

    RT_TRY(compiler_get(d, &c));
    r = shaderc_compile_into_spv(c->handle, text->data, text->len, shaderc_compute_shader, name,
                                 "main", c->options);
    RT_REQUIRE(r, RT_E_NOMEM);
    if (shaderc_result_get_compilation_status(r) != shaderc_compilation_status_success)
        RT_TRY(rt_fail(RT_E_COMPILE, "kernel %s does not compile: %.2000s", name,
                       shaderc_result_get_error_message(r)));
    RT_TRY(str_append(spirv, shaderc_result_get_bytes(r), shaderc_result_get_length(r)));
    d->head.stats.compiles++;
done:
    if (r)
        shaderc_result_release(r);
    return err;
}

static bool is_spirv(const struct str *s)
{
    return s->len >= 20 && s->len % 4 == 0 && memcmp(s->data, &SPIRV_MAGIC, 4) == 0;
}

// SPIR-V of `work`, from disk or compiled.
static enum rt_err spirv_of(struct rtvk_dev *d, const struct rt_work *work, struct str *spirv)
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    uint64_t key;

    if (!work->kernel->source && !work->kernel->vulkan_only)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "kernel %s does not run on %s", work->kernel->name,
                       d->head.id));
    RT_TRY(rt_kernel_text(work, true, &text));
    key = spirv_key(&text);
    RT_TRY(rt_cache_load(d->head.cache_dir, "spirv", key, spirv));
    if (is_spirv(spirv)) {
        d->head.stats.cache_hits++;
        goto done;
    }
    str_clear(spirv);
    RT_TRY(compile(d, work->kernel->name, &text, spirv));
    rt_cache_store(d->head.cache_dir, "spirv", key, spirv->data, spirv->len);
done:
    str_free(&text);
    return err;
}

// One layout for each number of buffers: that many storage buffers and RTVK_PUSH_BYTES of
// parameters.
static enum rt_err layout_get(struct rtvk_dev *d, uint32_t n)
{
    enum rt_err err = RT_OK;
    VkDescriptorSetLayoutBinding b[RT_MAX_BUFS];
    const VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                      .size = RTVK_PUSH_BYTES};
    VkDescriptorSetLayoutCreateInfo set = {.sType =
                                               VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                           .bindingCount = n,
                                           .pBindings = b};
    const VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                             .setLayoutCount = 1,
                                             .pSetLayouts = &d->set_layouts[n],
                                             .pushConstantRangeCount = 1,
                                             .pPushConstantRanges = &push};

    if (d->layouts[n])
        return RT_OK;
    for (uint32_t i = 0; i < n; i++)
        b[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                              .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                              .descriptorCount = 1,
                                              .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    if (d->push_descriptors)
        set.flags = VK_DESCRIPTOR_SET_LAYOUT_CREATE_PUSH_DESCRIPTOR_BIT_KHR;
    if (!d->set_layouts[n])
        RT_TRY(RTVK(d, vkCreateDescriptorSetLayout, d->handle, &set, NULL, &d->set_layouts[n]));
    RT_TRY(RTVK(d, vkCreatePipelineLayout, d->handle, &info, NULL, &d->layouts[n]));
done:
    return err;
}

static enum rt_err make_pipeline(struct rtvk_dev *d, const struct rt_work *work, VkPipeline *out)
{
    enum rt_err err = RT_OK;
    struct str spirv = {0};
    const char *name = work->kernel->name;
    double start;
    VkShaderModuleCreateInfo module = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .pName = "main"}};

    RT_TRY(layout_get(d, work->kernel->n_bufs));
    RT_TRY(spirv_of(d, work, &spirv));
    start = os_seconds();
    module.codeSize = spirv.len;
    module.pCode = (const uint32_t *) (const void *) spirv.data;
    RT_TRY(
        rtvk_ok(d, d->vk.vkCreateShaderModule(d->handle, &module, NULL, &info.stage.module), name));
    info.layout = d->layouts[work->kernel->n_bufs];
    RT_TRY(
        rtvk_ok(d, d->vk.vkCreateComputePipelines(d->handle, d->cache, 1, &info, NULL, out), name));
    log_debug("%s: pipeline %s: %.1f ms", d->head.id, name, (os_seconds() - start) * 1e3);
done:
    if (info.stage.module)
        d->vk.vkDestroyShaderModule(d->handle, info.stage.module, NULL);
    str_free(&spirv);
    return err;
}

static bool same_tunes(const struct rt_tune *a, const struct rt_tune *b)
{
    for (uint32_t i = 0; i < RT_MAX_TUNES; i++) {
        if (!a[i].name || !b[i].name)
            return !a[i].name && !b[i].name;
        if (strcmp(a[i].name, b[i].name) != 0 || a[i].value != b[i].value)
            return false;
    }
    return true;
}

static bool is_pipe_of(const struct rtvk_pipe *p, const struct rt_work *w, uint64_t key)
{
    if (p->key != key || p->kernel != w->kernel ||
        memcmp(p->group, w->group, sizeof(p->group)) != 0)
        return false;
    for (uint32_t i = 0; i < w->kernel->n_bufs; i++)
        if (w->kernel->bufs[i].elem == RT_ELEM_elem && p->types[i] != w->bufs[i].buf->type)
            return false;
    return same_tunes(p->tune, w->tune);
}

static enum rt_err check_limits(const struct rtvk_dev *d, const struct rt_work *w)
{
    const uint32_t *most = d->head.plan.caps.group_size;
    if (w->kernel->n_bufs > d->phys.storage_bufs)
        return rt_fail(RT_E_UNSUPPORTED, "kernel %s: %u buffers, the limit of %s (%s) is %u",
                       w->kernel->name, w->kernel->n_bufs, d->head.id, d->phys.caps.name,
                       d->phys.storage_bufs);
    if (w->group[0] > most[0] || w->group[1] > most[1])
        return rt_fail(RT_E_UNSUPPORTED,
                       "kernel %s: a group of %u x %u, the device's limit is %u x %u",
                       w->kernel->name, w->group[0], w->group[1], most[0], most[1]);
    return RT_OK;
}

enum rt_err rtvk_pipe_get(struct rtvk_dev *d, const struct rt_work *work, struct rtvk_pipe **out)
{
    enum rt_err err = RT_OK;
    const uint64_t key = rt_work_key(work);
    struct rtvk_pipe **bucket = &d->pipes[key % RTVK_BUCKETS], *p;

    for (p = *bucket; p; p = p->next)
        if (is_pipe_of(p, work, key)) {
            *out = p;
            return RT_OK;
        }
    *out = NULL;
    RT_TRY(check_limits(d, work));
    p = calloc(1, sizeof(*p));
    RT_REQUIRE(p, RT_E_NOMEM);
    p->key = key;
    p->kernel = work->kernel;
    memcpy(p->group, work->group, sizeof(p->group));
    memcpy(p->tune, work->tune, sizeof(p->tune));
    for (uint32_t i = 0; i < work->kernel->n_bufs; i++)
        p->types[i] = work->bufs[i].buf->type;
    RT_TRY(make_pipeline(d, work, &p->handle));
    p->next = *bucket;
    *out = *bucket = p;
    p = NULL;
done:
    free(p);
    return err;
}

enum rt_err rtvk_kernels_init(struct rtvk_dev *d)
{
    enum rt_err err = RT_OK;
    struct str blob = {0};
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};

    RT_TRY(rt_cache_load(d->head.cache_dir, "vkpipe", d->phys.cache_key, &blob));
    d->cache_loaded = blob.len;
    info.initialDataSize = blob.len;
    info.pInitialData = blob.data;
    RT_TRY(RTVK(d, vkCreatePipelineCache, d->handle, &info, NULL, &d->cache));
done:
    str_free(&blob);
    return err;
}

// Keep the driver's blob if it knows more than what was loaded. One that is all header knows
// nothing.
static void keep_cache(struct rtvk_dev *d)
{
    size_t n = 0;
    void *bytes = NULL;

    if (!d->head.cache_dir || d->lost ||
        d->vk.vkGetPipelineCacheData(d->handle, d->cache, &n, NULL) != VK_SUCCESS ||
        n <= d->cache_loaded || n <= sizeof(VkPipelineCacheHeaderVersionOne))
        return;
    bytes = malloc(n);
    if (bytes && d->vk.vkGetPipelineCacheData(d->handle, d->cache, &n, bytes) == VK_SUCCESS)
        rt_cache_store(d->head.cache_dir, "vkpipe", d->phys.cache_key, bytes, n);
    free(bytes);
}

void rtvk_kernels_fini(struct rtvk_dev *d)
{
    for (uint32_t i = 0; i < RTVK_BUCKETS; i++)
        while (d->pipes[i]) {
            struct rtvk_pipe *p = d->pipes[i];
            d->pipes[i] = p->next;
            d->vk.vkDestroyPipeline(d->handle, p->handle, NULL);
            free(p);
        }
    for (uint32_t n = 0; n <= RT_MAX_BUFS; n++) {
        d->vk.vkDestroyPipelineLayout(d->handle, d->layouts[n], NULL);
        d->vk.vkDestroyDescriptorSetLayout(d->handle, d->set_layouts[n], NULL);
    }
    if (d->cache) {
        keep_cache(d);
        d->vk.vkDestroyPipelineCache(d->handle, d->cache, NULL);
    }
    compiler_free(d->compiler);
}
