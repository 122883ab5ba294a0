// The OpenCL backend when the driver fails: each call in turn returns an error, and every one of
// them must end in an error code or in the right result, with nothing leaked. The functions below
// stand before the loader's own.
#define _GNU_SOURCE // RTLD_NEXT
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/backend.h"
#include "src/base/str.h"
#include "src/op/cast.h"
#include "tests/t.h"

#if __has_include(<CL/cl.h>)
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

static struct {
    int calls, fail_at; // fail_at 0: never
    cl_int code;
    const char *failed; // name of the call that failed
    int objects;        // created and not released
} g;

static bool fails(const char *name)
{
    if (++g.calls != g.fail_at)
        return false;
    g.failed = name;
    return true;
}

#define NEXT(ret, name, params)                                                                    \
    ret(CL_API_CALL *next) params;                                                                 \
    *(void **) &next = dlsym(RTLD_NEXT, #name)

// A function that returns a code; one that returns an object and gives the code through a pointer;
// a release.
#define CODE(name, params, args)                                                                   \
    cl_int CL_API_CALL name params                                                                 \
    {                                                                                              \
        NEXT(cl_int, name, params);                                                                \
        return fails(#name) ? g.code : next args;                                                  \
    }
#define OBJECT(type, name, params, args)                                                           \
    type CL_API_CALL name params                                                                   \
    {                                                                                              \
        NEXT(type, name, params);                                                                  \
        if (fails(#name)) {                                                                        \
            *e = g.code;                                                                           \
            return NULL;                                                                           \
        }                                                                                          \
        const type made = next args;                                                               \
        g.objects += made != NULL;                                                                 \
        return made;                                                                               \
    }
#define RELEASE(name, type)                                                                        \
    cl_int CL_API_CALL name(type x)                                                                \
    {                                                                                              \
        NEXT(cl_int, name, (type));                                                                \
        g.objects--;                                                                               \
        return next(x);                                                                            \
    }

typedef void(CL_CALLBACK *notice)(const char *, const void *, size_t, void *);
typedef void(CL_CALLBACK *built)(cl_program, void *);
#define QUEUE cl_command_queue q
#define EVENTS cl_uint n, const cl_event *w, cl_event *ev

CODE(clGetPlatformIDs, (cl_uint n, cl_platform_id *p, cl_uint *out), (n, p, out))
CODE(clGetDeviceIDs, (cl_platform_id p, cl_device_type t, cl_uint n, cl_device_id *d, cl_uint *out),
     (p, t, n, d, out))
CODE(clGetDeviceInfo, (cl_device_id d, cl_device_info i, size_t n, void *v, size_t *out),
     (d, i, n, v, out))
CODE(clBuildProgram,
     (cl_program p, cl_uint n, const cl_device_id *d, const char *o, built f, void *u),
     (p, n, d, o, f, u))
CODE(clGetProgramInfo, (cl_program p, cl_program_info i, size_t n, void *v, size_t *out),
     (p, i, n, v, out))
CODE(clGetKernelWorkGroupInfo,
     (cl_kernel k, cl_device_id d, cl_kernel_work_group_info i, size_t n, void *v, size_t *out),
     (k, d, i, n, v, out))
CODE(clSetKernelArg, (cl_kernel k, cl_uint i, size_t n, const void *v), (k, i, n, v))
CODE(clEnqueueNDRangeKernel,
     (QUEUE, cl_kernel k, cl_uint dims, const size_t *o, const size_t *gl, const size_t *l, EVENTS),
     (q, k, dims, o, gl, l, n, w, ev))
CODE(clEnqueueWriteBuffer, (QUEUE, cl_mem m, cl_bool b, size_t o, size_t s, const void *p, EVENTS),
     (q, m, b, o, s, p, n, w, ev))
CODE(clEnqueueReadBuffer, (QUEUE, cl_mem m, cl_bool b, size_t o, size_t s, void *p, EVENTS),
     (q, m, b, o, s, p, n, w, ev))
CODE(clEnqueueCopyBuffer, (QUEUE, cl_mem a, cl_mem b, size_t o, size_t p, size_t s, EVENTS),
     (q, a, b, o, p, s, n, w, ev))
CODE(clEnqueueFillBuffer, (QUEUE, cl_mem m, const void *p, size_t k, size_t o, size_t s, EVENTS),
     (q, m, p, k, o, s, n, w, ev))
CODE(clFlush, (QUEUE), (q))
CODE(clFinish, (QUEUE), (q))
OBJECT(cl_context, clCreateContext,
       (const cl_context_properties *p, cl_uint n, const cl_device_id *d, notice f, void *u,
        cl_int *e),
       (p, n, d, f, u, e))
OBJECT(cl_command_queue, clCreateCommandQueue,
       (cl_context c, cl_device_id d, cl_command_queue_properties p, cl_int *e), (c, d, p, e))
OBJECT(cl_mem, clCreateBuffer, (cl_context c, cl_mem_flags f, size_t n, void *p, cl_int *e),
       (c, f, n, p, e))
OBJECT(cl_mem, clCreateSubBuffer,
       (cl_mem m, cl_mem_flags f, cl_buffer_create_type t, const void *r, cl_int *e),
       (m, f, t, r, e))
OBJECT(cl_program, clCreateProgramWithSource,
       (cl_context c, cl_uint n, const char **s, const size_t *l, cl_int *e), (c, n, s, l, e))
OBJECT(cl_program, clCreateProgramWithBinary,
       (cl_context c, cl_uint n, const cl_device_id *d, const size_t *l, const unsigned char **b,
        cl_int *s, cl_int *e),
       (c, n, d, l, b, s, e))
OBJECT(cl_kernel, clCreateKernel, (cl_program p, const char *s, cl_int *e), (p, s, e))
RELEASE(clReleaseContext, cl_context)
RELEASE(clReleaseCommandQueue, cl_command_queue)
RELEASE(clReleaseMemObject, cl_mem)
RELEASE(clReleaseProgram, cl_program)
RELEASE(clReleaseKernel, cl_kernel)

enum { N = 1000 };

static enum rt_err work(struct rt_dev *dev, struct rt_buf *a, struct rt_buf *b, float *got)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;
    const struct cast_params p = {500, 1.0f};

    for (int i = 0; i < N; i++)
        got[i] = (float) i;
    RT_TRY(rt_buf_write(a, 0, N, RT_F32, got));
    RT_TRY(rt_cmd_create(dev, &cmd));
    RT_TRY(op_cast(cmd, &(struct op_cast_args){.x = a, .y = b, .n = N}));
    RT_TRY(rt_cmd_submit(cmd));
    RT_TRY(rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){// a slice
                                        .kernel = "cast",
                                        .items = 250,
                                        .bufs = {RT_IN_AT(a, 64, 500), RT_OUT_AT(b, 128, 500)},
                                        .params = &p,
                                        .params_size = sizeof(p)}));
    RT_TRY(rt_cmd_copy(cmd, b, 0, b, 900, 100));
    RT_TRY(rt_cmd_zero(cmd, b, 0, 10));
    RT_TRY(rt_cmd_wait(&cmd));
    RT_TRY(rt_buf_read(b, 0, N, RT_F32, got));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

static enum rt_err session(const struct rt_dev_desc *desc, float *got)
{
    enum rt_err err = RT_OK;
    struct rt_dev *dev = NULL;
    struct rt_buf *a = NULL, *b = NULL;

    RT_TRY(rt_dev_open(desc, &dev));
    RT_TRY(rt_buf_create(dev, RT_F32, N, "a", &a));
    RT_TRY(rt_buf_create(dev, RT_F16, N, "b", &b));
    RT_TRY(work(dev, a, b, got));
done:
    if (a)
        rt_buf_destroy(&a);
    if (b)
        rt_buf_destroy(&b);
    rt_dev_close(&dev);
    return err;
}

static void check(const float *got)
{
    for (int i = 0; i < N; i++) {
        const int want = i < 10 ? 0 : i >= 900 ? i - 900 : i >= 128 && i < 628 ? i - 64 : i;
        if (got[i] != (float) want)
            fail_msg("after a failed %s: element %d: got %g, want %d", g.failed, i, (double) got[i],
                     want);
    }
}

// Fails the k-th call for every k, until a session has fewer calls than that.
static void each_call(struct t *t, struct rt_dev_desc *desc, cl_int code)
{
    float *got = t_alloc(t, N * sizeof(*got));
    for (int k = 1;; k++) {
        g.calls = 0;
        g.code = code;
        g.fail_at = k;
        g.failed = NULL;
        g.objects = 0;
        const enum rt_err err = session(desc, got);
        const char *log = t_logged();
        if (g.objects != 0)
            fail_msg("%d objects are left after a failed %s", g.objects, g.failed);
        if (err == RT_OK)
            check(got);
        else if (!log[0])
            fail_msg("a failed %s ended in %s and logged nothing", g.failed, rt_err_name(err));
        if (!g.failed)
            break; // that was the last
        if (err != RT_OK && code == CL_OUT_OF_RESOURCES && strncmp(g.failed, "clEnqueue", 9) == 0)
            assert_true(err == RT_E_DEVMEM && strstr(log, "CL_OUT_OF_RESOURCES") &&
                        strstr(log, "in use"));
    }
    t_reset(t);
}

// Cache files that are sound but hold no binary that the driver takes. (There are several: where
// the name of the device could not be had, the key was another.) Returns how many of them hold a
// binary now.
static int binaries(const char *folder, bool spoil)
{
    static const char GARBAGE[] = "no binary of any driver";
    DIR *d = opendir(folder);
    int n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct str s = {0};
        unsigned long long key;
        if (sscanf(e->d_name, "clbin-%llx.bin", &key) != 1)
            continue;
        if (spoil)
            rt_cache_store(folder, "clbin", key, GARBAGE, sizeof(GARBAGE));
        T_OK(rt_cache_load(folder, "clbin", key, &s));
        n += s.len > sizeof(GARBAGE);
        str_free(&s);
    }
    closedir(d);
    return n;
}

