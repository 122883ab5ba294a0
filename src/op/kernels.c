// The table of all kernels. A new kernel adds its declaration and its line here.
#include "src/op/op.h"

#define KERNELS(X) X(op_cast_kernel) X(op_dpo_kernel)

#define DECLARE(k) extern const struct rt_kernel k;
KERNELS(DECLARE)

const struct rt_kernel *const *op_kernels(void)
{
#define ENTRY(k) &k,
    static const struct rt_kernel *const TABLE[] = { KERNELS(ENTRY) NULL };
    return TABLE;
}
