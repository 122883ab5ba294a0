// One memory object a buffer; slices of it are sub-buffers.
#include "runtime/opencl/internal.h"

#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/str.h"

static enum rt_err zero(struct rtcl_dev *d, cl_mem mem, uint64_t bytes)
{
    const cl_uint none = 0;
    enum rt_err err = RT_OK;
    RT_TRY(rtcl_check(
        d, clEnqueueFillBuffer(d->queue, mem, &none, sizeof(none), 0, bytes, 0, NULL, NULL),
        "clEnqueueFillBuffer"));
    RT_TRY(rtcl_check(d, clFlush(d->queue), "clFlush"));
done:
    return err;
}

// Some drivers take memory only when it is first touched, and some allow more than they report for
// one allocation, so the total is checked here and the size of one is left to the driver, unless
// clamped.
static enum rt_err check_fits(const struct rtcl_dev *d, const struct rt_buf *head)
{
    const struct rt_caps *c = &d->head.plan.caps;
    const uint64_t used = d->head.stats.bytes;
    char a[32], b[32], m[32];

    if (c->memory_bytes && head->bytes > c->memory_bytes - u64_min(used, c->memory_bytes))
        return rt_fail(RT_E_DEVMEM, "%s: out of device memory: %s needs %s, %s of %s are in use",
                       d->head.id, head->name, str_bytes(a, (double) head->bytes),
                       str_bytes(b, (double) used), str_bytes(m, (double) c->memory_bytes));
    if (d->head.clamp.alloc_bytes && head->bytes > c->alloc_bytes)
        return rt_fail(RT_E_DEVMEM, "%s: %s needs %s in one allocation, the limit is %s",
                       d->head.id, head->name, str_bytes(a, (double) head->bytes),
                       str_bytes(m, (double) c->alloc_bytes));
    return RT_OK;
}

enum rt_err rtcl_buf_create(struct rt_dev *dev, const struct rt_buf *head, struct rt_buf **out)
{
    enum rt_err err = RT_OK;
    struct rtcl_dev *d = (struct rtcl_dev *) dev;
    struct rtcl_buf *b = NULL;
    cl_int code;
    char a[32], u[32], m[32];

    *out = NULL;
    RT_TRY(check_fits(d, head));
    b = calloc(1, sizeof(*b));
    RT_REQUIRE(b, RT_E_NOMEM);
    b->head = *head;
    if (d->head.plan.caps.kind == RT_CPU && d->head.plan.rungs & RT_RUNG_UNIFIED)
        b->pages = os_pages(head->bytes);
    b->mem = clCreateBuffer(d->context, CL_MEM_READ_WRITE | (b->pages ? CL_MEM_USE_HOST_PTR : 0u),
                            head->bytes, b->pages, &code);
    if (code == CL_INVALID_BUFFER_SIZE || code == CL_MEM_OBJECT_ALLOCATION_FAILURE ||
        code == CL_OUT_OF_RESOURCES)
        RT_TRY(rt_fail(
            RT_E_DEVMEM,
            "%s: out of device memory: %s needs %s, %s are in use, one allocation may have %s "
            "(%s)",
            dev->id, head->name, str_bytes(a, (double) head->bytes),
            str_bytes(u, (double) dev->stats.bytes),
            str_bytes(m, (double) dev->plan.caps.alloc_bytes), rtcl_error_name(code)));
    RT_TRY(rtcl_check(d, code, "clCreateBuffer"));
    if (!b->pages)
        RT_TRY(zero(d, b->mem, head->bytes));
    *out = &b->head;
    b = NULL;
done:
    if (b)
        rtcl_buf_destroy(&b->head);
    return err;
}

void rtcl_buf_destroy(struct rt_buf *buf)
{
    struct rtcl_buf *b = (struct rtcl_buf *) buf;
    for (uint32_t i = 0; i < RTCL_SLICES; i++)
        if (b->slices[i].mem)
            clReleaseMemObject(b->slices[i].mem);
    if (b->mem)
        clReleaseMemObject(b->mem);
    os_pages_free(b->pages, b->head.bytes);
    free(b);
}

// Blocking transfers on the one in-order queue: all that was enqueued before has run.
enum rt_err rtcl_buf_write(struct rt_buf *buf, uint64_t off, uint64_t n, const void *src)
{
    const struct rtcl_buf *b = (const struct rtcl_buf *) buf;
    const struct rtcl_dev *d = (const struct rtcl_dev *) buf->dev;
    if (n == 0)
        return RT_OK;
    return rtcl_check(d,
                      clEnqueueWriteBuffer(d->queue, b->mem, CL_TRUE, off, n, src, 0, NULL, NULL),
                      "clEnqueueWriteBuffer");
}

enum rt_err rtcl_buf_read(const struct rt_buf *buf, uint64_t off, uint64_t n, void *dst)
{
    const struct rtcl_buf *b = (const struct rtcl_buf *) buf;
    const struct rtcl_dev *d = (const struct rtcl_dev *) buf->dev;
    if (n == 0)
        return RT_OK;
    return rtcl_check(d, clEnqueueReadBuffer(d->queue, b->mem, CL_TRUE, off, n, dst, 0, NULL, NULL),
                      "clEnqueueReadBuffer");
}

enum rt_err rtcl_buf_slice(const struct rt_bind *bind, cl_mem *out)
{
    enum rt_err err = RT_OK;
    const struct rtcl_dev *d = (const struct rtcl_dev *) bind->buf->dev;
    struct rtcl_buf *b =
        (struct rtcl_buf *) (uintptr_t) bind->buf; // its slices are not its contents
    const uint64_t size = rt_type_size(b->head.storage), first = bind->first * size,
                   n = bind->count * size;
    struct rtcl_slice *s;
    cl_int code;

    *out = b->mem;
    if (first == 0)
        goto done; // the kernel stays inside of count
    for (uint32_t i = 0; i < RTCL_SLICES; i++)
        if (b->slices[i].mem && b->slices[i].first == first && b->slices[i].n == n) {
            *out = b->slices[i].mem;
            goto done;
        }
    if (first % d->head.plan.caps.offset_align_bytes)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: %s: a slice begins at byte %llu, the device wants multiples of %u",
                       d->head.id, b->head.name, (unsigned long long) first,
                       d->head.plan.caps.offset_align_bytes));
    s = &b->slices[b->next++ % RTCL_SLICES];
    if (s->mem)
        clReleaseMemObject(s->mem); // enqueued work that uses it keeps it alive
    s->mem = clCreateSubBuffer(b->mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
                               &(cl_buffer_region){first, n}, &code);
    *s = (struct rtcl_slice){first, n, code == CL_SUCCESS ? s->mem : NULL};
    RT_TRY(rtcl_check(d, code, "clCreateSubBuffer"));
    *out = s->mem;
done:
    return err;
}
