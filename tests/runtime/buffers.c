// What runtime/rt.h promises of buffers, copies and fills, on every device, and with every rung
// off.
#include <math.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/op/op.h"
#include "tests/t.h"

// ---- Buffers ----------------------------------------------------------------------------------

static const enum rt_type STORED[] = {RT_F32, RT_F16, RT_BF16};
static const enum rt_type HOSTS[] = {RT_F32, RT_F16, RT_BF16, RT_F64};

static void *encode(struct t *t, enum rt_type type, const double *x, uint64_t n)
{
    struct rt_host_buf b = {.data = t_alloc(t, n * rt_type_size(type)), .type = type};
    for (uint64_t i = 0; i < n; i++)
        rt_host_store(&b, i, x[i]);
    return b.data;
}

// Host type -> stored type -> host type, against the same roundings one by one.
static void converts(struct t *t, struct rt_dev *dev, uint64_t n)
{
    double *x = t_normal(t, n, 300.0);
    static const double HARD[] = {65519.9,       65520.0,           -0.0, 0x1p-25, 0x1.8p-24,
                                  1.0 + 0x1p-11, (double) INFINITY, 3e-41};
    for (uint64_t i = 0; i < u64_min(n / 2, COUNT_OF(HARD)); i++)
        x[i * 2] = HARD[i];
    for (size_t s = 0; s < COUNT_OF(STORED); s++)
        for (size_t a = 0; a < COUNT_OF(HOSTS); a++) {
            const size_t b = (a + s) % COUNT_OF(HOSTS);
            double *want = t_alloc(t, n * sizeof(*want));
            struct rt_buf *buf = t_zeros(t, dev, STORED[s], n);
            void *in = encode(t, HOSTS[a], x, n), *out = t_alloc(t, n * 8);
            memcpy(want, x, n * sizeof(*want));
            t_round(want, n, HOSTS[a]);
            t_round(want, n, STORED[s]);
            T_OK(rt_buf_write(buf, 0, n, HOSTS[a], in));
            T_OK(rt_buf_read(buf, 0, n, HOSTS[b], out));
            assert_memory_equal(out, encode(t, HOSTS[b], want, n), n * rt_type_size(HOSTS[b]));
        }
    t_reset(t);
}

static void ranges(struct t *t, struct rt_dev *dev)
{
    double x[] = {1, 2, 3, 4, 5, 6, 7}, got[7];
    const double want[] = {1, 2, 9, 9, 9, 6, 7};
    const float nine[] = {9, 9, 9};
    const uint32_t u[] = {7, 0xffffffffu, 3};
    uint32_t v[3];
    struct rt_buf *words = t_buf_u32(t, dev, u, 3);

    for (size_t s = 0; s < COUNT_OF(STORED); s++) {
        struct rt_buf *b = t_buf(t, dev, STORED[s], x, 7);
        T_OK(rt_buf_write(b, 2, 3, RT_F32, nine));
        T_OK(rt_buf_write(b, 7, 0, RT_F32, nine));
        T_OK(rt_buf_read(b, 0, 7, RT_F64, got));
        assert_memory_equal(got, want, sizeof(want));
        T_OK(rt_buf_read(b, 5, 2, RT_F64, got));
        assert_memory_equal(got, want + 5, 16);
        T_ERR(RT_E_ARG, rt_buf_write(b, 5, 3, RT_F32, nine));
        T_ERR(RT_E_ARG, rt_buf_read(b, 8, 0, RT_F32, got));
        T_ERR(RT_E_ARG, rt_buf_read(b, 2, UINT64_MAX, RT_F32, got));
        T_ERR(RT_E_ARG, rt_buf_read(b, 0, 1, RT_U32, v));
    }
    T_OK(rt_buf_read(words, 0, 3, RT_U32, v));
    assert_memory_equal(u, v, sizeof(u));
    T_ERR(RT_E_ARG, rt_buf_write(words, 0, 1, RT_F32, nine));
}

