// The front end of the runtime: checks every precondition once, for all backends.
#include "runtime/rt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/backend.h"
#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/str.h"

size_t rt_type_size(enum rt_type type)
{
    static const size_t SIZE[RT_TYPE_COUNT] = {4, 2, 2, 4, 8};
    return SIZE[type];
}

const char *rt_type_name(enum rt_type type)
{
    static const char *const NAME[RT_TYPE_COUNT] = {"f32", "f16", "bf16", "u32", "f64"};
    return (unsigned) type < RT_TYPE_COUNT ? NAME[type] : "?";
}

// ---- Buffers ----------------------------------------------------------------------------------

static void link_buf(struct rt_dev *dev, struct rt_buf *b)
{
    b->before = dev->last;
    b->after = NULL;
    *(dev->last ? &dev->last->after : &dev->first) = b;
    dev->last = b;
}

static void unlink_buf(struct rt_dev *dev, struct rt_buf *b)
{
    *(b->before ? &b->before->after : &dev->first) = b->after;
    *(b->after ? &b->after->before : &dev->last) = b->before;
}

const struct rt_buf *rt_dev_next_buf(const struct rt_dev *dev, const struct rt_buf *after)
{
    return after ? after->after : dev->first;
}

uint64_t rt_buf_bytes(const struct rt_buf *buf)
{
    return buf->bytes;
}

enum rt_err rt_buf_create(struct rt_dev *dev, enum rt_type type, uint64_t count, const char *name,
                          struct rt_buf **out)
{
    enum rt_err err = RT_OK;
    struct rt_buf head = {.dev = dev, .type = type, .count = count};
    char a[32], b[32];

    *out = NULL;
    RT_REQUIRE(dev && name && (unsigned) type <= RT_U32, RT_E_ARG);
    RT_REQUIRE(count >= 1 && count <= UINT64_MAX / 16, RT_E_ARG);
    head.storage = dev->f64 && type == RT_F32 ? RT_F64 : type;
    head.bytes = round_up(count * rt_type_size(head.storage), 4);
    if (dev->clamp.memory_bytes &&
        head.bytes > dev->clamp.memory_bytes - u64_min(dev->stats.bytes, dev->clamp.memory_bytes))
        RT_TRY(rt_fail(RT_E_DEVMEM, "%s: out of device memory: %s needs %s, %s are in use", dev->id,
                       name, str_bytes(a, (double) head.bytes),
                       str_bytes(b, (double) dev->stats.bytes)));
    RT_TRY(str_dup(name, &head.name));
    RT_TRY(dev->backend->buf_create(dev, &head, out));
    head.name = NULL; // owned by *out now
    link_buf(dev, *out);
    dev->stats.allocs++;
    dev->stats.bytes += (*out)->bytes;
    dev->stats.peak_bytes = u64_max(dev->stats.peak_bytes, dev->stats.bytes);
done:
    free(head.name);
    return err;
}

void rt_buf_destroy(struct rt_buf **buf)
{
    if (!*buf)
        return;
    struct rt_dev *dev = (*buf)->dev;
    char *name = (*buf)->name;
    dev->stats.bytes -= (*buf)->bytes;
    unlink_buf(dev, *buf);
    dev->backend->buf_destroy(*buf);
    free(name);
    *buf = NULL;
}

enum rt_type rt_buf_type(const struct rt_buf *buf)
{
    return buf->type;
}
uint64_t rt_buf_count(const struct rt_buf *buf)
{
    return buf->count;
}
const char *rt_buf_name(const struct rt_buf *buf)
{
    return buf->name;
}
struct rt_dev *rt_buf_dev(const struct rt_buf *buf)
{
    return buf->dev;
}

bool rt_buf_holds(const struct rt_buf *buf, enum rt_type type, uint64_t n)
{
    return buf && buf->type == type && buf->count >= n;
}

enum { CHUNK = 1 << 16 }; // elements converted at once

