// The loader, an instance, and the validation layer's messages.
#include "runtime/vulkan/internal.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"

static const char LAYER[] = "VK_LAYER_KHRONOS_validation";

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *user)
{
    struct rtvk_instance *in = user;
    (void) types;
    // While a device is being opened the layer warns of what it changes for its own use.
    if (in->strict || severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT) {
        in->messages++;
        log_warn("vulkan validation: %s", data->pMessage);
    } else {
        log_debug("vulkan validation: %s", data->pMessage);
    }
    return VK_FALSE;
}

// Is extension `name` among those of `layer` (NULL: of the loader and the drivers)?
static bool has_extension(const char *layer, const char *name)
{
    uint32_t n = 0;
    bool found = false;
    VkExtensionProperties *all = NULL;

    if (vkEnumerateInstanceExtensionProperties(layer, &n, NULL) != VK_SUCCESS || n == 0)
        return false;
    all = calloc(n, sizeof(*all));
    if (all && vkEnumerateInstanceExtensionProperties(layer, &n, all) >= 0)
        for (uint32_t i = 0; i < n && !found; i++)
            found = strcmp(all[i].extensionName, name) == 0;
    free(all);
    return found;
}

static bool has_layer(void)
{
    uint32_t n = 0;
    bool found = false;
    VkLayerProperties *all = NULL;

    if (vkEnumerateInstanceLayerProperties(&n, NULL) != VK_SUCCESS || n == 0)
        return false;
    all = calloc(n, sizeof(*all));
    if (all && vkEnumerateInstanceLayerProperties(&n, all) >= 0)
        for (uint32_t i = 0; i < n && !found; i++)
            found = strcmp(all[i].layerName, LAYER) == 0;
    free(all);
    return found;
}

static VkDebugUtilsMessengerCreateInfoEXT messenger_of(struct rtvk_instance *in)
{
    return (VkDebugUtilsMessengerCreateInfoEXT){
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = in};
}

// With the messenger if `in` validates, with the layer switched on by ourselves if `layer`.
static VkResult create(struct rtvk_instance *in, bool layer)
{
    static const VkValidationFeatureEnableEXT SYNC =
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    const char *const layers[] = {LAYER};
    const char *exts[4];
    uint32_t n = 0;
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .pApplicationName = "anydpo",
                                   .apiVersion = VK_API_VERSION_1_3};
    const VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_of(in);
    VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                        .enabledValidationFeatureCount = 1,
                                        .pEnabledValidationFeatures = &SYNC};
    VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                 .pApplicationInfo = &app,
                                 .enabledLayerCount = layer ? 1 : 0,
                                 .ppEnabledLayerNames = layers,
                                 .ppEnabledExtensionNames = exts};
    VkResult r;

    if (has_extension(NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        exts[n++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
    const bool listen = in->validate && (has_extension(NULL, VK_EXT_DEBUG_UTILS_EXTENSION_NAME) ||
                                         has_extension(LAYER, VK_EXT_DEBUG_UTILS_EXTENSION_NAME));
    if (listen) {
        exts[n++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        info.pNext = &messenger; // for the instance's own creation and destruction
    }
    if (layer && has_extension(LAYER, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME)) {
        exts[n++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
        features.pNext = info.pNext;
        info.pNext = &features;
    }
    info.enabledExtensionCount = n;
    r = vkCreateInstance(&info, NULL, &in->handle);
    if (r != VK_SUCCESS)
        return r;
    volkLoadInstanceOnly(in->handle);
    return listen ? vkCreateDebugUtilsMessengerEXT(in->handle, &messenger, NULL, &in->messenger)
                  : r;
}

enum rt_err rtvk_instance_open(bool validate, struct rtvk_instance *out)
{
    const char *env;
    VkResult r;

    *out = (struct rtvk_instance){0};
    if (volkGetInstanceVersion() == 0 && volkInitialize() != VK_SUCCESS)
        return RT_OK; // no loader
    if (volkGetInstanceVersion() < VK_API_VERSION_1_1) {
        log_info("vulkan: the loader is older than Vulkan 1.1; left out");
        return RT_OK;
    }
    env = os_env("VK_INSTANCE_LAYERS"); // the loader itself switches these on
    out->validate = validate || (env && strstr(env, LAYER));
    if (validate && !has_layer())
        return rt_fail(RT_E_UNSUPPORTED,
                       "vulkan: validation was asked for, and %s is not installed", LAYER);
    r = create(out, validate);
    if (r == VK_ERROR_INCOMPATIBLE_DRIVER)
        return RT_OK; // a loader without any driver
    if (r == VK_SUCCESS)
        return RT_OK;
    rtvk_instance_close(out);
    return rt_fail(RT_E_DEVICE, "vulkan: vkCreateInstance: %s", rtvk_result_name(r));
}

void rtvk_instance_close(struct rtvk_instance *in)
{
    if (in->messenger)
        vkDestroyDebugUtilsMessengerEXT(in->handle, in->messenger, NULL);
    if (in->handle)
        vkDestroyInstance(in->handle, NULL);
    in->handle = NULL;
    in->messenger = NULL;
}

const char *rtvk_result_name(VkResult r)
{
    static const struct {
        VkResult r;
        const char *name;
    } NAMES[] = {
        {VK_NOT_READY, "not ready"},
        {VK_TIMEOUT, "timeout"},
        {VK_INCOMPLETE, "incomplete"},
        {VK_ERROR_OUT_OF_HOST_MEMORY, "out of host memory"},
        {VK_ERROR_OUT_OF_DEVICE_MEMORY, "out of device memory"},
        {VK_ERROR_INITIALIZATION_FAILED, "initialization failed"},
        {VK_ERROR_DEVICE_LOST,
         "the device was lost (a crash, a reset by a watchdog, or unplugged)"},
        {VK_ERROR_MEMORY_MAP_FAILED, "memory cannot be mapped"},
        {VK_ERROR_LAYER_NOT_PRESENT, "a layer is not installed"},
        {VK_ERROR_EXTENSION_NOT_PRESENT, "an extension is missing"},
        {VK_ERROR_FEATURE_NOT_PRESENT, "a feature is missing"},
        {VK_ERROR_INCOMPATIBLE_DRIVER, "the driver does not fit"},
        {VK_ERROR_TOO_MANY_OBJECTS, "too many objects"},
        {VK_ERROR_FRAGMENTED_POOL, "fragmented pool"},
        {VK_ERROR_OUT_OF_POOL_MEMORY, "out of pool memory"},
        {VK_ERROR_INVALID_SHADER_NV, "invalid shader"},
        {VK_ERROR_UNKNOWN, "unknown error of the driver"},
    };
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        if (NAMES[i].r == r)
            return NAMES[i].name;
    return r < 0 ? "an error of the driver" : "success";
}
