// Finding and opening OpenCL devices.
#include "runtime/opencl/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/str.h"

// Vendors' queries that the 1.2 header does not have; a device that does not know one returns an
// error.
enum {
    RTCL_WARP_SIZE_NV = 0x4003,
    RTCL_WAVEFRONT_WIDTH_AMD = 0x4043,
    RTCL_SUB_GROUP_SIZES_INTEL = 0x4108,
};

enum { MOST_PLATFORMS = 16, MOST_DEVICES = 64 };

// A device and the platform it belongs to.
struct found {
    cl_platform_id platform;
    cl_device_id device;
};

// ---- What a device reports --------------------------------------------------------------------

static uint64_t info_u64(cl_device_id id, cl_device_info what)
{
    union {
        cl_uint u32;
        cl_ulong u64;
    } v = {.u64 = 0};
    size_t n = 0;
    if (clGetDeviceInfo(id, what, sizeof(v), &v, &n) != CL_SUCCESS)
        return 0;
    return n == sizeof(v.u32) ? v.u32 : n == sizeof(v.u64) ? v.u64 : 0;
}

static uint32_t info_u32(cl_device_id id, cl_device_info what)
{
    return (uint32_t) u64_min(info_u64(id, what), UINT32_MAX);
}

static void info_text(cl_device_id id, cl_device_info what, char *out, size_t size)
{
    char text[512] = "";
    if (clGetDeviceInfo(id, what, sizeof(text) - 1, text, NULL) != CL_SUCCESS)
        text[0] = 0;
    snprintf(out, size, "%.*s", (int) (size - 1), text + strspn(text, " ")); // some pad the front
}

static bool has_extension(const char *all, const char *name)
{
    const size_t n = strlen(name);
    for (const char *p = all; (p = strstr(p, name)); p += n)
        if ((p == all || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0))
            return true;
    return false;
}

// What is usable from OpenCL C 1.2: cl_khr_subgroups needs 2.0, cl_intel_subgroups does not.
static enum rt_err extension_caps(cl_device_id id, struct rt_caps *c)
{
    enum rt_err err = RT_OK;
    size_t n = 0, sizes[16] = {0};
    char *all = NULL;

    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &n) != CL_SUCCESS || n == 0)
        goto done;
    all = calloc(1, n + 1);
    RT_REQUIRE(all, RT_E_NOMEM);
    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, n, all, NULL) != CL_SUCCESS)
        goto done;
    c->fp16 = has_extension(all, "cl_khr_fp16");
    c->integer_dot = has_extension(all, "cl_khr_integer_dot_product");
    c->subgroup_arithmetic = has_extension(all, "cl_intel_subgroups");
    c->subgroup_size_control = has_extension(all, "cl_intel_required_subgroup_size");
    if (has_extension(all, "cl_nv_device_attribute_query"))
        c->subgroup_size = info_u32(id, RTCL_WARP_SIZE_NV);
    else if (has_extension(all, "cl_amd_device_attribute_query"))
        c->subgroup_size = info_u32(id, RTCL_WAVEFRONT_WIDTH_AMD);
    else if (c->subgroup_arithmetic && clGetDeviceInfo(id, RTCL_SUB_GROUP_SIZES_INTEL,
                                                       sizeof(sizes), sizes, NULL) == CL_SUCCESS)
        c->subgroup_size =
            (uint32_t) u64_min(sizes[0], UINT32_MAX); // the least: the compiler chooses
done:
    free(all);
    return err;
}