bool rt_buf_converts(const struct rt_buf *buf, uint64_t first, uint64_t n, enum rt_type type)
{
    return (unsigned) type < RT_TYPE_COUNT && (type == RT_U32) == (buf->type == RT_U32) &&
           first <= buf->count && n <= buf->count - first;
}

enum rt_err rt_buf_write(struct rt_buf *buf, uint64_t first, uint64_t n, enum rt_type type,
                         const void *src)
{
    enum rt_err err = RT_OK;
    const size_t from = rt_type_size(type), to = rt_type_size(buf->storage);
    struct rt_host_buf out = {.type = buf->storage}, in = {.type = type};

    RT_REQUIRE(rt_buf_converts(buf, first, n, type), RT_E_ARG);
    rt_note_wait(buf->dev, buf->dev->recorded);
    if (type == buf->storage) {
        RT_TRY(buf->dev->backend->buf_write(buf, first * to, n * to, src));
        goto done;
    }
    out.data = malloc(CHUNK * to);
    RT_REQUIRE(out.data, RT_E_NOMEM);
    for (uint64_t i = 0; i < n; i += CHUNK) {
        const uint64_t m = u64_min(CHUNK, n - i);
        in.data = (void *) (uintptr_t) ((const char *) src + i * from);
        for (uint64_t j = 0; j < m; j++)
            rt_host_store(&out, j, rt_host_load(&in, j));
        RT_TRY(buf->dev->backend->buf_write(buf, (first + i) * to, m * to, out.data));
    }
done:
    free(out.data);
    return err;
}

enum rt_err rt_buf_read(const struct rt_buf *buf, uint64_t first, uint64_t n, enum rt_type type,
                        void *dst)
{
    enum rt_err err = RT_OK;
    const size_t to = rt_type_size(type), from = rt_type_size(buf->storage);
    struct rt_host_buf in = {.type = buf->storage}, out = {.type = type};

    RT_REQUIRE(rt_buf_converts(buf, first, n, type), RT_E_ARG);
    rt_note_wait(buf->dev, buf->dev->recorded);
    if (type == buf->storage) {
        RT_TRY(buf->dev->backend->buf_read(buf, first * from, n * from, dst));
        goto done;
    }
    in.data = malloc(CHUNK * from);
    RT_REQUIRE(in.data, RT_E_NOMEM);
    for (uint64_t i = 0; i < n; i += CHUNK) {
        const uint64_t m = u64_min(CHUNK, n - i);
        RT_TRY(buf->dev->backend->buf_read(buf, (first + i) * from, m * from, in.data));
        out.data = (char *) dst + i * to;
        for (uint64_t j = 0; j < m; j++)
            rt_host_store(&out, j, rt_host_load(&in, j));
    }
done:
    free(in.data);
    return err;
}

// ---- Commands ---------------------------------------------------------------------------------

enum rt_err rt_cmd_create(struct rt_dev *dev, struct rt_cmd **out)
{
    *out = NULL;
    return dev->backend->cmd_create(dev, out);
}

static const struct rt_kernel *find_kernel(const struct rt_dev *dev, const char *name)
{
    for (const struct rt_kernel *const *k = dev->kernels; *k; k++)
        if (strcmp((*k)->name, name) == 0)
            return *k;
    return NULL;
}

static enum rt_err check_bind(const struct rt_dev *dev, const struct rt_kernel *k, uint32_t i,
                              struct rt_bind *bind)
{
    static const char *const WANT[] = {"f32", "u32", "f32, f16 or bf16"};
    const struct rt_kernel_buf *want = &k->bufs[i];
    const struct rt_buf *b = bind->buf;
    uint64_t size;

