// Work is enqueued when it is recorded; the queue is in order, so no hazard needs a barrier.
#include "runtime/opencl/internal.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"

// `mark` comes after all that was recorded before the last submit; later work has none yet.
struct rtcl_cmd {
    struct rt_cmd head;
    cl_event mark;
    double busy; // the device's, at the mark
    bool unmarked;
};

// The device, for work of `cmd` that follows now.
static struct rtcl_dev *dev_of(struct rt_cmd *cmd)
{
    ((struct rtcl_cmd *) cmd)->unmarked = true;
    return (struct rtcl_dev *) cmd->dev;
}

enum rt_err rtcl_cmd_create(struct rt_dev *dev, struct rt_cmd **out)
{
    struct rtcl_cmd *c = calloc(1, sizeof(*c));

    *out = NULL;
    if (!c)
        return rt_fail(RT_E_NOMEM, "out of memory: a command");
    c->head.dev = dev;
    *out = &c->head;
    return RT_OK;
}

static enum rt_err flush(struct rtcl_dev *d)
{
    d->n_unflushed = 0;
    d->unflushed = 0.0;
    d->head.stats.submits++;
    return rtcl_check(d, clFlush(d->queue), "clFlush");
}

// Buffers in order, then the parameters' words, one argument each.
static enum rt_err set_args(const struct rtcl_dev *d, cl_kernel kernel, const struct rt_work *w)
{
    enum rt_err err = RT_OK;
    cl_int code = CL_SUCCESS;
    cl_uint arg = 0;
    cl_mem mem;

    for (uint32_t i = 0; i < w->kernel->n_bufs && code == CL_SUCCESS; i++) {
        RT_TRY(rtcl_buf_slice(&w->bufs[i], &mem));
        code = clSetKernelArg(kernel, arg++, sizeof(mem), &mem);
    }
    for (uint32_t i = 0; i + 4 <= w->kernel->params_bytes && code == CL_SUCCESS; i += 4)
        code = clSetKernelArg(kernel, arg++, 4, w->params + i);
    err = rtcl_check(d, code, "clSetKernelArg");
done:
    return err;
}

// How large a piece of the grid is run at once: within the device's group counts, and within its
// budget of work where a watchdog looks. Halves z, then y, then x.
static void piece_of(const struct rtcl_dev *d, const struct rt_work *w, uint32_t piece[3])
{
    double flops = w->flops;

    for (int i = 0; i < 3; i++)
        piece[i] = u32_min(w->groups[i], u32_max(d->head.plan.caps.group_count[i], 1));
    for (int i = 2; d->watchdog && i >= 0; i--)
        for (; flops > d->budget && piece[i] > 1; flops /= 2.0)
            piece[i] = (piece[i] + 1) / 2;
}

// With a profile: wait for a piece and add its time on the device.
static void count_time(struct rtcl_dev *d, cl_event *event)
{
    cl_ulong begin = 0, end = 0;

    if (!*event)
        return;
    if (clWaitForEvents(1, event) == CL_SUCCESS &&
        clGetEventProfilingInfo(*event, CL_PROFILING_COMMAND_START, sizeof(begin), &begin, NULL) ==
            CL_SUCCESS &&
        clGetEventProfilingInfo(*event, CL_PROFILING_COMMAND_END, sizeof(end), &end, NULL) ==
            CL_SUCCESS)
        d->head.busy_s += 1e-9 * (double) (end - begin);
    clReleaseEvent(*event);
}

static enum rt_err run_piece(struct rtcl_dev *d, cl_kernel kernel, const struct rt_work *w,
                             const uint32_t base[3], const uint32_t piece[3])
{
    enum rt_err err = RT_OK;
    const cl_uint first = w->kernel->n_bufs + w->kernel->params_bytes / 4;
    const size_t local[3] = {w->group[0], w->group[1], 1};
    size_t global[3];
    double share = 1.0;
    cl_event event = NULL;

    for (cl_uint i = 0; i < 3; i++) {
        const uint32_t n = u32_min(piece[i], w->groups[i] - base[i]);
        global[i] = n * local[i];
        share *= (double) n / (double) w->groups[i];
        RT_TRY(rtcl_check(d, clSetKernelArg(kernel, first + i, sizeof(base[i]), &base[i]),
                          "clSetKernelArg"));
    }
    if (d->busy_since <= 0.0)
        d->busy_since = os_seconds();
    RT_TRY(rtcl_check(d,
                      clEnqueueNDRangeKernel(d->queue, kernel, 3, NULL, global, local, 0, NULL,
                                             d->head.profiling ? &event : NULL),
                      w->kernel->name));
    count_time(d, &event);
    d->busy += share * w->flops;
    d->unflushed += share * w->flops;
    if (++d->n_unflushed >= RTCL_FLUSH_EVERY || d->unflushed >= d->budget)
        RT_TRY(flush(d));
done:
    return err;
}

