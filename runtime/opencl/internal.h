// runtime/opencl/internal.h -- the parts of the OpenCL backend. Floor: OpenCL 1.2, nothing
// optional.
//
// One context, one device, one in-order queue. Work is enqueued when it is recorded; clFlush hands
// it over at submit, every RTCL_FLUSH_EVERY dispatches, or when its estimated work reaches the
// budget.
#ifndef RUNTIME_OPENCL_INTERNAL_H
#define RUNTIME_OPENCL_INTERNAL_H

#include <CL/cl.h>

#include "runtime/backend.h"

enum { RTCL_BUCKETS = 128, RTCL_FLUSH_EVERY = 64, RTCL_SLICES = 16 };

struct rtcl_kernel; // a compiled kernel (kernel.c)

struct rtcl_dev {
    struct rt_dev head;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    struct rtcl_kernel *kernels[RTCL_BUCKETS]; // by rt_work_key, chained
    bool watchdog;                             // long work is cut: a display may hang on the device
    double budget;                             // floating-point operations of about 100 ms
    double unflushed, busy;                    // the same, since the last flush / since the start
    double waited;                             // of `busy`, what is known to have run
    uint32_t n_unflushed;                      // dispatches
    double
        busy_since; // os_seconds() of the first dispatch since idle, or of the last wait; 0: idle
};

// Sub-buffers are made once for each distinct slice and kept, so that a training step makes none.
struct rtcl_slice {
    uint64_t first, n; // bytes
    cl_mem mem;
};

struct rtcl_buf {
    struct rt_buf head;
    cl_mem mem;
    void *pages; // on a CPU device, the memory that mem stands for: zero-copy, and zeroed by the
                 // system
    struct rtcl_slice slices[RTCL_SLICES];
    uint32_t next; // slot to replace
};

enum { RTCL_NOT_FOUND_KHR = -1001 }; // the loader found no platform; not in the core header

// ---- device.c ----

void rtcl_close(struct rt_dev *dev);

// ---- error.c ----

// RT_OK for CL_SUCCESS; else one line "opencl:0: WHAT: CL_NAME (bytes in use)" and RT_E_DEVMEM
// where the device is out of memory, RT_E_NOMEM where the host is, RT_E_DEVICE for all else.
RT_NODISCARD enum rt_err rtcl_check(const struct rtcl_dev *dev, cl_int code, const char *what);
const char *rtcl_error_name(cl_int code); // "CL_OUT_OF_RESOURCES"; never NULL

// ---- cpu.c ----

// avx512, fma_avx2 and bf16_dot of the processor that this program runs on. `inline_asm`: the
// platform passes inline assembly on to the processor, without which bf16_dot is of no use.
void rtcl_cpu_caps(struct rt_caps *caps, bool inline_asm);

// ---- buf.c ----

enum rt_err rtcl_buf_create(struct rt_dev *dev, const struct rt_buf *head, struct rt_buf **out);
void rtcl_buf_destroy(struct rt_buf *buf);
enum rt_err rtcl_buf_write(struct rt_buf *buf, uint64_t off, uint64_t n, const void *src);
enum rt_err rtcl_buf_read(const struct rt_buf *buf, uint64_t off, uint64_t n, void *dst);

// The memory object of a bound slice; the buffer keeps it.
RT_NODISCARD enum rt_err rtcl_buf_slice(const struct rt_bind *bind, cl_mem *out);

// ---- kernel.c ----

// The kernel that runs `work`, compiled now if it is new. The device keeps it.
// Errors: RT_E_UNSUPPORTED no OpenCL form, or its group or local memory is too large; RT_E_COMPILE
// with the head of the compiler's log; RT_E_NOMEM; RT_E_DEVICE.
RT_NODISCARD enum rt_err rtcl_kernel_get(struct rtcl_dev *dev, const struct rt_work *work,
                                         cl_kernel *out);
void rtcl_kernels_free(struct rtcl_dev *dev);

// ---- cmd.c ----

enum rt_err rtcl_cmd_create(struct rt_dev *dev, struct rt_cmd **out);
enum rt_err rtcl_cmd_dispatch(struct rt_cmd *cmd, const struct rt_work *work);
enum rt_err rtcl_cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_off,
                          struct rt_buf *dst, uint64_t dst_off, uint64_t n);
enum rt_err rtcl_cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n);
enum rt_err rtcl_cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n,
                           const void *src);
enum rt_err rtcl_cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off, uint64_t n,
                          void *dst);
enum rt_err rtcl_cmd_submit(struct rt_cmd *cmd);
enum rt_err rtcl_cmd_wait(struct rt_cmd *cmd);
void rtcl_cmd_destroy(struct rt_cmd *cmd);

#endif // RUNTIME_OPENCL_INTERNAL_H
