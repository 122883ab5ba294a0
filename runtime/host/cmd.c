// Work runs when it is recorded: the host has nothing to overlap with.
#include "runtime/host/internal.h"

#include <stdlib.h>
#include <string.h>

enum rt_err rthost_cmd_create(struct rt_dev *dev, struct rt_cmd **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return rt_fail(RT_E_NOMEM, "out of memory: a command");
    (*out)->dev = dev;
    return RT_OK;
}

enum rt_err rthost_cmd_dispatch(struct rt_cmd *cmd, const struct rt_work *work)
{
    struct rt_host_call call = {.params = work->params};

    if (!work->kernel->host)
        return rt_fail(RT_E_UNSUPPORTED, "kernel %s does not run on %s", work->kernel->name,
                       cmd->dev->id);
    for (uint32_t i = 0; i < work->kernel->n_bufs; i++) {
        const struct rthost_buf *b = (const struct rthost_buf *) work->bufs[i].buf;
        call.bufs[i] = (struct rt_host_buf){.data = b->data + work->bufs[i].first *
                                                                  rt_type_size(b->head.storage),
                                            .type = b->head.storage,
                                            .count = work->bufs[i].count};
    }
    work->kernel->host(&call);
    return RT_OK;
}

enum rt_err rthost_cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_off,
                            struct rt_buf *dst, uint64_t dst_off, uint64_t n)
{
    (void) cmd;
    memcpy(((struct rthost_buf *) dst)->data + dst_off,
           ((const struct rthost_buf *) src)->data + src_off, n);
    return RT_OK;
}

enum rt_err rthost_cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n)
{
    (void) cmd;
    memset(((struct rthost_buf *) buf)->data + off, 0, n);
    return RT_OK;
}

enum rt_err rthost_cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n,
                             const void *src)
{
    (void) cmd;
    return rthost_buf_write(buf, off, n, src);
}

enum rt_err rthost_cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off, uint64_t n,
                            void *dst)
{
    (void) cmd;
    return rthost_buf_read(buf, off, n, dst);
}

enum rt_err rthost_cmd_submit(struct rt_cmd *cmd)
{
    cmd->dev->stats.submits++;
    return RT_OK;
}

void rthost_cmd_destroy(struct rt_cmd *cmd)
{
    free(cmd);
}
