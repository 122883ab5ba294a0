// Writes and reads recorded on commands: in order with the kernels, each command with its own.
#include <string.h>

#include "runtime/rt.h"
#include "src/op/cast.h"
#include "tests/t.h"

static struct rt_cmd *cmd_of(struct rt_dev *dev)
{
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(dev, &cmd));
    return cmd;
}

static void cast(struct rt_cmd *cmd, const struct rt_buf *x, struct rt_buf *y, uint32_t n)
{
    T_OK(op_cast(cmd, &(struct op_cast_args){.x = x, .y = y, .n = n, .scale = 1.0f}));
}

// Writes, kernels and reads of many commands, none waited for before all are recorded: each read
// has what was in the buffer at its place, and each command brings its own.
static void in_order(struct t *t, struct rt_dev *dev, enum rt_type type, uint32_t n)
{
    enum { ROUNDS = 40 };
    struct rt_buf *x = t_zeros(t, dev, type, n), *y = t_zeros(t, dev, RT_F32, n);
    double *src = t_alloc(t, n * sizeof(*src)), *x0[ROUNDS], *x1[ROUNDS];
    float *y0[ROUNDS];
    struct rt_cmd *cmd[ROUNDS];

    for (uint32_t r = 0; r < ROUNDS; r++) {
        x0[r] = t_alloc(t, n * sizeof(*src));
        x1[r] = t_alloc(t, n * sizeof(*src));
        y0[r] = t_alloc(t, n * sizeof(float));
        cmd[r] = cmd_of(dev);
        T_OK(rt_cmd_read(cmd[r], x, 0, n, RT_F64, x0[r]));
        for (uint32_t i = 0; i < n; i++)
            src[i] = r * 3 + i % 64;
        T_OK(rt_cmd_write(cmd[r], x, 0, n, RT_F64, src)); // src is free again
        memset(src, 0, n * sizeof(*src));
        cast(cmd[r], x, y, n);
        T_OK(rt_cmd_read(cmd[r], y, 0, n, RT_F32, y0[r]));
        if (r % 2)
            T_OK(rt_cmd_submit(cmd[r]));
        T_OK(rt_cmd_read(cmd[r], x, 2, n - 2, RT_F64, x1[r]));
        if (r % 4 == 3)
            T_OK(rt_cmd_submit(cmd[r]));
    }
    const uint64_t waits = rt_dev_stats(dev).waits;
    for (uint32_t r = 0; r < ROUNDS; r++)
        T_OK(rt_cmd_wait(&cmd[r]));
    assert_int_equal(rt_dev_stats(dev).waits, waits + ROUNDS);
    for (uint32_t r = 0; r < ROUNDS; r++)
        for (uint32_t i = 0; i < n; i++) {
            assert_true(x0[r][i] == (r ? (r - 1) * 3 + i % 64 : 0));
            assert_true((double) y0[r][i] == r * 3 + i % 64);
            assert_true(i < 2 || x1[r][i - 2] == r * 3 + i % 64);
        }
    t_reset(t);
}

// Large reads go round the ring; those of a command that is dropped go nowhere.
static void many_reads(struct t *t, struct rt_dev *dev)
{
    enum { N = 700001, READS = 24 };
    uint32_t *got[READS], *words = t_alloc(t, N * sizeof(*words)), *lost = t_alloc(t, N * 4);
    struct rt_buf *x = t_zeros(t, dev, RT_U32, N);
    struct rt_cmd *cmd = cmd_of(dev);

    for (uint32_t r = 0; r < READS; r++) {
        for (uint32_t i = 0; i < N; i++)
            words[i] = r * N + i;
        got[r] = t_alloc(t, N * sizeof(*got[r]));
        const uint32_t n = r % 5 == 3 ? 3 : N - r;
        T_OK(rt_cmd_write(cmd, x, 0, N, RT_U32, words));
        T_OK(rt_cmd_read(cmd, x, N - n, n, RT_U32, got[r]));
        if (r % 7 == 5) {
            struct rt_cmd *other = cmd_of(dev);
            T_OK(rt_cmd_read(other, x, 0, N, RT_U32, lost));
            rt_cmd_destroy(&other);
        }
    }
    T_OK(rt_cmd_wait(&cmd));
    for (uint32_t r = 0; r < READS; r++) {
        const uint32_t n = r % 5 == 3 ? 3 : N - r;
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(got[r][i], r * N + N - n + i);
    }
    cmd = cmd_of(dev);
    t_logged();
    T_ERR(RT_E_ARG, rt_cmd_read(cmd, x, 2, N - 1, RT_U32, lost));
    T_ERR(RT_E_ARG, rt_cmd_read(cmd, x, 0, N, RT_F32, lost));
    T_ERR(RT_E_ARG, rt_cmd_write(cmd, x, N, 1, RT_U32, words));
    T_OK(rt_cmd_write(cmd, x, N, 0, RT_U32, words));
    T_OK(rt_cmd_read(cmd, x, N, 0, RT_U32, lost));
    struct rt_buf *half = t_zeros(t, dev, RT_F16, 9);
    T_ERR(RT_E_ARG, rt_cmd_write(cmd, half, 0, 3, RT_F32, words));
    T_ERR(RT_E_ARG, rt_cmd_write(cmd, half, 1, 8, RT_F32, words));
    T_OK(rt_cmd_wait(&cmd));
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_dev *dev = t_dev(t);
    in_order(t, dev, RT_F32, 5000);
    in_order(t, dev, RT_F16, 3000);
    in_order(t, dev, RT_BF16, 70000);
    many_reads(t, dev);
}

int main(void)
{
    return t_each_device(body);
}
