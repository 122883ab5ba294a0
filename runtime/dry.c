// A device that only counts: buffers have no memory, commands do nothing, reads give zeros. What a
// run would allocate is found by opening it here.
#include <stdlib.h>
#include <string.h>

#include "runtime/backend.h"

static enum rt_err buf_create(struct rt_dev *dev, const struct rt_buf *head, struct rt_buf **out)
{
    struct rt_buf *b = malloc(sizeof(*b));

    (void) dev;
    *out = b;
    if (!b)
        return rt_fail(RT_E_NOMEM, "out of memory: a planned buffer");
    *b = *head;
    return RT_OK;
}

static void buf_destroy(struct rt_buf *buf)
{
    free(buf);
}

static enum rt_err buf_write(struct rt_buf *buf, uint64_t off, uint64_t n, const void *src)
{
    (void) buf, (void) off, (void) n, (void) src;
    return RT_OK;
}

static enum rt_err buf_read(const struct rt_buf *buf, uint64_t off, uint64_t n, void *dst)
{
    (void) buf, (void) off;
    memset(dst, 0, n);
    return RT_OK;
}

static enum rt_err cmd_create(struct rt_dev *dev, struct rt_cmd **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return rt_fail(RT_E_NOMEM, "out of memory: a command");
    (*out)->dev = dev;
    return RT_OK;
}

static enum rt_err cmd_dispatch(struct rt_cmd *cmd, const struct rt_work *work)
{
    (void) cmd, (void) work;
    return RT_OK;
}

static enum rt_err cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_off,
                            struct rt_buf *dst, uint64_t dst_off, uint64_t n)
{
    (void) cmd, (void) src, (void) src_off, (void) dst, (void) dst_off, (void) n;
    return RT_OK;
}

static enum rt_err cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n)
{
    (void) cmd, (void) buf, (void) off, (void) n;
    return RT_OK;
}

static enum rt_err cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n,
                             const void *src)
{
    (void) cmd;
    return buf_write(buf, off, n, src);
}

static enum rt_err cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off, uint64_t n,
                            void *dst)
{
    (void) cmd;
    return buf_read(buf, off, n, dst);
}

static enum rt_err cmd_nothing(struct rt_cmd *cmd)
{
    (void) cmd;
    return RT_OK;
}

static void cmd_destroy(struct rt_cmd *cmd)
{
    free(cmd);
}

static void dev_close(struct rt_dev *dev)
{
    free(dev);
}

static const struct rt_backend DRY = {.name = "dry",
                                      .close = dev_close,
                                      .buf_create = buf_create,
                                      .buf_destroy = buf_destroy,
                                      .buf_write = buf_write,
                                      .buf_read = buf_read,
                                      .cmd_create = cmd_create,
                                      .cmd_dispatch = cmd_dispatch,
                                      .cmd_copy = cmd_copy,
                                      .cmd_zero = cmd_zero,
                                      .cmd_write = cmd_write,
                                      .cmd_read = cmd_read,
                                      .cmd_submit = cmd_nothing,
                                      .cmd_wait = cmd_nothing,
                                      .cmd_destroy = cmd_destroy};

enum rt_err rt_dev_open_dry(const struct rt_dev *like, struct rt_dev **out)
{
    struct rt_dev *d = calloc(1, sizeof(*d));

    *out = d;
    if (!d)
        return rt_fail(RT_E_NOMEM, "out of memory: a planned device");
    d->backend = &DRY;
    memcpy(d->id, like->id, sizeof(d->id));
    d->plan = like->plan;
    d->kernels = like->kernels;
    d->f64 = like->f64;
    memcpy(d->tuned, like->tuned, sizeof(d->tuned));
    d->n_tuned = like->n_tuned;
    return RT_OK;
}

bool rt_dev_is_dry(const struct rt_dev *dev)
{
    return dev->backend == &DRY;
}