static void buffers(struct t *t, struct rt_dev *dev)
{
    static const uint64_t COUNTS[] = {1, 3, 255, 65537};
    struct rt_buf *b = NULL;
    rt_buf_destroy(&b); // NULL
    T_ERR(RT_E_ARG, rt_buf_create(dev, RT_F32, 0, "empty", &b));
    T_ERR(RT_E_ARG, rt_buf_create(dev, RT_F64, 1, "f64", &b));
    T_ERR(RT_E_ARG, rt_buf_create(dev, RT_F32, UINT64_MAX / 8, "wraps", &b));
    assert_null(b);
    for (size_t i = 0; i < COUNT_OF(COUNTS); i++) {
        double *x = t_alloc(t, COUNTS[i] * sizeof(*x)), *zero = t_alloc(t, COUNTS[i] * sizeof(*x));
        for (size_t s = 0; s < COUNT_OF(STORED); s++) {
            memset(x, 1, COUNTS[i] * sizeof(*x));
            T_OK(rt_buf_create(dev, STORED[s], COUNTS[i], "zeroed", &b));
            assert_true(rt_buf_type(b) == STORED[s] && rt_buf_count(b) == COUNTS[i] &&
                        rt_buf_dev(b) == dev);
            assert_string_equal(rt_buf_name(b), "zeroed");
            assert_true(rt_buf_holds(b, STORED[s], COUNTS[i]) &&
                        !rt_buf_holds(b, STORED[s], COUNTS[i] + 1) && !rt_buf_holds(b, RT_U32, 1) &&
                        !rt_buf_holds(NULL, STORED[s], 1));
            T_OK(rt_buf_read(b, 0, COUNTS[i], RT_F64, x));
            assert_memory_equal(x, zero, COUNTS[i] * sizeof(*x));
            rt_buf_destroy(&b);
            assert_null(b);
        }
        converts(t, dev, COUNTS[i]);
    }
    ranges(t, dev);
    t_reset(t);
}

// ---- Copies and fills ---------------------------------------------------------------------------

static struct rt_cmd *cmd_of(struct rt_dev *dev)
{
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(dev, &cmd));
    return cmd;
}

static void copies(struct t *t, struct rt_dev *dev, enum rt_type type)
{
    double x[301], got[301];
    for (int i = 0; i < 301; i++)
        x[i] = i + 1;
    t_round(x, 301, type);
    struct rt_buf *a = t_buf(t, dev, type, x, 301), *b = t_zeros(t, dev, type, 301);
    struct rt_buf *other = t_zeros(t, dev, type == RT_F16 ? RT_BF16 : RT_F16, 301);
    struct rt_cmd *cmd = cmd_of(dev);

    T_OK(rt_cmd_copy(cmd, a, 2, b, 100, 50));  // between buffers
    T_OK(rt_cmd_copy(cmd, b, 100, b, 0, 50));  // within one, behind the first copy
    T_OK(rt_cmd_copy(cmd, a, 301, b, 301, 0)); // nothing
    T_OK(rt_cmd_zero(cmd, a, 0, 300));
    T_OK(rt_cmd_zero(cmd, b, 120, 20));
    T_OK(rt_cmd_zero(cmd, b, 300, 1)); // the odd tail
    T_OK(rt_cmd_zero(cmd, b, 300, 0));
    T_ERR(RT_E_ARG, rt_cmd_copy(cmd, b, 0, b, 49, 50));
    T_ERR(RT_E_ARG, rt_cmd_copy(cmd, a, 252, b, 0, 50));
    T_ERR(RT_E_ARG, rt_cmd_copy(cmd, a, 0, b, 300, UINT64_MAX));
    T_ERR(RT_E_ARG, rt_cmd_copy(cmd, a, 0, other, 0, 1));
    T_ERR(RT_E_ARG, rt_cmd_zero(cmd, b, 300, 2));
    if (rt_type_size(type) == 2) {
        T_ERR(RT_E_ARG, rt_cmd_zero(cmd, b, 1, 2));
        T_ERR(RT_E_ARG, rt_cmd_zero(cmd, b, 0, 1));
    }
    T_OK(rt_cmd_wait(&cmd));
    assert_null(cmd);
    T_OK(rt_buf_read(b, 0, 301, RT_F64, got));
    for (int i = 0; i < 300; i++)
        assert_true(got[i] == (i < 50                                         ? x[i + 2]
                               : i < 100 || i >= 150 || (i >= 120 && i < 140) ? 0.0
                                                                              : x[i - 98]));
    T_OK(rt_buf_read(a, 0, 301, RT_F64, got));
    assert_true(got[299] == 0.0 && got[300] == x[300]);
    t_reset(t);
}

static void all(struct t *t, struct rt_dev *dev)
{
    buffers(t, dev);
    for (size_t s = 0; s < COUNT_OF(STORED); s++)
        copies(t, dev, STORED[s]);
}

static void body(struct t *t)
{
    struct rt_dev *bare;
    all(t, t_dev(t));
    T_OK(rt_dev_open(&(struct rt_dev_desc){.name = t_name(t),
                                           .kernels = op_kernels(),
                                           .clamp = {.disable = UINT32_MAX}},
                     &bare));
    all(t, bare); // no memory shared with the host, for one
    rt_dev_close(&bare);
}

int main(void)
{
    return t_each_device(body);
}
