// Recording: work becomes items, which wait in the device until a submission takes them.
//
// Only one command has items waiting at a time: when another records, they are submitted first, so
// that the device runs work in the order of the calls.
#include "runtime/vulkan/internal.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

enum rt_err rtvk_cmd_create(struct rt_dev *dev, struct rt_cmd **out)
{
    struct rtvk_cmd *c = calloc(1, sizeof(*c));

    *out = NULL;
    if (!c)
        return rt_fail(RT_E_NOMEM, "out of memory: a command");
    c->head.dev = dev;
    *out = &c->head;
    return RT_OK;
}

// From now on items are those of `cmd` (NULL: the device's own).
static enum rt_err own_items(struct rtvk_dev *d, struct rtvk_cmd *cmd)
{
    enum rt_err err = RT_OK;
    if (d->open != cmd)
        RT_TRY(rtvk_submit(d));
    d->open = cmd;
done:
    return err;
}

// A free item for work of that cost; submits what waits when there is no room or too much work.
static enum rt_err new_item(struct rtvk_dev *d, struct rtvk_pipe *pipe, double cost,
                            struct rtvk_item **out)
{
    enum rt_err err = RT_OK;
    const double seconds = rtvk_estimate(pipe, cost);

    *out = NULL;
    if (d->n_items == RTVK_ITEMS || d->item_seconds + seconds > RTVK_TARGET_SECONDS)
        RT_TRY(rtvk_submit(d));
    *out = &d->items[d->n_items];
    **out = (struct rtvk_item){.pipe = pipe, .cost = cost, .seconds = seconds};
done:
    return err;
}

// The item is complete. Hand over what waits when that is enough work; sooner when the device
// idles.
static enum rt_err add_item(struct rtvk_dev *d, const struct rtvk_item *item)
{
    const bool idle = d->done == d->submitted;
    const double most = RTVK_TARGET_SECONDS / (idle ? 8.0 : 1.0);

    d->n_items++;
    d->item_seconds += item->seconds;
    if (d->item_seconds < most && d->n_items < (idle ? RTVK_ITEMS / 4u : RTVK_ITEMS))
        return RT_OK;
    return rtvk_submit(d);
}

static struct rtvk_bind bind_of(const struct rt_bind *b)
{
    struct rtvk_buf *buf = (struct rtvk_buf *) (uintptr_t) b->buf;
    const uint64_t size = rt_type_size(b->buf->storage), off = b->first * size;
    return (struct rtvk_bind){buf, b->access, off,
                              u64_min(round_up(b->count * size, 16), buf->size - off)};
}

// What a dispatch costs, in the unit of rates: its FLOPs, or the bytes that it may move.
static double cost_of(const struct rt_work *w)
{
    double bytes = 0.0;
    for (uint32_t i = 0; i < w->kernel->n_bufs; i++)
        bytes += (double) (w->bufs[i].count * rt_type_size(w->bufs[i].buf->storage));
    return w->flops > 0.0 ? w->flops : 4.0 * bytes;
}

// The largest piece of the grid that a device takes at once and that runs for RTVK_TARGET_SECONDS
// at most.
static void piece_of(const struct rtvk_dev *d, const struct rt_work *w, double seconds,
                     uint32_t piece[3])
{
    double share = 1.0;

    for (int i = 0; i < 3; i++) {
        piece[i] = u32_min(w->groups[i], d->head.plan.caps.group_count[i]);
        share *= (double) piece[i] / (double) w->groups[i];
    }
    while (seconds * share > RTVK_TARGET_SECONDS) {
        const int a = piece[2] > 1 ? 2 : piece[1] > 1 ? 1 : 0; // whole rows of groups, if possible
        if (piece[a] == 1)
            return;
        const uint32_t half = (piece[a] + 1) / 2;
        share *= (double) half / (double) piece[a];
        piece[a] = half;
    }
}

// Record the groups [base, base + n) of `w`.
static enum rt_err add_piece(struct rtvk_dev *d, const struct rt_work *w, struct rtvk_pipe *pipe,
                             const uint32_t base[3], const uint32_t n[3], double cost)
{
    enum rt_err err = RT_OK;
    struct rtvk_item *it;
    const uint32_t p = w->kernel->params_bytes;

    RT_TRY(new_item(d, pipe, cost, &it));
    it->kind = RTVK_DISPATCH;
    it->n_bufs = w->kernel->n_bufs;
    for (uint32_t i = 0; i < it->n_bufs; i++)
        it->bufs[i] = bind_of(&w->bufs[i]);
    memcpy(it->groups, n, sizeof(it->groups));
    memcpy(it->push, w->params, p);
    memcpy(it->push + p, base, 3 * sizeof(*base));
    it->push_bytes = p + 3 * (uint32_t) sizeof(*base);
    RT_TRY(add_item(d, it));
done:
    return err;
}

static enum rt_err add_pieces(struct rtvk_dev *d, const struct rt_work *w, struct rtvk_pipe *pipe)
{
    enum rt_err err = RT_OK;
    const double cost = cost_of(w), groups = (double) w->groups[0] * w->groups[1] * w->groups[2];
    uint32_t piece[3], at[3], n[3];

