// Flat buffers as masters: floats to and from words with what is beside them, rows padded or not.
#include "src/model/params.h"

#include <string.h>

#include "src/base/half.h"
#include "tests/t.h"

enum { ROWS = 5, N_PARAMS = 3, MOST = ROWS * 300 };

// A matrix with padded rows, one without, a vector.
static struct md_param g_all[N_PARAMS] = {
    {.name = "a", .rank = 2, .rows = ROWS, .cols = 299, .decay = true},
    {.name = "b", .rank = 2, .rows = ROWS, .cols = 24, .decay = true},
    {.name = "c", .rank = 1, .rows = 1, .cols = 21},
};

static void fill(struct t *t, float x[MOST], uint64_t n)
{
    const double *u = t_uniform(t, n, -2.0, 2.0);
    for (uint64_t i = 0; i < n; i++)
        x[i] = (float) u[i];
}

static void masters_come_back(struct t *t, enum rt_type type, const struct md_params *list)
{
    struct md_flat flat, copy, plain;
    static float x[MOST], y[MOST];
    static uint16_t words[MOST];
    struct rt_cmd *cmd;

    T_OK(md_flat_create(t_dev(t), list, type, "weights", &flat));
    T_OK(md_flat_add_low("low", &flat));
    T_OK(md_flat_create(t_dev(t), list, type, "copy", &copy));
    T_OK(md_flat_add_low("low", &copy));
    T_OK(md_flat_create(t_dev(t), list, type, "plain", &plain));
    for (uint32_t i = 0; i < list->n; i++) {
        const struct md_param *p = &list->all[i];
        const uint64_t n = (uint64_t) p->rows * p->cols;
        fill(t, x, n);
        T_OK(md_flat_write(&flat, p, 0, p->rows, x));
        T_OK(md_flat_write(&plain, p, 0, p->rows, x));
        T_OK(rt_cmd_create(t_dev(t), &cmd));
        T_OK(md_flat_copy(cmd, &flat, &copy));
        T_OK(rt_cmd_wait(&cmd));
        T_OK(md_flat_read(&copy, p, 0, p->rows, y));
        assert_memory_equal(x, y, n * sizeof(*x));
        // Without what is beside them they are the same words: a reference begins as the policy.
        T_OK(md_flat_read(&plain, p, 0, p->rows, y));
        for (uint64_t k = 0; k < n && type != RT_F32; k++)
            words[k] = op_split(type, x[k]).w;
        for (uint64_t k = 0; k < n && type != RT_F32; k++)
            assert_true(f32_bits(y[k]) ==
                        f32_bits(type == RT_F16 ? f16_to_f32(words[k]) : bf16_to_f32(words[k])));
        // As stored: nothing of the old masters is left.
        T_OK(md_flat_write_stored(&flat, p, 0, p->rows,
                                  type == RT_F32 ? (const void *) x : (const void *) words));
        T_OK(md_flat_read(&flat, p, 0, p->rows, x));
        assert_memory_equal(x, y, n * sizeof(*x));
    }
    md_flat_destroy(&flat);
    md_flat_destroy(&copy);
    md_flat_destroy(&plain);
    t_reset(t);
}

static void body(struct t *t)
{
    struct md_params list = {.all = g_all, .n = N_PARAMS};

    T_OK(md_params_place(&list, (struct md_room){1 << 20, 1 << 20}));
    for (enum rt_type type = RT_F32; type <= RT_BF16; type++)
        masters_come_back(t, type, &list);
}

int main(void)
{
    return t_each_device(body);
}
