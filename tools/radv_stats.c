// tools/radv_stats.c -- what AMD's Vulkan compiler (RADV in Mesa) makes of compute shaders. No card
// is needed: with RADV_FORCE_FAMILY set it compiles for a device that never runs.
//
//   cc tools/radv_stats.c -lvulkan -o radv_stats
//   ls *.spv | RADV_FORCE_FAMILY=navi21 VK_ICD_FILENAMES=RADEON_ICD.json ./radv_stats
//
// Reads paths of SPIR-V files (entry point main, at most BINDINGS storage buffers in set 0, 128
// bytes of push constants), a line each. Prints for each the path and the statistics that the
// driver offers, "name=value", separated by tabs, and writes its assembly to PATH.asm.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vulkan/vulkan.h>

enum { BINDINGS = 10, STATS = 64, TEXTS = 8, PATH_BYTES = 4096 };

struct gpu {
    VkInstance instance;
    VkDevice dev;
    VkPipelineLayout layout;
    PFN_vkGetPipelineExecutableStatisticsKHR stats;
    PFN_vkGetPipelineExecutableInternalRepresentationsKHR texts;
};

static bool ok(VkResult result, const char *what)
{
    if (result < 0)
        fprintf(stderr, "radv_stats: %s: VkResult %d\n", what, (int) result);
    return result >= 0;
}

static bool open_device(struct gpu *g)
{
    static const char *const EXTENSION = "VK_KHR_pipeline_executable_properties";
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .apiVersion = VK_API_VERSION_1_1};
    const VkInstanceCreateInfo instance = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                           .pApplicationInfo = &app};
    const VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pipelineExecutableInfo = VK_TRUE};
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueCount = 1,
                                           .pQueuePriorities = &(float){1.0f}};
    const VkDeviceCreateInfo device = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                       .pNext = &feature,
                                       .queueCreateInfoCount = 1,
                                       .pQueueCreateInfos = &queue,
                                       .enabledExtensionCount = 1,
                                       .ppEnabledExtensionNames = &EXTENSION};
    VkPhysicalDevice physical = VK_NULL_HANDLE;
    uint32_t n = 1;

    if (!ok(vkCreateInstance(&instance, NULL, &g->instance), "vkCreateInstance") ||
        !ok(vkEnumeratePhysicalDevices(g->instance, &n, &physical), "no device") || n == 0)
        return false;
    if (!ok(vkCreateDevice(physical, &device, NULL, &g->dev), "vkCreateDevice"))
        return false;
    g->stats = (PFN_vkGetPipelineExecutableStatisticsKHR) vkGetDeviceProcAddr(
        g->dev, "vkGetPipelineExecutableStatisticsKHR");
    g->texts = (PFN_vkGetPipelineExecutableInternalRepresentationsKHR) vkGetDeviceProcAddr(
        g->dev, "vkGetPipelineExecutableInternalRepresentationsKHR");
    return g->stats && g->texts;
}

static bool make_layout(struct gpu *g)
{
    VkDescriptorSetLayoutBinding b[BINDINGS];
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = BINDINGS,
        .pBindings = b};
    const VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = 128};
    VkDescriptorSetLayout sets;
    const VkPipelineLayoutCreateInfo layout = {.sType =
                                                   VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &sets,
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &push};

    for (uint32_t i = 0; i < BINDINGS; i++)
        b[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                              .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                              .descriptorCount = 1,
                                              .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    return ok(vkCreateDescriptorSetLayout(g->dev, &set, NULL, &sets), "set layout") &&
           ok(vkCreatePipelineLayout(g->dev, &layout, NULL, &g->layout), "pipeline layout");
}

// The words of a file; NULL if it cannot be read.
static uint32_t *read_words(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    uint32_t *words = NULL;
    long n = 0;

    if (f && fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) > 0 && fseek(f, 0, SEEK_SET) == 0)
        words = malloc((size_t) n);
    *bytes = words ? fread(words, 1, (size_t) n, f) : 0;
    if (f)
        fclose(f);
    if (!words || *bytes != (size_t) n) {
        perror(path);
        free(words);
        words = NULL;
    }
    return words;
}

static bool compile(const struct gpu *g, const char *path, VkPipeline *out)
{
    VkShaderModuleCreateInfo module = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                 VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .pName = "main"},
        .layout = g->layout};
    uint32_t *words = read_words(path, &module.codeSize);
    bool made;

    module.pCode = words;
    made = words && ok(vkCreateShaderModule(g->dev, &module, NULL, &info.stage.module), path);
    free(words);
    if (!made)
        return false;
    made = ok(vkCreateComputePipelines(g->dev, VK_NULL_HANDLE, 1, &info, NULL, out), path);
    vkDestroyShaderModule(g->dev, info.stage.module, NULL);
    return made;
}

static bool print_stats(const struct gpu *g, const VkPipelineExecutableInfoKHR *of)
{
    VkPipelineExecutableStatisticKHR s[STATS] = {0};
    uint32_t n = STATS;

    for (uint32_t i = 0; i < STATS; i++)
        s[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    if (!ok(g->stats(g->dev, of, &n, s), "statistics"))
        return false;
    for (uint32_t i = 0; i < n; i++) // RADV gives all of them in this format
        if (s[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR)
            printf("\t%s=%llu", s[i].name, (unsigned long long) s[i].value.u64);
    return true;
}

static bool write_asm(const struct gpu *g, const VkPipelineExecutableInfoKHR *of, const char *path)
{
    VkPipelineExecutableInternalRepresentationKHR t[TEXTS] = {0};
    char name[PATH_BYTES + 8];
    uint32_t n = TEXTS;
    bool done = false;
    FILE *f = NULL;

    for (uint32_t i = 0; i < TEXTS; i++)
        t[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    if (!ok(g->texts(g->dev, of, &n, t), "texts")) // first their sizes
        return false;
    for (uint32_t i = 0; i < n; i++)
        t[i].pData = calloc(1, t[i].dataSize + 1);
    snprintf(name, sizeof(name), "%s.asm", path);
    if (ok(g->texts(g->dev, of, &n, t), "texts"))
        f = fopen(name, "w");
    for (uint32_t i = 0; f && i < n; i++)
        if (strcmp(t[i].name, "Assembly") == 0 && t[i].pData)
            done = fputs(t[i].pData, f) >= 0;
    if (f)
        fclose(f);
    for (uint32_t i = 0; i < n; i++)
        free(t[i].pData);
    return done;
}

static bool one(const struct gpu *g, const char *path)
{
    VkPipelineExecutableInfoKHR of = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR};
    bool done;

    if (!compile(g, path, &of.pipeline))
        return false;
    printf("%s", path);
    done = print_stats(g, &of) && write_asm(g, &of, path);
    printf("\n");
    vkDestroyPipeline(g->dev, of.pipeline, NULL);
    return done;
}

int main(void)
{
    struct gpu g = {0};
    char path[PATH_BYTES];
    bool all = open_device(&g) && make_layout(&g);

    while (all && fgets(path, sizeof(path), stdin)) {
        path[strcspn(path, "\n")] = 0;
        all = one(&g, path);
    }
    return all ? 0 : 1; // the process ends, and the rest with it
}