    piece_of(d, w, rtvk_estimate(pipe, cost), piece);
    for (uint64_t z = 0; z < w->groups[2]; z += piece[2])
        for (uint64_t y = 0; y < w->groups[1]; y += piece[1])
            for (uint64_t x = 0; x < w->groups[0]; x += piece[0]) {
                const uint64_t from[3] = {x, y, z};
                for (int i = 0; i < 3; i++) {
                    at[i] = (uint32_t) from[i];
                    n[i] = u32_min(piece[i], w->groups[i] - at[i]);
                }
                RT_TRY(add_piece(d, w, pipe, at, n, cost * ((double) n[0] * n[1] * n[2] / groups)));
            }
done:
    return err;
}

enum rt_err rtvk_cmd_dispatch(struct rt_cmd *cmd, const struct rt_work *work)
{
    enum rt_err err = RT_OK;
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;
    struct rtvk_pipe *pipe;

    RT_TRY(rtvk_pipe_get(d, work, &pipe)); // here, so that no recording ever waits for a compiler
    RT_TRY(own_items(d, (struct rtvk_cmd *) cmd));
    RT_TRY(add_pieces(d, work, pipe));
done:
    return err;
}

static enum rt_err add_transfer(struct rtvk_dev *d, enum rtvk_kind kind, uint32_t n,
                                const struct rtvk_bind *bufs, const void *data)
{
    enum rt_err err = RT_OK;
    struct rtvk_item *it;

    RT_TRY(new_item(d, NULL, 4.0 * (double) n * (double) bufs[0].size, &it));
    it->kind = kind;
    it->n_bufs = n;
    it->data = data;
    memcpy(it->bufs, bufs, n * sizeof(*bufs));
    RT_TRY(add_item(d, it));
done:
    return err;
}

enum rt_err rtvk_cmd_copy(struct rt_cmd *cmd, const struct rt_buf *src, uint64_t src_off,
                          struct rt_buf *dst, uint64_t dst_off, uint64_t n)
{
    enum rt_err err = RT_OK;
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;
    const struct rtvk_bind bufs[2] = {
        {(struct rtvk_buf *) (uintptr_t) src, RT_ACCESS_IN, src_off, n},
        {(struct rtvk_buf *) dst, RT_ACCESS_OUT, dst_off, n}};

    RT_TRY(own_items(d, (struct rtvk_cmd *) cmd));
    RT_TRY(add_transfer(d, RTVK_COPY, 2, bufs, NULL));
done:
    return err;
}

enum rt_err rtvk_cmd_zero(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n)
{
    enum rt_err err = RT_OK;
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;

    RT_TRY(own_items(d, (struct rtvk_cmd *) cmd));
    RT_TRY(add_transfer(d, RTVK_FILL, 1,
                        &(struct rtvk_bind){(struct rtvk_buf *) buf, RT_ACCESS_OUT, off, n}, NULL));
done:
    return err;
}

// The bytes go into the command buffer itself, 64 KiB at once (vkCmdUpdateBuffer).
enum rt_err rtvk_cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t off, uint64_t n,
                           const void *src)
{
    enum rt_err err = RT_OK;
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;
    enum { MOST = 65536 };

    RT_TRY(own_items(d, (struct rtvk_cmd *) cmd));
    for (uint64_t i = 0; i < n; i += MOST) {
        const struct rtvk_bind b = {(struct rtvk_buf *) buf, RT_ACCESS_OUT, off + i,
                                    u64_min(MOST, n - i)};
        RT_TRY(add_transfer(d, RTVK_UPDATE, 1, &b, (const char *) src + i));
    }
done:
    return err;
}

static enum rt_err now(struct rtvk_dev *d, enum rtvk_kind kind, uint32_t n,
                       const struct rtvk_bind *bufs)
{
    enum rt_err err = RT_OK;
    RT_TRY(own_items(d, NULL));
    RT_TRY(add_transfer(d, kind, n, bufs, NULL));
    RT_TRY(rtvk_submit(d));
done:
    return err;
}

enum rt_err rtvk_copy_now(struct rtvk_dev *d, struct rtvk_bind src, struct rtvk_bind dst)
{
    return now(d, RTVK_COPY, 2, (const struct rtvk_bind[]){src, dst});
}

enum rt_err rtvk_fill_now(struct rtvk_dev *d, struct rtvk_bind dst)
{
    return now(d, RTVK_FILL, 1, &dst);
}

enum rt_err rtvk_cmd_submit(struct rt_cmd *cmd)
{
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;
    return d->open == (struct rtvk_cmd *) cmd ? rtvk_submit(d) : RT_OK;
}

enum rt_err rtvk_cmd_wait(struct rt_cmd *cmd)
{
    enum rt_err err = RT_OK;
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;

    RT_TRY(rtvk_cmd_submit(cmd));
    RT_TRY(rtvk_wait(d, ((struct rtvk_cmd *) cmd)->serial));
    rtvk_reads_take(d);
    RT_TRY(rtvk_complaints(d));
done:
    return err;
}

void rtvk_cmd_destroy(struct rt_cmd *cmd)
{
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;
    struct rtvk_cmd *c = (struct rtvk_cmd *) cmd;

    if (d->open == c) { // drop what was not submitted
        d->n_items = 0;
        d->item_seconds = 0.0;
        d->open = NULL;
        rtvk_reads_drop(d);
    }
    if (!d->lost && c->serial > d->done && rtvk_wait(d, c->serial) != RT_OK)
        log_debug("%s: a command was given up", d->head.id);
    rtvk_reads_take(d);
    free(c);
}
