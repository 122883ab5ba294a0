// XXH64: values of the reference implementation, and that cutting the input changes nothing.
#include "src/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static uint64_t of(const void *bytes, size_t n, uint64_t seed)
{
    struct hash h;
    hash_begin(&h, seed);
    hash_add(&h, bytes, n);
    return hash_end(&h);
}

// From the reference implementation, by python-xxhash.
static void known_values(void **state)
{
    static const struct {
        const char *text;
        uint64_t seed, want;
    } ROWS[] = {
        {"", 0u, 0xef46db3751d8e999u},
        {"", 2654435761u, 0xac75fda2929b17efu},
        {"a", 0u, 0xd24ec4f1a98c6e5bu},
        {"a", 2654435761u, 0x393da8b78992279bu},
        {"abc", 0u, 0x44bc2cf5ad770999u},
        {"abc", 2654435761u, 0x1318df30094a85fdu},
        {"0123456", 0u, 0x97ee4fe4a0ff4dfau},
        {"0123456", 2654435761u, 0x222aee3789dbc7fdu},
        {"01234567", 0u, 0xe4ba22a49ad89d3fu},
        {"01234567", 2654435761u, 0x5ca62757c8bbfe25u},
        {"0123456789ab", 0u, 0x862e292326b8a4fcu},
        {"0123456789ab", 2654435761u, 0x686d9564be0a342eu},
        {"The quick brown fox jumps over the lazy dog", 0u, 0x0b242d361fda71bcu},
        {"The quick brown fox jumps over the lazy dog", 2654435761u, 0xb31b9019ec176b0cu},
        {"0123456789abcdef0123456789abcde", 0u, 0x1fdfc63febacfde7u},
        {"0123456789abcdef0123456789abcde", 2654435761u, 0x853670caa921316au},
        {"0123456789abcdef0123456789abcdef", 0u, 0x642a94958e71e6c5u},
        {"0123456789abcdef0123456789abcdef", 2654435761u, 0xdfad85ccf8285222u},
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefxyzxyzw", 0u,
         0x3e6a9ce188a335c9u},
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefxyzxyzw", 2654435761u,
         0x7033015f13b6a45du},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        assert_int_equal(of(ROWS[i].text, strlen(ROWS[i].text), ROWS[i].seed), ROWS[i].want);
}

static void pieces(void **state)
{
    unsigned char x[200];
    (void) state;
    for (size_t i = 0; i < sizeof(x); i++)
        x[i] = (unsigned char) (i * 37 + 11);
    const uint64_t whole = of(x, sizeof(x), 7);
    for (size_t a = 0; a <= sizeof(x); a++)
        for (size_t b = a; b <= sizeof(x); b += 13) {
            struct hash h;
            hash_begin(&h, 7);
            hash_add(&h, x, a);
            hash_add(&h, x + a, b - a);
            hash_add(&h, x + b, sizeof(x) - b);
            assert_int_equal(hash_end(&h), whole);
        }
    x[77] ^= 1;
    assert_int_not_equal(of(x, sizeof(x), 7), whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