    if (!b || b->dev != dev)
        return rt_fail(RT_E_ARG, "kernel %s: buffer %s is missing or of another device", k->name,
                       want->name);
    if ((want->elem == RT_ELEM_uint) != (b->type == RT_U32) ||
        (want->elem == RT_ELEM_float && b->type != RT_F32))
        return rt_fail(RT_E_ARG, "kernel %s: buffer %s: expected %s, found %s (%s)", k->name,
                       want->name, WANT[want->elem], rt_type_name(b->type), b->name);
    if (bind->access != want->access)
        return rt_fail(RT_E_ARG, "kernel %s: buffer %s is bound with another access than listed",
                       k->name, want->name);
    size = rt_type_size(b->type);
    if (bind->first > b->count || bind->count > b->count - bind->first ||
        (bind->first * size) % 256 != 0)
        return rt_fail(
            RT_E_ARG,
            "kernel %s: buffer %s: slice [%llu, +%llu) of %llu is out of range or not aligned",
            k->name, want->name, (unsigned long long) bind->first, (unsigned long long) bind->count,
            (unsigned long long) b->count);
    if (bind->count == 0)
        bind->count = b->count - bind->first;
    if (bind->count * size > dev->plan.range_bytes)
        return rt_fail(RT_E_UNSUPPORTED,
                       "kernel %s: buffer %s (%s): %llu bytes bound, the device's limit is %llu",
                       k->name, want->name, b->name, (unsigned long long) (bind->count * size),
                       (unsigned long long) dev->plan.range_bytes);
    return RT_OK;
}

static enum rt_err resolve(const struct rt_dev *dev, const struct rt_dispatch_desc *d,
                           struct rt_work *w)
{
    enum rt_err err = RT_OK;

    w->kernel = find_kernel(dev, d->kernel);
    if (!w->kernel)
        RT_TRY(rt_fail(RT_E_ARG, "unknown kernel %s", d->kernel));
    if (d->params_size != w->kernel->params_bytes || d->params_size > sizeof(w->params))
        RT_TRY(rt_fail(RT_E_ARG, "kernel %s: expected %u bytes of parameters, found %zu", d->kernel,
                       w->kernel->params_bytes, d->params_size));
    for (uint32_t i = 0; i < RT_MAX_BUFS; i++) {
        w->bufs[i] = d->bufs[i];
        if (i < w->kernel->n_bufs)
            RT_TRY(check_bind(dev, w->kernel, i, &w->bufs[i]));
        else if (d->bufs[i].buf)
            RT_TRY(rt_fail(RT_E_ARG, "kernel %s takes %u buffers", d->kernel, w->kernel->n_bufs));
    }
    memcpy(w->params, d->params, d->params_size);
    memcpy(w->tune, d->tune, sizeof(w->tune));
    w->group[0] = d->group[0] ? d->group[0] : dev->plan.group;
    w->group[1] = d->group[1] ? d->group[1] : 1;
    if ((uint64_t) w->group[0] * w->group[1] > dev->plan.caps.group_invocations)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "kernel %s: a group of %u x %u, the device's limit is %u",
                       d->kernel, w->group[0], w->group[1], dev->plan.caps.group_invocations));
    RT_REQUIRE((d->items > 0) != (d->groups[0] > 0), RT_E_ARG);
    RT_REQUIRE(div_up(d->items, w->group[0]) <= UINT32_MAX, RT_E_ARG);
    w->groups[0] = d->groups[0] ? d->groups[0] : (uint32_t) div_up(d->items, w->group[0]);
    w->groups[1] = d->groups[1] ? d->groups[1] : 1;
    w->groups[2] = d->groups[2] ? d->groups[2] : 1;
    w->flops = d->flops;
done:
    return err;
}

enum rt_err rt_profiled(struct rt_cmd *cmd, const char *name, double flops,
                        enum rt_err (*run)(struct rt_cmd *cmd, const void *what), const void *what)
{
    enum rt_err err = RT_OK;
    double begin;

    rt_note_work(cmd);
    if (!cmd->dev->profiling)
        return run(cmd, what);
    RT_TRY(rt_profile_begin(cmd));
    begin = os_seconds();
    RT_TRY(run(cmd, what));
    RT_TRY(rt_profile_end(cmd, name, begin, flops));
done:
    return err;
}

