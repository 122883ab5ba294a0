#include "src/base/rng.h"

enum { N = 624, M = 397 };

void rng_seed(struct rng *r, uint64_t seed)
{
    r->state[0] = (uint32_t) seed;
    for (uint32_t i = 1; i < N; i++)
        r->state[i] = 1812433253u * (r->state[i - 1] ^ (r->state[i - 1] >> 30)) + i;
    r->next = N;
}

static void refill(struct rng *r)
{
    uint32_t *s = r->state;
    for (uint32_t i = 0; i < N; i++) {
        const uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);
        s[i] = s[(i + M) % N] ^ (y >> 1) ^ (y & 1u ? 0x9908b0dfu : 0u);
    }
    r->next = 0;
}

uint32_t rng_u32(struct rng *r)
{
    if (r->next >= N)
        refill(r);
    uint32_t y = r->state[r->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

float rng_uniform(struct rng *r)
{
    return (float) (rng_u32(r) & 0xffffffu) * 0x1p-24f;
}

void rng_permutation(struct rng *r, uint32_t n, uint32_t *order)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = 0; i + 1 < n; i++) {
        const uint32_t j = i + rng_u32(r) % (n - i), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

uint64_t rng_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a ^ (b + 0x9e3779b97f4a7c15u) * 0xd1342543de82ef95u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
