// src/base/arith.h -- checked size arithmetic and small integer helpers. Cannot fail but by result.
#ifndef BASE_ARITH_H
#define BASE_ARITH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

// *out = a * b or a + b; false, with *out unspecified, when the exact value does not fit.
static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

// Smallest multiple of m that is >= n. m > 0; n + m - 1 must fit.
static inline uint64_t round_up(uint64_t n, uint64_t m)
{
    return (n + m - 1) / m * m;
}

// ceil(n / m), m > 0; cannot overflow.
static inline uint64_t div_up(uint64_t n, uint64_t m)
{
    return n / m + (n % m != 0);
}

static inline uint32_t u32_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}
static inline uint32_t u32_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}
static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif // BASE_ARITH_H
