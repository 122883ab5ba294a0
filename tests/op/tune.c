// Tuning: the winners are used and kept, and no tile changes a bit.
#include "src/op/tune.h"

#include <stdlib.h>

#include "src/base/file.h"
#include "src/op/matmul_kernels.h"
#include "tests/t.h"

struct seen {
    uint32_t rows, winners;
    enum op_matmul_variant variant[3];
    int32_t tile[3];
};

static void row(void *user, const struct op_tune_row *r, bool winner)
{
    struct seen *s = user;
    assert_true(r->gflops > 0.0);
    s->rows++;
    if (!winner)
        return;
    s->winners++;
    s->variant[r->type] = r->variant;
    s->tile[r->type] = r->tile;
}

enum { M = 131, N = 70, K = 45, LD = 48, LDC = 72 };

static void tiles_agree(struct t *t)
{
    static float want[M * LDC], got[M * LDC];
    struct rt_dev *dev = t_dev(t);
    struct rt_buf *a = t_buf(t, dev, RT_F16, t_normal(t, M * LD, 1.0), M * LD);
    struct rt_buf *b = t_buf(t, dev, RT_F16, t_normal(t, N * LD, 1.0), N * LD);

    // PoCL takes seconds to compile each: two of them there. The last is no tile: the default.
    const uint32_t step = op_matmul_has(dev, OP_MATMUL_WIDE, RT_F16) ? matmul_tiles(dev) : 1;
    for (uint32_t i = 0; i <= matmul_tiles(dev); i += step) {
        struct rt_buf *c = t_zeros(t, dev, RT_F32, M * LDC);
        struct rt_cmd *cmd;

        T_OK(rt_dev_tune(dev, MATMUL_TUNED_TILE[RT_F16], (int32_t) i));
        T_OK(rt_cmd_create(dev, &cmd));
        T_OK(op_matmul(cmd, &(struct op_matmul_args){.form = OP_NT,
                                                     .m = M,
                                                     .n = N,
                                                     .k = K,
                                                     .a = {a, 0, LD},
                                                     .b = {b, 0, LD},
                                                     .c = {c, 0, LDC},
                                                     .variant = OP_MATMUL_TILE}));
        T_OK(rt_cmd_wait(&cmd));
        T_OK(rt_buf_read(c, 0, M * LDC, RT_F32, i ? got : want));
        if (i)
            assert_memory_equal(got, want, sizeof(want));
    }
    rt_dev_tuned_clear(dev);
}

static void body(struct t *t)
{
    static const struct op_bench_shape SHAPE = {96, 48, 40};
    struct seen s = {0};
    struct rt_dev *again;
    char *cache;

    tiles_agree(t);
    T_OK(op_tune(t_dev(t), &SHAPE, 1, 1e-4, row, &s));
    assert_int_equal(s.winners, 3);
    assert_true(s.rows >= 6);
    for (enum rt_type type = RT_F32; type <= RT_BF16; type++) {
        assert_int_equal(op_matmul_choice(t_dev(t), OP_NN, type, 64, 64), s.variant[type]);
        assert_int_equal(rt_dev_tuned(t_dev(t), MATMUL_TUNED_TILE[type], -1), s.tile[type]);
    }
    rt_dev_tuned_keep(t_dev(t));
    T_OK(dir_cache(NULL, &cache));
    T_OK(rt_dev_open(
        &(struct rt_dev_desc){.name = t_name(t), .kernels = op_kernels(), .cache_dir = cache},
        &again));
    assert_int_equal(rt_dev_tuned(again, MATMUL_TUNED_VARIANT[RT_F16], -1), s.variant[RT_F16]);
    rt_dev_close(&again);
    free(cache);
    rt_dev_tuned_clear(t_dev(t)); // other tests share the folder
    rt_dev_tuned_keep(t_dev(t));
}

int main(void)
{
    return t_each_device(body);
}
