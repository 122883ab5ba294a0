// Kernels: found by what they were compiled with; compiled from the cached binary, or from text.
#include "runtime/opencl/internal.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/str.h"

static const char OPTIONS[] = "-cl-std=CL1.2 -cl-single-precision-constant";

struct rtcl_kernel {
    struct rtcl_kernel *next;
    uint64_t key;
    const struct rt_kernel *row;
    uint32_t group[2];
    enum rt_type types[RT_MAX_BUFS]; // of elem buffers
    struct rt_tune tune[RT_MAX_TUNES];
    cl_program program;
    cl_kernel kernel;
};

static bool same_tune(const struct rt_tune *a, const struct rt_tune *b)
{
    for (int i = 0; i < RT_MAX_TUNES; i++) {
        if (!a[i].name || !b[i].name)
            return a[i].name == b[i].name;
        if (a[i].value != b[i].value || strcmp(a[i].name, b[i].name) != 0)
            return false;
    }
    return true;
}

static bool is_for(const struct rtcl_kernel *k, const struct rt_work *w)
{
    if (k->row != w->kernel || memcmp(k->group, w->group, sizeof(k->group)) != 0)
        return false;
    for (uint32_t i = 0; i < w->kernel->n_bufs; i++)
        if (w->kernel->bufs[i].elem == RT_ELEM_elem && k->types[i] != rt_buf_type(w->bufs[i].buf))
            return false;
    return same_tune(k->tune, w->tune);
}

static void kernel_free(struct rtcl_kernel *k)
{
    if (k->kernel)
        clReleaseKernel(k->kernel);
    if (k->program)
        clReleaseProgram(k->program);
    free(k);
}

// ---- Programs ---------------------------------------------------------------------------------
// These use nothing of the device but its handles and so may run on several threads at once.

static uint64_t cache_key(const struct rtcl_dev *d, const struct str *text)
{
    const struct rt_caps *c = &d->head.plan.caps;
    uint64_t h =
        rt_hash(0, text->data, text->len + 1); // with the NUL, so that the parts stay apart
    h = rt_hash(h, OPTIONS, sizeof(OPTIONS));
    h = rt_hash(h, c->name, strlen(c->name) + 1);
    return rt_hash(h, c->driver, strlen(c->driver) + 1);
}

// The head of the compiler's log on one line.
static enum rt_err fail_build(const struct rtcl_dev *d, cl_program program, const char *name,
                              cl_int code)
{
    enum { HEAD = 600 };
    size_t n = 0;
    char *log = NULL;
    enum rt_err err;

    if (clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) == CL_SUCCESS &&
        n > 0)
        log = calloc(1, n + 1);
    if (log &&
        clGetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, n, log, NULL) != CL_SUCCESS)
        log[0] = 0;
    for (char *p = log; p && *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = p[1] ? '|' : 0;
    err = rt_fail(RT_E_COMPILE, "%s: kernel %s does not compile (%s): %.*s", d->head.id, name,
                  rtcl_error_name(code), HEAD, log ? log : "no log");
    free(log);
    return err;
}

static enum rt_err build_text(const struct rtcl_dev *d, const struct str *text, const char *name,
                              cl_program *out)
{
    enum rt_err err = RT_OK;
    const char *const source = text->data;
    cl_int code;

    *out = clCreateProgramWithSource(d->context, 1, (const char **) (uintptr_t) &source, &text->len,
                                     &code);
    RT_TRY(rtcl_check(d, code, "clCreateProgramWithSource"));
    code = clBuildProgram(*out, 1, &d->id, OPTIONS, NULL, NULL);
    if (code != CL_SUCCESS)
        RT_TRY(fail_build(d, *out, name, code));
done:
    if (err != RT_OK && *out) {
        clReleaseProgram(*out);
        *out = NULL;
    }
    return err;
}

// NULL when the driver does not take the binary: then the text is compiled again.
static cl_program build_binary(const struct rtcl_dev *d, const struct str *binary)
{
    const unsigned char *const bytes = (const unsigned char *) binary->data;
    cl_int code, status = CL_INVALID_BINARY;
    cl_program p =
        clCreateProgramWithBinary(d->context, 1, &d->id, &binary->len,
                                  (const unsigned char **) (uintptr_t) &bytes, &status, &code);
    if (code == CL_SUCCESS && status == CL_SUCCESS &&
        clBuildProgram(p, 1, &d->id, OPTIONS, NULL, NULL) == CL_SUCCESS)
        return p;
    if (p)
        clReleaseProgram(p);
    return NULL;
}

