#include "runtime/host/internal.h"

#include <stdlib.h>
#include <string.h>

enum rt_err rthost_buf_create(struct rt_dev *dev, const struct rt_buf *head, struct rt_buf **out)
{
    struct rthost_buf *b = calloc(1, sizeof(*b));

    *out = NULL;
    if (b)
        b->data = calloc(1, head->bytes);
    if (!b || !b->data) {
        free(b);
        return rt_fail(RT_E_DEVMEM, "%s: out of memory: %s needs %llu bytes, %llu are in use",
                       dev->id, head->name, (unsigned long long) head->bytes,
                       (unsigned long long) dev->stats.bytes);
    }
    b->head = *head;
    *out = &b->head;
    return RT_OK;
}

void rthost_buf_destroy(struct rt_buf *buf)
{
    free(((struct rthost_buf *) buf)->data);
    free(buf);
}

enum rt_err rthost_buf_write(struct rt_buf *buf, uint64_t off, uint64_t n, const void *src)
{
    if (n)
        memcpy(((struct rthost_buf *) buf)->data + off, src, n);
    return RT_OK;
}

enum rt_err rthost_buf_read(const struct rt_buf *buf, uint64_t off, uint64_t n, void *dst)
{
    if (n)
        memcpy(dst, ((const struct rthost_buf *) buf)->data + off, n);
    return RT_OK;
}
