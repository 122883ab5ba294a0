// Buffers are cut out of large allocations: drivers allow few, and round each up. First fit over a
// list of pieces; neighbours that are free are one piece; an arena without buffers is given back.
#include "runtime/vulkan/internal.h"

#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/str.h"

struct rtvk_chunk {
    struct rtvk_chunk *prev, *next; // neighbours in the arena
    uint64_t off, size;
    bool used;
};

struct rtvk_arena {
    struct rtvk_arena *next;
    VkDeviceMemory memory;
    uint64_t size;
    uint8_t *map; // or NULL
    struct rtvk_chunk *first;
};

enum { FIRST_ARENA = 16 << 20 };

static void arena_destroy(struct rtvk_dev *d, struct rtvk_arena *a)
{
    if (!a)
        return;
    if (a->memory)
        d->vk.vkFreeMemory(d->handle, a->memory, NULL); // unmaps
    free(a->first);
    free(a);
}

static VkResult allocate(struct rtvk_dev *d, uint64_t size, VkDeviceMemory *out)
{
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .allocationSize = size,
                                       .memoryTypeIndex = d->memory_type};
    return d->vk.vkAllocateMemory(d->handle, &info, NULL, out);
}

static enum rt_err fail_full(struct rtvk_dev *d, VkResult r, uint64_t size, const char *name)
{
    char a[32], b[32], c[32];
    const uint32_t heap = d->phys.memory.memoryTypes[d->memory_type].heapIndex;
    const uint64_t left = rtvk_budget(&d->phys, heap);

    if (r != VK_ERROR_OUT_OF_DEVICE_MEMORY && r != VK_ERROR_OUT_OF_HOST_MEMORY)
        return rtvk_ok(d, r, "vkAllocateMemory");
    return rt_fail(
        RT_E_DEVMEM,
        "%s (%s): out of device memory: %s needs %s, %s are in use; the driver has %s left",
        d->head.id, d->phys.caps.name, name, str_bytes(a, (double) size),
        str_bytes(b, (double) d->head.stats.bytes),
        left == UINT64_MAX ? "an unknown amount" : str_bytes(c, (double) left));
}

// A new arena that holds `size` bytes at least, in front of the list.
static enum rt_err arena_create(struct rtvk_dev *d, uint64_t size, const char *name)
{
    enum rt_err err = RT_OK;
    const uint64_t most = d->head.plan.arena_bytes;
    // As much again as there is already, so that their number stays small and little is wasted.
    uint64_t want = u64_max(size, u64_min(most, u64_max(FIRST_ARENA, d->arena_total)));
    struct rtvk_arena *a = calloc(1, sizeof(*a));
    VkResult r;

    RT_REQUIRE(a, RT_E_NOMEM);
    a->first = calloc(1, sizeof(*a->first));
    RT_REQUIRE(a->first, RT_E_NOMEM);
    r = allocate(d, want, &a->memory);
    if (want > size && (r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_HOST_MEMORY)) {
        want = size;
        r = allocate(d, want, &a->memory);
    }
    if (r != VK_SUCCESS)
        RT_TRY(fail_full(d, r, size, name));
    if (d->mapped)
        RT_TRY(RTVK(d, vkMapMemory, d->handle, a->memory, 0, VK_WHOLE_SIZE, 0, (void **) &a->map));
    a->size = a->first->size = want;
    a->next = d->arenas;
    d->arenas = a;
    d->arena_total += want;
    a = NULL;
done:
    arena_destroy(d, a);
    return err;
}

// Take `size` bytes of a free chunk that has them; the rest becomes a chunk behind it.
static enum rt_err take(struct rtvk_chunk *c, uint64_t size)
{
    if (c->size > size) {
        struct rtvk_chunk *rest = calloc(1, sizeof(*rest));
        if (!rest)
            return rt_fail(RT_E_NOMEM, "out of memory: a piece of device memory");
        *rest = (struct rtvk_chunk){
            .prev = c, .next = c->next, .off = c->off + size, .size = c->size - size};
        if (c->next)
            c->next->prev = rest;
        c->next = rest;
        c->size = size;
    }
    c->used = true;
    return RT_OK;
}

static struct rtvk_chunk *find(const struct rtvk_arena *a, uint64_t size)
{
    for (struct rtvk_chunk *c = a->first; c; c = c->next)
        if (!c->used && c->size >= size)
            return c;
    return NULL;
}

enum rt_err rtvk_arena_alloc(struct rtvk_dev *d, uint64_t size, const char *name,
                             struct rtvk_arena **arena, struct rtvk_chunk **chunk)
{
    enum rt_err err = RT_OK;
    struct rtvk_chunk *c = NULL;
    struct rtvk_arena *a;
    char need[32], most[32];

    *arena = NULL;
    *chunk = NULL;
    if (size > d->head.plan.caps.alloc_bytes)
        RT_TRY(rt_fail(RT_E_DEVMEM, "%s (%s): %s needs %s at once, the device's limit is %s",
                       d->head.id, d->phys.caps.name, name, str_bytes(need, (double) size),
                       str_bytes(most, (double) d->head.plan.caps.alloc_bytes)));
    size = round_up(size, d->align); // so all offsets are multiples of it
    for (a = d->arenas; a && !c; a = c ? a : a->next)
        c = find(a, size);
    if (!c) {
        RT_TRY(arena_create(d, size, name));
        a = d->arenas;
        c = a->first;
    }
    RT_TRY(take(c, size));
    *arena = a;
    *chunk = c;
done:
    return err;
}

// Make `c` and the free chunk behind it one.
static void merge(struct rtvk_chunk *c)
{
    struct rtvk_chunk *n = c->next;
    c->size += n->size;
    c->next = n->next;
    if (n->next)
        n->next->prev = c;
    free(n);
}

void rtvk_arena_free(struct rtvk_dev *d, struct rtvk_arena *arena, struct rtvk_chunk *chunk)
{
    chunk->used = false;
    if (chunk->next && !chunk->next->used)
        merge(chunk);
    if (chunk->prev && !chunk->prev->used)
        merge(chunk->prev);
    if (arena->first->used || arena->first->next)
        return;
    for (struct rtvk_arena **a = &d->arenas; *a; a = &(*a)->next)
        if (*a == arena) {
            *a = arena->next;
            break;
        }
    d->arena_total -= arena->size;
    arena_destroy(d, arena);
}

VkDeviceMemory rtvk_arena_memory(const struct rtvk_arena *arena)
{
    return arena->memory;
}

uint8_t *rtvk_arena_map(const struct rtvk_arena *arena, const struct rtvk_chunk *chunk)
{
    return arena->map ? arena->map + chunk->off : NULL;
}

uint64_t rtvk_chunk_offset(const struct rtvk_chunk *chunk)
{
    return chunk->off;
}