// Best effort: a driver that gives no binary costs the next start a compilation.
static void store_binary(const struct rtcl_dev *d, cl_program program, uint64_t key)
{
    size_t n = 0;
    unsigned char *bytes = NULL;

    if (!d->head.cache_dir ||
        clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(n), &n, NULL) != CL_SUCCESS)
        return;
    bytes = n ? malloc(n) : NULL;
    if (bytes &&
        clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(bytes), &bytes, NULL) == CL_SUCCESS)
        rt_cache_store(d->head.cache_dir, "clbin", key, bytes, n);
    free(bytes);
}

// *cached tells whether the binary was used.
static enum rt_err build(const struct rtcl_dev *d, const struct rt_work *w, cl_program *out,
                         bool *cached)
{
    enum rt_err err = RT_OK;
    struct str text = {0}, binary = {0};
    uint64_t key;

    *out = NULL;
    *cached = false;
    RT_TRY(rt_kernel_text(w, false, &text));
    key = cache_key(d, &text);
    RT_TRY(rt_cache_load(d->head.cache_dir, "clbin", key, &binary));
    if (binary.len)
        *out = build_binary(d, &binary);
    *cached = *out != NULL;
    if (*out)
        goto done;
    RT_TRY(build_text(d, &text, w->kernel->name, out));
    store_binary(d, *out, key);
done:
    str_free(&text);
    str_free(&binary);
    return err;
}

// ---- Kernels ----------------------------------------------------------------------------------

static enum rt_err check_limits(const struct rtcl_dev *d, const struct rt_work *w, cl_kernel kernel)
{
    enum rt_err err = RT_OK;
    const uint32_t lanes = w->group[0] * w->group[1];
    size_t group = 0;
    cl_ulong local = 0;

    RT_TRY(rtcl_check(d,
                      clGetKernelWorkGroupInfo(kernel, d->id, CL_KERNEL_WORK_GROUP_SIZE,
                                               sizeof(group), &group, NULL),
                      "clGetKernelWorkGroupInfo"));
    RT_TRY(rtcl_check(d,
                      clGetKernelWorkGroupInfo(kernel, d->id, CL_KERNEL_LOCAL_MEM_SIZE,
                                               sizeof(local), &local, NULL),
                      "clGetKernelWorkGroupInfo"));
    if (group < lanes)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: kernel %s: a group of %u, the compiled kernel's limit is %zu",
                       d->head.id, w->kernel->name, lanes, group));
    if (local > d->head.plan.caps.shared_bytes)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: kernel %s: %llu bytes of shared memory, the limit is %u", d->head.id,
                       w->kernel->name, (unsigned long long) local,
                       d->head.plan.caps.shared_bytes));
done:
    return err;
}

static enum rt_err kernel_make(struct rtcl_dev *d, const struct rt_work *w,
                               struct rtcl_kernel **out)
{
    enum rt_err err = RT_OK;
    struct rtcl_kernel *k = NULL;
    bool cached;
    cl_int code;

    *out = NULL;
    if (!w->kernel->source && !w->kernel->opencl_only)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: kernel %s has no OpenCL form", d->head.id,
                       w->kernel->name));
    k = calloc(1, sizeof(*k));
    RT_REQUIRE(k, RT_E_NOMEM);
    k->row = w->kernel;
    memcpy(k->group, w->group, sizeof(k->group));
    memcpy(k->tune, w->tune, sizeof(k->tune));
    for (uint32_t i = 0; i < w->kernel->n_bufs; i++)
        k->types[i] = rt_buf_type(w->bufs[i].buf);
    RT_TRY(build(d, w, &k->program, &cached));
    k->kernel = clCreateKernel(k->program, w->kernel->name, &code);
    RT_TRY(rtcl_check(d, code, w->kernel->name));
    RT_TRY(check_limits(d, w, k->kernel));
    d->head.stats.compiles += !cached;
    d->head.stats.cache_hits += cached;
    *out = k;
    k = NULL;
done:
    if (k)
        kernel_free(k);
    return err;
}

enum rt_err rtcl_kernel_get(struct rtcl_dev *d, const struct rt_work *w, cl_kernel *out)
{
    enum rt_err err = RT_OK;
    const uint64_t key = rt_work_key(w);
    struct rtcl_kernel **bucket = &d->kernels[key % RTCL_BUCKETS], *k = *bucket;

    while (k && !(k->key == key && is_for(k, w)))
        k = k->next;
    if (!k) {
        RT_TRY(kernel_make(d, w, &k));
        k->key = key;
        k->next = *bucket;
        *bucket = k;
    }
    *out = k->kernel;
done:
    return err;
}

void rtcl_kernels_free(struct rtcl_dev *d)
{
    for (uint32_t i = 0; i < RTCL_BUCKETS; i++)
        while (d->kernels[i]) {
            struct rtcl_kernel *k = d->kernels[i];
            d->kernels[i] = k->next;
            kernel_free(k);
        }
}
