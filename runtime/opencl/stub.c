// Stands in for the opencl backend when it is switched off at build time (-DANYDPO_OPENCL=OFF).
#include "runtime/backend.h"

static enum rt_err list(struct rt_dev_info **out, uint32_t *count)
{
    *out = NULL;
    *count = 0;
    return RT_OK;
}

static enum rt_err open(uint32_t index, const struct rt_dev_desc *desc, struct rt_dev **out)
{
    (void) index;
    (void) desc;
    *out = NULL;
    return rt_fail(RT_E_UNSUPPORTED, "this program was built without opencl (ANYDPO_OPENCL=OFF)");
}

// Nothing else can be called without a device.
const struct rt_backend RTCL_BACKEND = {.name = "opencl", .list = list, .open = open};
