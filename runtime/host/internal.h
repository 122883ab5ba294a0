// runtime/host/internal.h -- the parts of the host backend, as other backends split them.
#ifndef RUNTIME_HOST_INTERNAL_H
#define RUNTIME_HOST_INTERNAL_H

#include "runtime/backend.h"

struct rthost_buf {
    struct rt_buf head;
    unsigned char *data;
};

void rthost_close(struct rt_dev *dev);
enum rt_err rthost_buf_create(struct rt_dev *dev, const struct rt_buf *head, struct rt_buf **out);
void rthost_buf_destroy(struct rt_buf *buf);
enum rt_err rthost_buf_write(struct rt_buf *buf, uint64_t off, uint64_t n, const void *src);
enum rt_err rthost_buf_read(const struct rt_buf *buf, uint64_t off, uint64_t n, void *dst);
enum rt_err rthost_cmd_create(struct rt_dev *dev, struct rt_cmd **out);
enum rt_err rthost_cmd_dispatch(struct rt_cmd *cmd, const struct rt_work *work);
enum rt_err rthost_cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_off,
                            struct rt_buf *dst, uint64_t dst_off, uint64_t n);
enum rt_err rthost_cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n);
enum rt_err rthost_cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n,
                             const void *src);
enum rt_err rthost_cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off, uint64_t n,
                            void *dst);
enum rt_err rthost_cmd_submit(struct rt_cmd *cmd);
void rthost_cmd_destroy(struct rt_cmd *cmd);

#endif // RUNTIME_HOST_INTERNAL_H
