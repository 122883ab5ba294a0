// A variant that does not run is dropped, its place is taken, and nothing is tried twice.
#include "src/op/self_check.h"

#include <string.h>

#include "src/base/file.h"
#include "src/op/experts.h"
#include "tests/t.h"

enum { MOST_KERNELS = 256 };

// The program's kernels; of those for one API, the ones whose names hold `broken` have no source.
static const struct rt_kernel *const *kernels(struct t *t, const char *broken)
{
    const struct rt_kernel **table = t_alloc(t, (MOST_KERNELS + 1) * sizeof(*table));
    for (size_t i = 0; op_kernels()[i]; i++) {
        struct rt_kernel *k = t_alloc(t, sizeof(*k));
        assert_true(i < MOST_KERNELS);
        *k = *op_kernels()[i];
        const bool bad = broken && strstr(k->name, broken);
        k->opencl_only = bad && k->opencl_only ? "nowhere.cl" : k->opencl_only;
        k->vulkan_only = bad && k->vulkan_only ? "nowhere.comp" : k->vulkan_only;
        table[i] = k;
    }
    return table;
}

struct found {
    enum op_matmul_variant choice;
    uint64_t runs;
    bool attention;
    enum op_matmul_variant experts;
};

static struct found check(struct t *t, const struct rt_kernel *const *table, const char *cache)
{
    struct rt_dev *dev;
    T_OK(rt_dev_open(&(struct rt_dev_desc){.name = t_name(t), .kernels = table, .cache_dir = cache},
                     &dev));
    T_OK(op_self_check(dev, RT_F32));
    T_OK(op_self_check_experts(dev, RT_F32));
    const struct found f = {
        op_matmul_choice(dev, OP_NT, RT_F32, 64, 64), rt_dev_stats(dev).dispatches,
        !op_is_dropped(dev, RT_F32, OP_DROP_ATTENTION_WIDE), op_experts_choice(dev, RT_F32)};
    rt_dev_close(&dev);
    (void) t_logged();
    return f;
}

static void body(struct t *t)
{
    const struct rt_kernel *const *good = kernels(t, NULL), *const *bad = kernels(t, ""),
                                  *const *one = kernels(t, "experts_wide");
    const enum op_matmul_variant choice = op_matmul_choice(t_dev(t), OP_NT, RT_F32, 64, 64);
    const bool wide = choice == OP_MATMUL_WIDE;

    T_OK(dir_remove("good")); // of an earlier run
    T_OK(dir_remove("bad"));
    T_OK(dir_make("good"));
    T_OK(dir_make("bad"));
    T_OK(dir_remove("one"));
    T_OK(dir_make("one"));
    const struct found first = check(t, good, "good"), second = check(t, good, "good");
    assert_int_equal(first.choice, choice);
    assert_int_equal(second.choice, choice);
    assert_true((first.experts == OP_MATMUL_WIDE) == wide && second.experts == first.experts);
    assert_true(first.attention && second.attention && second.runs == 0);
    const struct found broken = check(t, bad, "bad"), again = check(t, bad, "bad");
    assert_int_equal(broken.choice, OP_MATMUL_TILE);
    assert_int_equal(again.choice, OP_MATMUL_TILE);
    assert_int_equal(broken.experts, OP_MATMUL_TILE);
    assert_int_equal(again.experts, OP_MATMUL_TILE);
    assert_true(broken.attention == !wide && again.attention == !wide && again.runs == 0);
    const struct found without = check(t, one, "one"), still = check(t, one, "one");
    assert_int_equal(without.choice, choice);
    assert_int_equal(without.experts, OP_MATMUL_TILE);
    assert_int_equal(still.experts, OP_MATMUL_TILE);
    assert_int_equal(still.runs, 0);
    t_reset(t);
}

int main(void)
{
    return t_each_device(body);
}
