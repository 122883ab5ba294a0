// src/base/hash.h -- XXH64, a fast 64-bit checksum of bytes. Finds damage, not malice.
//
// Source: Collet, xxHash specification, "XXH64 algorithm description"; `xxhsum -H1` prints the
// same.
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

// Bytes may come in pieces, cut anywhere: the result is that of all of them together. Plain data,
// owned by the caller. Cannot fail.
struct hash {
    uint64_t lane[4], seed, total;
    unsigned char tail[32]; // total % 32 bytes that are not in the lanes yet
};

void hash_begin(struct hash *h, uint64_t seed);
void hash_add(struct hash *h, const void *bytes, size_t n);
uint64_t hash_end(const struct hash *h); // of what was added so far; more may follow

#endif // BASE_HASH_H
