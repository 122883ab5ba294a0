// torch.randperm's orders (goldens: reference/trl.md section 4) and half conversions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>

#include <cmocka.h>

#include "src/base/half.h"
#include "src/base/rng.h"

static void permutation(void **state)
{
    static const uint32_t WANT[17] = {13, 4, 3, 15, 8, 16, 9, 11, 12, 10, 6, 2, 1, 7, 14, 0, 5};
    static const uint32_t NEXT[17] = {13, 1, 7, 8, 5, 2, 10, 3, 12, 4, 9, 15, 16, 11, 0, 14, 6};
    struct rng r;
    uint32_t order[17];
    (void) state;
    rng_seed(&r, 42);
    rng_permutation(&r, 17, order);
    assert_memory_equal(order, WANT, sizeof(WANT));
    rng_seed(&r, 43);
    rng_permutation(&r, 17, order);
    assert_memory_equal(order, NEXT, sizeof(NEXT));
}

// Every f16 survives the way to float and back; the midpoints around it round to even.
static void halves(void **state)
{
    (void) state;
    for (uint32_t h = 0; h < 0x10000u; h++) {
        const float f = f16_to_f32((uint16_t) h);
        if (isnan(f))
            assert_true(isnan(f16_to_f32(f16_from_f32(f))));
        else
            assert_int_equal(f16_from_f32(f), h);
        const float b = bf16_to_f32((uint16_t) h);
        if (!isnan(b))
            assert_int_equal(bf16_from_f32(b), h);
    }
    for (uint32_t h = 0; h < 0x7bffu; h++) {
        const double mid =
            ((double) f16_to_f32((uint16_t) h) + (double) f16_to_f32((uint16_t) (h + 1))) / 2;
        assert_int_equal(f16_from_f32((float) mid), h + (h & 1u));
    }
    assert_int_equal(f16_from_f32(65519.0f), 0x7bff);
    assert_int_equal(f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(bf16_from_f32(1.00390625f), 0x3f80); // half way between 1 and 1 + 2^-7
    assert_int_equal(bf16_from_f32(1.01171875f), 0x3f82);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(permutation), cmocka_unit_test(halves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