static enum rt_err run_work(struct rt_cmd *cmd, const void *what)
{
    return cmd->dev->backend->cmd_dispatch(cmd, what);
}

// A copy, or without a source zeros.
struct transfer {
    const struct rt_buf *src;
    struct rt_buf *dst;
    uint64_t src_off, dst_off, bytes;
};

static enum rt_err run_transfer(struct rt_cmd *cmd, const void *what)
{
    const struct transfer *t = what;
    return t->src
               ? cmd->dev->backend->cmd_copy(cmd, t->src, t->src_off, t->dst, t->dst_off, t->bytes)
               : cmd->dev->backend->cmd_zero(cmd, t->dst, t->dst_off, t->bytes);
}

enum rt_err rt_cmd_dispatch(struct rt_cmd *cmd, const struct rt_dispatch_desc *desc)
{
    enum rt_err err = RT_OK;
    struct rt_work work = {0};
    RT_TRY(resolve(cmd->dev, desc, &work));
    RT_TRY(rt_profiled(cmd, work.kernel->name, work.flops, run_work, &work));
    cmd->dev->stats.dispatches++;
    cmd->dev->stats.flops += work.flops;
done:
    return err;
}

enum rt_err rt_cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_first,
                        struct rt_buf *dst, uint64_t dst_first, uint64_t n)
{
    enum rt_err err = RT_OK;
    size_t size;

    RT_REQUIRE(src->dev == cmd->dev && dst->dev == cmd->dev && src->type == dst->type, RT_E_ARG);
    RT_REQUIRE(src_first <= src->count && n <= src->count - src_first, RT_E_ARG);
    RT_REQUIRE(dst_first <= dst->count && n <= dst->count - dst_first, RT_E_ARG);
    RT_REQUIRE(src != dst || src_first + n <= dst_first || dst_first + n <= src_first, RT_E_ARG);
    size = rt_type_size(src->storage);
    if (n)
        RT_TRY(rt_profiled(
            cmd, "copy", 0.0, run_transfer,
            &(struct transfer){src, dst, src_first * size, dst_first * size, n * size}));
done:
    return err;
}

enum rt_err rt_cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t first, uint64_t n)
{
    enum rt_err err = RT_OK;
    size_t size;

    RT_REQUIRE(buf->dev == cmd->dev && first <= buf->count && n <= buf->count - first, RT_E_ARG);
    size = rt_type_size(buf->storage);
    RT_REQUIRE(first * size % 4 == 0 && (n * size % 4 == 0 || first + n == buf->count), RT_E_ARG);
    if (n)
        RT_TRY(rt_profiled(cmd, "zero", 0.0, run_transfer,
                           &(struct transfer){.dst = buf,
                                              .dst_off = first * size,
                                              .bytes = round_up(n * size, 4)}));
done:
    return err;
}

enum rt_err rt_cmd_submit(struct rt_cmd *cmd)
{
    return cmd->dev->backend->cmd_submit(cmd);
}

void rt_note_work(struct rt_cmd *cmd)
{
    cmd->last = ++cmd->dev->recorded;
}

void rt_note_wait(struct rt_dev *dev, uint64_t last)
{
    dev->stats.waits += last > dev->waited;
    dev->stats.drains += last > dev->waited && last == dev->recorded;
    dev->waited = u64_max(dev->waited, last);
}

enum rt_err rt_cmd_wait(struct rt_cmd **cmd)
{
    const enum rt_err err = (*cmd)->dev->backend->cmd_wait(*cmd);
    rt_note_wait((*cmd)->dev, (*cmd)->last);
    if (err == RT_OK)
        rt_backs_take(*cmd);
    rt_cmd_destroy(cmd);
    return err;
}

void rt_cmd_destroy(struct rt_cmd **cmd)
{
    if (!*cmd)
        return;
    struct rt_block *blocks = (*cmd)->blocks;
    (*cmd)->dev->backend->cmd_destroy(*cmd);
    rt_blocks_free(blocks);
    *cmd = NULL;
}