enum rt_err rtcl_cmd_dispatch(struct rt_cmd *cmd, const struct rt_work *w)
{
    enum rt_err err = RT_OK;
    struct rtcl_dev *d = dev_of(cmd);
    cl_kernel kernel;
    uint32_t piece[3], at[3];

    RT_TRY(rtcl_kernel_get(d, w, &kernel));
    RT_TRY(set_args(d, kernel, w));
    piece_of(d, w, piece);
    for (at[2] = 0; at[2] < w->groups[2]; at[2] += u32_min(piece[2], w->groups[2] - at[2]))
        for (at[1] = 0; at[1] < w->groups[1]; at[1] += u32_min(piece[1], w->groups[1] - at[1]))
            for (at[0] = 0; at[0] < w->groups[0]; at[0] += u32_min(piece[0], w->groups[0] - at[0]))
                RT_TRY(run_piece(d, kernel, w, at, piece));
done:
    return err;
}

enum rt_err rtcl_cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_off,
                          struct rt_buf *dst, uint64_t dst_off, uint64_t n)
{
    const struct rtcl_dev *d = dev_of(cmd);
    return rtcl_check(d,
                      clEnqueueCopyBuffer(d->queue, ((const struct rtcl_buf *) src)->mem,
                                          ((const struct rtcl_buf *) dst)->mem, src_off, dst_off, n,
                                          0, NULL, NULL),
                      "clEnqueueCopyBuffer");
}

enum rt_err rtcl_cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n)
{
    const struct rtcl_dev *d = dev_of(cmd);
    const cl_uint none = 0;
    return rtcl_check(d,
                      clEnqueueFillBuffer(d->queue, ((const struct rtcl_buf *) buf)->mem, &none,
                                          sizeof(none), off, n, 0, NULL, NULL),
                      "clEnqueueFillBuffer");
}

enum rt_err rtcl_cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n,
                           const void *src)
{
    const struct rtcl_dev *d = dev_of(cmd);
    return rtcl_check(d,
                      clEnqueueWriteBuffer(d->queue, ((const struct rtcl_buf *) buf)->mem, CL_FALSE,
                                           off, n, src, 0, NULL, NULL),
                      "clEnqueueWriteBuffer");
}

enum rt_err rtcl_cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off, uint64_t n,
                          void *dst)
{
    const struct rtcl_dev *d = dev_of(cmd);
    return rtcl_check(d,
                      clEnqueueReadBuffer(d->queue, ((const struct rtcl_buf *) buf)->mem, CL_FALSE,
                                          off, n, dst, 0, NULL, NULL),
                      "clEnqueueReadBuffer");
}

enum rt_err rtcl_cmd_submit(struct rt_cmd *cmd)
{
    enum rt_err err = RT_OK;
    struct rtcl_cmd *c = (struct rtcl_cmd *) cmd;
    struct rtcl_dev *d = (struct rtcl_dev *) cmd->dev;

    if (!c->unmarked)
        goto done;
    if (c->mark)
        clReleaseEvent(c->mark);
    c->mark = NULL;
    RT_TRY(rtcl_check(d, clEnqueueMarkerWithWaitList(d->queue, 0, NULL, &c->mark),
                      "clEnqueueMarkerWithWaitList"));
    RT_TRY(flush(d));
    c->busy = d->busy;
    c->unmarked = false;
done:
    return err;
}

// The budget follows the speed that was seen. It only cuts grids, so it does not change results.
static void learn_speed(struct rtcl_dev *d, double done)
{
    const double now = os_seconds(), s = now - d->busy_since, work = done - d->waited;
    if (d->busy_since > 0.0 && work > 0.0 && s > 0.02) {
        const double budget = 0.1 * work / s;
        d->budget = budget < 1e8 ? 1e8 : budget;
    }
    if (work > 0.0)
        d->waited = done;
    d->busy_since = d->busy > d->waited ? now : 0.0;
}

enum rt_err rtcl_cmd_wait(struct rt_cmd *cmd)
{
    enum rt_err err = RT_OK;
    struct rtcl_cmd *c = (struct rtcl_cmd *) cmd;
    struct rtcl_dev *d = (struct rtcl_dev *) cmd->dev;

    RT_TRY(rtcl_cmd_submit(cmd));
    if (c->mark)
        RT_TRY(rtcl_check(d, clWaitForEvents(1, &c->mark), "clWaitForEvents"));
    learn_speed(d, c->busy);
done:
    return err;
}

void rtcl_cmd_destroy(struct rt_cmd *cmd)
{
    struct rtcl_cmd *c = (struct rtcl_cmd *) cmd;

    if (c->unmarked)
        clFinish(((struct rtcl_dev *) cmd->dev)->queue);
    else if (c->mark)
        clWaitForEvents(1, &c->mark);
    if (c->mark)
        clReleaseEvent(c->mark);
    free(c);
}
