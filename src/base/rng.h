// src/base/rng.h -- the random numbers that must agree with torch's CPU generator.
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

// MT19937. Source: Matsumoto and Nishimura 1998; torch seeds it with init_genrand(low 32 bits).
// Owned by the caller; plain data, so that a checkpoint can hold it. Cannot fail.
struct rng {
    uint32_t state[624];
    uint32_t next; // index of the next word, 624 = refill
};

void rng_seed(struct rng *r, uint64_t seed);
uint32_t rng_u32(struct rng *r);

// torch.rand's float32: 24 random bits over 2^24, in [0, 1).
float rng_uniform(struct rng *r);

// order[0..n) = torch.randperm(n) for this generator; n < 2^32/20.
void rng_permutation(struct rng *r, uint32_t n, uint32_t *order);

// A hash of two words: keys of independent streams. Source: the finaliser of splitmix64, Steele et
// al. 2014.
uint64_t rng_mix(uint64_t a, uint64_t b);

#endif // BASE_RNG_H
