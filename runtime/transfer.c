// Contents of buffers that travel with a command: to the device and back, without a wait.
#include <stdlib.h>
#include <string.h>

#include "runtime/backend.h"
#include "src/base/arith.h"

// Memory of a command, filled from the front; freed with it.
struct rt_block {
    struct rt_block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

enum { BLOCK = 1 << 16, CHUNK = 1 << 14 }; // bytes; elements that are written at once

// What comes back as it is stored, and where it goes in which type.
struct rt_back {
    struct rt_back *next;
    struct rt_host_buf from, to;
};

// n bytes that live as long as the command, aligned for doubles and pointers.
static enum rt_err take(struct rt_cmd *cmd, size_t n, void **out)
{
    enum rt_err err = RT_OK;
    struct rt_block *b = cmd->blocks;

    *out = NULL;
    n = round_up(n, 16);
    if (!b || n > b->size - b->used) {
        const size_t size = n > BLOCK ? n : BLOCK;
        b = malloc(sizeof(*b) + size);
        if (!b)
            RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: %zu bytes for a transfer", size));
        *b = (struct rt_block){.next = cmd->blocks, .size = size};
        cmd->blocks = b;
    }
    *out = b->bytes + b->used;
    b->used += n;
done:
    return err;
}

void rt_blocks_free(struct rt_block *blocks)
{
    while (blocks) {
        struct rt_block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

static void convert(const struct rt_host_buf *from, uint64_t first, uint64_t n,
                    struct rt_host_buf *to)
{
    for (uint64_t i = 0; i < n; i++)
        rt_host_store(to, i, rt_host_load(from, first + i));
}

void rt_backs_take(struct rt_cmd *cmd)
{
    for (struct rt_back *b = cmd->backs; b; b = b->next)
        convert(&b->from, 0, b->from.count, &b->to);
    cmd->backs = NULL;
}

struct transfer {
    struct rt_buf *to;
    const struct rt_buf *from;
    uint64_t off, n; // bytes
    const void *src;
    void *dst;
};

static enum rt_err write_bytes(struct rt_cmd *cmd, const void *what)
{
    const struct transfer *t = what;
    return cmd->dev->backend->cmd_write(cmd, t->to, t->off, t->n, t->src);
}

static enum rt_err read_bytes(struct rt_cmd *cmd, const void *what)
{
    const struct transfer *t = what;
    return cmd->dev->backend->cmd_read(cmd, t->from, t->off, t->n, t->dst);
}

// Whole words only: an odd half moves with the unused one behind it.
static bool whole_words(const struct rt_buf *buf, uint64_t first, uint64_t n)
{
    const size_t size = rt_type_size(buf->storage);
    return first * size % 4 == 0 && (n * size % 4 == 0 || first + n == buf->count);
}

enum rt_err rt_cmd_write(struct rt_cmd *cmd, struct rt_buf *buf, uint64_t first, uint64_t n,
                         enum rt_type type, const void *src)
{
    enum rt_err err = RT_OK;
    const size_t size = rt_type_size(buf->storage);
    const struct rt_host_buf in = {(void *) (uintptr_t) src, type, n};

    RT_REQUIRE(buf->dev == cmd->dev && rt_buf_converts(buf, first, n, type), RT_E_ARG);
    RT_REQUIRE(whole_words(buf, first, n), RT_E_ARG);
    for (uint64_t i = 0; i < n; i += CHUNK) {
        const uint64_t m = u64_min(CHUNK, n - i);
        struct rt_host_buf out = {NULL, buf->storage, m};
        struct transfer t = {.to = buf, .off = (first + i) * size, .n = round_up(m * size, 4)};
        RT_TRY(take(cmd, t.n, &out.data));
        memset((unsigned char *) out.data + t.n - 4, 0, 4);
        convert(&in, i, m, &out);
        t.src = out.data;
        RT_TRY(rt_profiled(cmd, "write", 0.0, write_bytes, &t));
    }
done:
    return err;
}

enum rt_err rt_cmd_read(struct rt_cmd *cmd, const struct rt_buf *buf, uint64_t first, uint64_t n,
                        enum rt_type type, void *dst)
{
    enum rt_err err = RT_OK;
    const size_t size = rt_type_size(buf->storage);
    struct transfer t = {.from = buf, .off = first * size, .n = round_up(n * size, 4), .dst = dst};
    struct rt_back *back;
    void *raw, *place;

    RT_REQUIRE(buf->dev == cmd->dev && rt_buf_converts(buf, first, n, type), RT_E_ARG);
    RT_REQUIRE(whole_words(buf, first, n), RT_E_ARG);
    if (n == 0)
        goto done;
    if (type != buf->storage || t.n != n * size) {
        RT_TRY(take(cmd, sizeof(*back), &place));
        RT_TRY(take(cmd, t.n, &raw));
        back = place;
        *back = (struct rt_back){
            .next = cmd->backs, .from = {raw, buf->storage, n}, .to = {dst, type, n}};
        t.dst = raw;
    } else
        back = NULL;
    RT_TRY(rt_profiled(cmd, "read", 0.0, read_bytes, &t));
    if (back)
        cmd->backs = back;
done:
    return err;
}