static void limit_caps(cl_device_id id, struct rt_caps *c)
{
    size_t sizes[8] = {1, 1, 1};
    const uint32_t params = info_u32(id, CL_DEVICE_MAX_PARAMETER_SIZE);
    const uint32_t pointers = RT_MAX_BUFS * 8,
                   bases = 3 * 4; // what a kernel takes beside its params

    c->group_invocations = info_u32(id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    if (clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof(sizes), sizes, NULL) ==
        CL_SUCCESS)
        for (int i = 0; i < 3; i++)
            c->group_size[i] = (uint32_t) u64_min(sizes[i], UINT32_MAX);
    // OpenCL names no limit but the size of an address. Hardware has these, and larger grids are
    // cut.
    c->group_count[0] = (uint32_t) INT32_MAX / u32_max(c->group_invocations, 1);
    c->group_count[1] = c->group_count[2] = 65535;
    c->shared_bytes = info_u32(id, CL_DEVICE_LOCAL_MEM_SIZE);
    c->range_bytes = c->alloc_bytes = info_u64(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    c->memory_bytes = info_u64(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    c->offset_align_bytes =
        u32_max(info_u32(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8, 1); // given in bits
    c->params_bytes = params > pointers + bases ? params - pointers - bases : 0;
    c->unified_memory = info_u32(id, CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
    c->timestamps = true;
    c->storage_16bit = true; // ushort is a type of OpenCL C
}

static enum rt_dev_kind kind_of(cl_device_id id, bool unified)
{
    const uint64_t type = info_u64(id, CL_DEVICE_TYPE);
    if (type & CL_DEVICE_TYPE_GPU)
        return unified ? RT_GPU_INTEGRATED : RT_GPU_DISCRETE;
    return type & CL_DEVICE_TYPE_CPU ? RT_CPU : RT_OTHER;
}

static enum rt_err read_caps(const struct found *f, struct rt_caps *c)
{
    enum rt_err err = RT_OK;
    char platform[64] = "", driver[56], version[64];

    *c = (struct rt_caps){0};
    if (clGetPlatformInfo(f->platform, CL_PLATFORM_NAME, sizeof(platform) - 1, platform, NULL) !=
        CL_SUCCESS)
        snprintf(platform, sizeof(platform), "unknown platform");
    info_text(f->device, CL_DEVICE_NAME, c->name, sizeof(c->name));
    info_text(f->device, CL_DRIVER_VERSION, driver, sizeof(driver));
    info_text(f->device, CL_DEVICE_VERSION, version, sizeof(version));
    snprintf(c->driver, sizeof(c->driver), "%s %s", platform, driver);
    snprintf(c->api, sizeof(c->api), "opencl");
    if (sscanf(version, "OpenCL %31s", c->version) != 1)
        c->version[0] = 0;
    limit_caps(f->device, c);
    c->kind = kind_of(f->device, c->unified_memory);
    RT_TRY(extension_caps(f->device, c));
    if (c->kind == RT_CPU) {
        rtcl_cpu_caps(c, strcmp(platform, "Portable Computing Language") == 0);
        c->memory_bytes = u64_max(c->memory_bytes, os_memory()); // its buffers are our own pages
    }
done:
    return err;
}

// ---- List, open, close ------------------------------------------------------------------------

// A device that can compile, is available and has our byte order.
static bool usable(cl_device_id id)
{
    return info_u32(id, CL_DEVICE_AVAILABLE) && info_u32(id, CL_DEVICE_COMPILER_AVAILABLE) &&
           info_u32(id, CL_DEVICE_ENDIAN_LITTLE);
}

// All usable devices of all platforms, in the loader's order. A machine without any is no error.
static uint32_t find(struct found out[MOST_DEVICES])
{
    cl_platform_id platforms[MOST_PLATFORMS];
    cl_uint n_platforms = 0;
    uint32_t n = 0;
    cl_int code = clGetPlatformIDs(MOST_PLATFORMS, platforms, &n_platforms);

    if (code != CL_SUCCESS) {
        if (code != RTCL_NOT_FOUND_KHR)
            log_warn("opencl: clGetPlatformIDs: %s (%d)", rtcl_error_name(code), code);
        return 0;
    }
    for (uint32_t p = 0; p < u32_min(n_platforms, MOST_PLATFORMS); p++) {
        cl_device_id ids[MOST_DEVICES];
        cl_uint k = 0;
        code = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MOST_DEVICES, ids, &k);
        if (code != CL_SUCCESS && code != CL_DEVICE_NOT_FOUND)
            log_warn("opencl: platform %u: clGetDeviceIDs: %s (%d)", p, rtcl_error_name(code),
                     code);
        for (uint32_t i = 0; code == CL_SUCCESS && i < u32_min(k, MOST_DEVICES) && n < MOST_DEVICES;
             i++)
            if (usable(ids[i]))
                out[n++] = (struct found){platforms[p], ids[i]};
    }
    return n;
}

static enum rt_err list(struct rt_dev_info **out, uint32_t *count)
{
    enum rt_err err = RT_OK;
    struct found all[MOST_DEVICES];
    const uint32_t n = find(all);
    struct rt_dev_info *info = NULL;

    *out = NULL;
    *count = 0;
    if (n == 0)
        goto done;
    info = calloc(n, sizeof(*info));
    RT_REQUIRE(info, RT_E_NOMEM);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(info[i].id, sizeof(info[i].id), "opencl:%u", i);
        RT_TRY(read_caps(&all[i], &info[i].caps));
    }
    *out = info;
    *count = n;
    info = NULL;
done:
    free(info);
    return err;
}

// What a driver says of its own accord; from any of its threads.
static void CL_CALLBACK notice(const char *text, const void *bytes, size_t n, void *user)
{
    (void) bytes;
    (void) n;
    (void) user;
    log_debug("opencl: %s", text);
}

static enum rt_err open(uint32_t index, const struct rt_dev_desc *desc, struct rt_dev **out)
{
    enum rt_err err = RT_OK;
    struct found all[MOST_DEVICES];
    struct rt_caps caps;
    char id[32];
    cl_int code;
    struct rtcl_dev *d = calloc(1, sizeof(*d));

    *out = NULL;
    RT_REQUIRE(d, RT_E_NOMEM);
    RT_REQUIRE(index < find(all), RT_E_NOT_FOUND);
    RT_TRY(read_caps(&all[index], &caps));
    snprintf(id, sizeof(id), "opencl:%u", index);
    RT_TRY(rt_dev_init(&d->head, &RTCL_BACKEND, id, &caps, desc));
    d->id = all[index].device;
    d->watchdog = caps.kind != RT_CPU;
    d->budget = 1e10;
    d->context =
        clCreateContext((cl_context_properties[]){CL_CONTEXT_PLATFORM,
                                                  (cl_context_properties) all[index].platform, 0},
                        1, &d->id, notice, NULL, &code);
    RT_TRY(rtcl_check(d, code, "clCreateContext"));
    d->queue = clCreateCommandQueue(d->context, d->id,
                                    desc->profile ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    RT_TRY(rtcl_check(d, code, "clCreateCommandQueue"));
    *out = &d->head;
    d = NULL;
done:
    if (d)
        rtcl_close(&d->head);
    return err;
}

void rtcl_close(struct rt_dev *dev)
{
    struct rtcl_dev *d = (struct rtcl_dev *) dev;

    if (d->queue)
        clFinish(d->queue);
    rtcl_kernels_free(d);
    if (d->queue)
        clReleaseCommandQueue(d->queue);
    if (d->context)
        clReleaseContext(d->context);
    rt_dev_fini(dev);
    free(d);
}

const struct rt_backend RTCL_BACKEND = {
    .name = "opencl",
    .list = list,
    .open = open,
    .close = rtcl_close,
    .buf_create = rtcl_buf_create,
    .buf_destroy = rtcl_buf_destroy,
    .buf_write = rtcl_buf_write,
    .buf_read = rtcl_buf_read,
    .cmd_create = rtcl_cmd_create,
    .cmd_dispatch = rtcl_cmd_dispatch,
    .cmd_copy = rtcl_cmd_copy,
    .cmd_zero = rtcl_cmd_zero,
    .cmd_write = rtcl_cmd_write,
    .cmd_read = rtcl_cmd_read,
    .cmd_submit = rtcl_cmd_submit,
    .cmd_wait = rtcl_cmd_wait,
    .cmd_destroy = rtcl_cmd_destroy,
};
