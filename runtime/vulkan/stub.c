// Stands in for the vulkan backend when it is switched off at build time (-DANYDPO_VULKAN=OFF).
#include "runtime/backend.h"

static enum rt_err list(struct rt_dev_info **out, uint32_t *count)
{
    *out = NULL;
    *count = 0;
    return RT_OK;
}

const struct rt_backend RTVK_BACKEND = {.name = "vulkan", .list = list, .off = "ANYDPO_VULKAN=OFF"};
