// Stands in for the opencl backend when it is switched off at build time (-DANYDPO_OPENCL=OFF).
#include "runtime/backend.h"

static enum rt_err list(struct rt_dev_info **out, uint32_t *count)
{
    *out = NULL;
    *count = 0;
    return RT_OK;
}

const struct rt_backend RTCL_BACKEND = {.name = "opencl", .list = list, .off = "ANYDPO_OPENCL=OFF"};
