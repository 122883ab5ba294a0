// Contents of buffers on their way to the host: the device copies them, in the order of commands,
// into a ring that the host takes them out of when the submission is done.
#include "runtime/vulkan/internal.h"

#include <string.h>

#include "src/base/arith.h"

enum { PIECE = RTVK_READBACK / 4 }; // most bytes of one read

static struct rtvk_read *oldest(struct rtvk_dev *d)
{
    return &d->reads[d->first_read];
}

// Reads of a lost device's last submissions are dropped: nobody gets an RT_OK for them.
void rtvk_reads_take(struct rtvk_dev *d)
{
    for (; d->n_reads > 0 && (oldest(d)->serial <= d->done || d->lost); d->n_reads--) {
        const struct rtvk_read *r = oldest(d);
        if (r->serial <= d->done)
            memcpy(r->dst, d->readback->map + r->off, r->n);
        d->first_read = (d->first_read + 1) % RTVK_READS;
    }
}

void rtvk_reads_drop(struct rtvk_dev *d)
{
    while (d->n_reads > 0 &&
           d->reads[(d->first_read + d->n_reads - 1) % RTVK_READS].serial > d->submitted)
        d->n_reads--;
}

// Are n bytes at `at` free? Reads fill the ring from the oldest one's place up to read_end, some of
// them round its end.
static bool is_free(struct rtvk_dev *d, uint64_t at, uint64_t n)
{
    const uint64_t from = oldest(d)->off;
    if (d->n_reads == RTVK_READS)
        return false;
    return from < d->read_end ? at == d->read_end || n <= from
                              : at == d->read_end && n <= from - at;
}

// A place for n bytes behind the last read; waits for the oldest while they are in the way.
static enum rt_err place_for(struct rtvk_dev *d, uint64_t n, uint64_t *out)
{
    enum rt_err err = RT_OK;

    *out = n > RTVK_READBACK - d->read_end ? 0 : d->read_end;
    rtvk_reads_take(d);
    while (d->n_reads > 0 && !is_free(d, *out, n)) {
        if (oldest(d)->serial > d->submitted)
            RT_TRY(rtvk_submit(d));
        RT_TRY(rtvk_wait(d, oldest(d)->serial));
        rtvk_reads_take(d);
    }
done:
    return err;
}

static enum rt_err read_piece(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off,
                              uint64_t n, void *dst)
{
    enum rt_err err = RT_OK;
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;
    uint64_t at;

    RT_TRY(place_for(d, n, &at));
    RT_TRY(rtvk_cmd_copy(cmd, buf, off, &d->readback->head, at, n));
    d->reads[(d->first_read + d->n_reads++) % RTVK_READS] = (struct rtvk_read){
        .serial = d->submitted + (d->n_items > 0), .off = at, .n = n, .dst = dst};
    d->read_end = at + n;
done:
    return err;
}

enum rt_err rtvk_cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t off, uint64_t n,
                          void *dst)
{
    enum rt_err err = RT_OK;
    struct rtvk_dev *d = (struct rtvk_dev *) cmd->dev;

    if (!d->readback)
        RT_TRY(rtvk_staging_create(d, RTVK_READBACK, &d->readback));
    for (uint64_t i = 0; i < n; i += PIECE)
        RT_TRY(read_piece(cmd, buf, off + i, u64_min(PIECE, n - i), (char *) dst + i));
done:
    return err;
}
