#include "src/base/hash.h"

#include <string.h>

// The five primes of the specification.
#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

static uint64_t rotl(uint64_t x, int n)
{
    return (x << n) | (x >> (64 - n));
}

static uint64_t load(const unsigned char *p, int bytes) // little endian
{
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++)
        x |= (uint64_t) p[i] << (8 * i);
    return x;
}

static uint64_t mix(uint64_t lane, uint64_t x)
{
    return rotl(lane + x * P2, 31) * P1;
}

void hash_begin(struct hash *h, uint64_t seed)
{
    *h = (struct hash){.lane = {seed + P1 + P2, seed + P2, seed, seed - P1}, .seed = seed};
}

static void block(struct hash *h, const unsigned char *p)
{
    for (int i = 0; i < 4; i++)
        h->lane[i] = mix(h->lane[i], load(p + 8 * i, 8));
}

void hash_add(struct hash *h, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    const size_t held = (size_t) (h->total % 32), room = 32 - held;

    h->total += n;
    if (n < room) {
        if (n)
            memcpy(h->tail + held, p, n);
        return;
    }
    if (held) {
        memcpy(h->tail + held, p, room);
        block(h, h->tail);
        p += room;
        n -= room;
    }
    for (; n >= 32; p += 32, n -= 32)
        block(h, p);
    if (n)
        memcpy(h->tail, p, n);
}

uint64_t hash_end(const struct hash *h)
{
    const unsigned char *p = h->tail;
    size_t n = (size_t) (h->total % 32);
    uint64_t x = h->seed + P5;

    if (h->total >= 32) {
        x = rotl(h->lane[0], 1) + rotl(h->lane[1], 7) + rotl(h->lane[2], 12) + rotl(h->lane[3], 18);
        for (int i = 0; i < 4; i++)
            x = (x ^ mix(0, h->lane[i])) * P1 + P4;
    }
    x += h->total;
    for (; n >= 8; p += 8, n -= 8)
        x = rotl(x ^ mix(0, load(p, 8)), 27) * P1 + P4;
    if (n >= 4) {
        x = rotl(x ^ (load(p, 4) * P1), 23) * P2 + P3;
        p += 4;
        n -= 4;
    }
    for (; n; p++, n--)
        x = rotl(x ^ (*p * P5), 11) * P1;
    x = (x ^ (x >> 33)) * P2;
    x = (x ^ (x >> 29)) * P3;
    return x ^ (x >> 32);
}
