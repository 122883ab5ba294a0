// tests/op/flat.h -- the sizes at which elementwise ops are tested.
#ifndef TESTS_OP_FLAT_H
#define TESTS_OP_FLAT_H

#include "tests/op/ops.h"

// The multiplier of a gradient, which an optimizer reads on the device.
static inline struct rt_buf *mult_of(struct t *t, struct rt_dev *dev, double mult)
{
    return t_buf(t, dev, RT_F32, &mult, 1);
}

// Compare `n` elements with storage type `type` on `dev` with the oracle.
typedef void t_flat_check(struct t *t, struct rt_dev *dev, uint32_t n, enum rt_type type);

// Around a group of pairs and of a CPU's 256 lanes; then in runs, on a device whose 1 MiB of range
// holds 262144 floats.
static inline void t_flat(struct t *t, t_flat_check *check)
{
    static const uint32_t SIZES[] = {2, 126, 128, 130, 254, 258, 4098};
    struct rt_dev *small = t_small_range(t);

    for (size_t i = 0; i < COUNT_OF(SIZES); i++)
        for (size_t k = 0; k < COUNT_OF(FLOATS); k++)
            check(t, t_dev(t), SIZES[i], FLOATS[k]);
    check(t, small, 600002, RT_F32);
    check(t, small, 600002, RT_F16);
    rt_dev_close(&small);
}

#endif // TESTS_OP_FLAT_H
