// The host backend: the oracles as kernels, run at once on host memory, in float64.
#include "runtime/host/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"

static void host_caps(struct rt_caps *c)
{
    *c = (struct rt_caps){.kind = RT_CPU,
                          .group_invocations = 1024,
                          .group_size = {1024, 1024, 64},
                          .group_count = {UINT32_MAX, UINT32_MAX, UINT32_MAX},
                          .shared_bytes = 32768,
                          .range_bytes = UINT64_MAX / 2,
                          .alloc_bytes = UINT64_MAX / 2,
                          .offset_align_bytes = 4,
                          .params_bytes = 128,
                          .unified_memory = true};
    c->memory_bytes = os_memory();
    snprintf(c->name, sizeof(c->name), "host (float64 reference)");
    snprintf(c->driver, sizeof(c->driver), "anydpo");
    snprintf(c->api, sizeof(c->api), "host");
    snprintf(c->version, sizeof(c->version), "1");
}

static enum rt_err list(struct rt_dev_info **out, uint32_t *count)
{
    *count = 0;
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return rt_fail(RT_E_NOMEM, "out of memory: list of devices");
    snprintf((*out)->id, sizeof((*out)->id), "host");
    host_caps(&(*out)->caps);
    *count = 1;
    return RT_OK;
}

static enum rt_err open(uint32_t index, const struct rt_dev_desc *desc, struct rt_dev **out)
{
    enum rt_err err = RT_OK;
    struct rt_caps caps;
    struct rt_dev *dev = calloc(1, sizeof(*dev));
    const bool f64 = desc->name && strcmp(desc->name, "host:f64") == 0;

    (void) index;
    *out = NULL;
    RT_REQUIRE(dev, RT_E_NOMEM);
    host_caps(&caps);
    RT_TRY(rt_dev_init(dev, &RTHOST_BACKEND, f64 ? "host:f64" : "host", &caps, desc));
    dev->f64 = f64;
    *out = dev;
    dev = NULL;
done:
    if (dev)
        rthost_close(dev);
    return err;
}

void rthost_close(struct rt_dev *dev)
{
    rt_dev_fini(dev);
    free(dev);
}

const struct rt_backend RTHOST_BACKEND = {
    .name = "host",
    .list = list,
    .open = open,
    .close = rthost_close,
    .buf_create = rthost_buf_create,
    .buf_destroy = rthost_buf_destroy,
    .buf_write = rthost_buf_write,
    .buf_read = rthost_buf_read,
    .cmd_create = rthost_cmd_create,
    .cmd_dispatch = rthost_cmd_dispatch,
    .cmd_copy = rthost_cmd_copy,
    .cmd_zero = rthost_cmd_zero,
    .cmd_write = rthost_cmd_write,
    .cmd_read = rthost_cmd_read,
    .cmd_submit = rthost_cmd_submit,
    .cmd_wait = rthost_cmd_submit,
    .cmd_destroy = rthost_cmd_destroy,
};