enum { FORMS = 3 }; // of cast in a session: whole groups, the rest, and the slice of work()

static void bad_binary(struct t *t, const struct rt_dev_desc *desc)
{
    float *got = t_alloc(t, N * sizeof(*got));
    assert_true(binaries(desc->cache_dir, false) >= FORMS);
    assert_int_equal(binaries(desc->cache_dir, true), 0);
    T_OK(session(desc, got));
    check(got);
    assert_int_equal(binaries(desc->cache_dir, false), FORMS); // compiled anew and replaced
    t_reset(t);
}

static void body(struct t *t)
{
    char folder[] = "/tmp/anydpo-test-XXXXXX";
    struct rt_dev_desc desc = {.name = t_name(t), .kernels = op_kernels()};

    if (strncmp(rt_dev_id(t_dev(t)), "opencl", 6) != 0)
        return;
    each_call(t, &desc, CL_OUT_OF_RESOURCES);
    each_call(t, &desc, CL_INVALID_VALUE);
    desc.clamp.disable = UINT32_MAX; // buffers of the driver's own
    assert_non_null(mkdtemp(folder));
    desc.cache_dir =
        folder; // with binaries; here the first session stores them, the others load them
    each_call(t, &desc, CL_OUT_OF_HOST_MEMORY);
    g.fail_at = 0;
    bad_binary(t, &desc);
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}
#else
static void body(struct t *t)
{
    (void) t;
} // built without OpenCL's headers
#endif

int main(void)
{
    return t_each_device(body);
}
